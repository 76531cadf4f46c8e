-- The smallest server: it says back what it hears.
--   lua5.4 examples/echo.lua [address]
local moonsocket = require "moonsocket"

local server = assert(moonsocket.serve(arg[1] or "127.0.0.1:8080", function(ws)
  ws:on_message(function(message, kind) ws:send(message, kind) end)
  ws:on_close(function(code, reason) print("closed", code, reason) end)
end))

print("listening on ws://" .. server.address)
moonsocket.run()
