-- How do I find out that a client is gone? A handler registers a close handler and reads messages until the end.
--   lua5.4 examples/disconnect.lua [address]
-- Clients of /callbacks are served with callbacks, all others by a plain loop. Whatever they do (a Close frame, a
-- killed process, a pulled cable, nonsense), the last line about each of them says how it ended.
local moonsocket = require "moonsocket"

io.stdout:setvbuf "line" -- also into a pipe

local function tell(ws, format, ...)
  print(("client %d: " .. format):format(ws.id, ...))
end

-- Returns at once; the connection goes on with what was set.
local function with_callbacks(ws)
  ws:on_message(function(message) tell(ws, "says '%s'", message) end)
end

-- Returns when the connection is gone.
local function with_a_loop(ws)
  for message in ws:messages() do
    tell(ws, "says '%s'", message)
  end
  tell(ws, "the loop is over, code %d", ws.close_code)
end

local server = assert(moonsocket.serve(arg[1] or "127.0.0.1:8080", function(ws, request)
  ws:on_close(function(code, reason, info)
    local how = moonsocket.is_unexpected(code) and "UNEXPECTEDLY" or "as it should"
    tell(ws, "gone %s: code %d, reason '%s', clean %s, by %s", how, code, reason, info.clean, info.by)
  end)
  local serve = request.path == "/callbacks" and with_callbacks or with_a_loop
  serve(ws)
end))

print("listening on ws://" .. server.address)
moonsocket.run()
print "every client has been told that the server goes"
