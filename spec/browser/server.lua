-- The servers that the pages of endings.mjs connect to; its argument is their origin. A page says in its first message
-- how its connection is to end; how it did, as on_close was told, is printed as a line of JSON.
local cjson = require "cjson"
local moonsocket = require "moonsocket"

io.stdout:setvbuf "line"

local servers = {}

-- "close 4001 bye": the name of one of these, and what it is given besides ws.
local commands = {
  close = function(ws, code, reason) ws:close(math.tointeger(tonumber(code)), reason) end,
  terminate = function(ws) ws:terminate() end,
  raise = function() error "a mistake in a handler" end,
  shutdown = function(_, code, reason)
    moonsocket.go(function() servers.shutdown:shutdown { code = math.tointeger(tonumber(code)), reason = reason } end)
  end,
  answer = function(ws, code, reason)
    ws:on_closing(function() return math.tointeger(tonumber(code)), reason end)
    ws:send "ready"
  end,
  flood = function(ws) while ws:send(("x"):rep(1 << 16), "binary") do end end,
  refused = function(ws, name, status)
    ws:send(tostring(servers[name]:stats().refused[math.tointeger(tonumber(status))] or 0))
  end,
  ["return"] = function() return "return" end,
}

local function handler(ws)
  ws:on_error(function() end) -- of "raise"
  ws:on_close(function(code, reason, info)
    print("closed " .. cjson.encode { code = code, reason = reason, clean = info.clean, by = info.by })
  end)
  local message = ws:receive()
  local name, first, rest = (message or ""):match "^(%l+) ?(%S*) ?(.*)$"
  if commands[name] then
    if commands[name](ws, first, rest) == "return" then return end
  elseif message then
    ws:send(ws.extensions)
    ws:send(message)
  end
  ws:on_message(function(again) ws:send(again) end)
end

local function authorize(request)
  if request.query == "token=old" then return nil, 4401, "token expired" end
  return 401, "no token\n"
end

for name, options in pairs {
  plain = { max_message = 1 << 20 },
  compressed = { compression = { threshold = 1 } },
  idle = { idle_timeout = 0.05 },
  impatient = { max_rate = { messages = 1, burst = 2, over = "close" } },
  narrow = { max_buffered = 1 << 16 },
  private = { authorize = authorize },
  shutdown = {},
} do
  options.origins = { arg[1] }
  servers[name] = assert(moonsocket.serve("127.0.0.1:0", handler, options))
end

local ports = {}
for name, server in pairs(servers) do ports[name] = server.port end
print("ports " .. cjson.encode(ports))
moonsocket.run()
