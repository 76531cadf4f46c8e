-- The server that the benchmark loads: README's two callbacks. Prints the port it listens on.
local moonsocket = require "moonsocket"

local server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
  ws:on_message(function(message, kind) ws:send(message, kind) end)
  ws:on_close(function() end)
end))

print(server.port)
io.stdout:flush()
moonsocket.run()
