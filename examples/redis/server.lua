-- One room, served by as many processes as you like: what is said goes by way of Redis. From this folder, with
-- redis-server running:
--   lua5.4 server.lua [address [redis]]      for example 127.0.0.1:8081 127.0.0.1:6379, or the path of Redis's socket
-- It needs LuaSocket. Where Redis is away, who comes or speaks is closed with 1013 (try again later); the others
-- stay.
local moonsocket = require "moonsocket"
local redis = require "redis"

io.stdout:setvbuf "line"

local REDIS = arg[2] or "127.0.0.1:6379"
local CHANNEL, VISITORS = "moonsocket:room", "moonsocket:visitors"
local PAUSE = 0.5 -- s before Redis is asked again

local call = redis.pool(REDIS)

local function give_up(ws, wrong)
  print(wrong)
  ws:close(1013, "the room is not there, try later")
end

-- The handler waits for Redis as if nobody else were there; the others go on meanwhile.
local server = assert(moonsocket.serve(arg[1] or "127.0.0.1:8080", function(ws)
  local number, wrong = call("INCR", VISITORS)
  if not number then return give_up(ws, wrong) end
  ws:send(("you are visitor %d"):format(number))

  for message in ws:messages() do
    local reached
    reached, wrong = call("PUBLISH", CHANNEL, message)
    if not reached then return give_up(ws, wrong) end
  end
end, { max_message = 4096 }))

-- What any of the processes published, this one among them.
moonsocket.go(function()
  while true do
    local channel, wrong = redis.subscribe(REDIS, CHANNEL)
    if channel then
      print "subscribed"
      local message
      repeat
        message, wrong = channel:next_message()
        if message then server:broadcast(message) end
      until not message
    end
    print(wrong)
    moonsocket.sleep(PAUSE)
  end
end)

print("listening on " .. server.url)
moonsocket.run()
