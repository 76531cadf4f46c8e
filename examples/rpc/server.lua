-- A server of JSON-RPC 2.0. From this folder:
--   lua5.4 server.lua [address]      then, in another terminal: lua5.4 client.lua
-- It needs lua-cjson.
local moonsocket = require "moonsocket"
local rpc = require "rpc"

io.stdout:setvbuf "line"

local function numbers(params)
  for i = 1, 2 do
    if type(params[i]) ~= "number" then rpc.fail(rpc.INVALID_PARAMS, "two numbers expected") end
  end
  return params[1], params[2]
end

local methods = {}

function methods.add(params)
  local a, b = numbers(params)
  return a + b
end

function methods.divide(params)
  local a, b = numbers(params)
  if b == 0 then rpc.fail(1, "division by zero", { dividend = a }) end
  return a / b
end

-- Takes its time, and holds up nobody: not even the next call of the same connection.
function methods.sleep(params)
  local seconds = params.seconds
  if type(seconds) ~= "number" or seconds < 0 or seconds > 60 then
    rpc.fail(rpc.INVALID_PARAMS, "seconds, from 0 to 60, expected")
  end
  moonsocket.sleep(seconds)
  return ("slept for %g s"):format(seconds)
end

-- Calls back: the client has methods, too.
function methods.count(params, peer)
  for number = 1, math.min(params.to or 3, 10) do peer:notify("progress", { number }) end
  return "counted"
end

function methods.log(params) print("log: " .. tostring(params[1])) end

local server = assert(moonsocket.serve(arg[1] or "127.0.0.1:8080", function(ws)
  rpc.attach(ws, methods)
end, { max_message = 65536 }))

print("listening on " .. server.url)
moonsocket.run()
