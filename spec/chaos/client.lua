-- Connects as often as it is told to and tells of every open, failure and close in a line of JSON.
--   client.lua URL AT-A-TIME [CA]
-- "FIRST LAST" on its standard input makes it connect to URL/FIRST ... URL/LAST, its end makes it exit.
local moonsocket = require "moonsocket"
local json = require "cjson"

local url, at_a_time, ca = arg[1], tonumber(arg[2]), arg[3]

local function say(event)
  print(json.encode(event))
  io.stdout:flush()
end

local function connect(number)
  local ws, message = moonsocket.connect(("%s/%d"):format(url, number), {
    tls = ca and { ca = ca } or nil, max_message = 64 * 1024, timeout = 2, close_timeout = 2,
  })
  if not ws then return say { event = "failed", number = number, message = message } end
  say { event = "open", id = number, number = number }
  ws:on_message(function(text, kind) ws:send(text, kind) end)
  ws:on_close(function(code, reason, info)
    say {
      event = "close", id = number, code = code, reason = reason,
      clean = info.clean, by = info.by, sent = info.sent, received = info.received,
    }
  end)
  if number % 3 == 0 then ws:close(4000, "enough") end
  ws:wait_closed()
end

say { event = "ready" }
moonsocket.run(function()
  while moonsocket.wait(0, "r") do
    local first, last = io.read("n", "n", "l")
    if not first then return end
    local number = first - 1
    for _ = 1, at_a_time do
      moonsocket.go(function()
        while number < last do
          number = number + 1
          connect(number)
        end
      end)
    end
  end
end)
