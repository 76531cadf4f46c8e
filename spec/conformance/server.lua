-- An echo server for Autobahn's cases, whose largest message has 16 MiB. It compresses as each case asks for. Prints
-- the port it listens on.
local moonsocket = require "moonsocket"

local ROOM = 64 * 1024 * 1024

local server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
  ws:on_message(function(message, kind) ws:send(message, kind) end)
end, {
  max_message = ROOM, max_buffered = ROOM,
  compression = { threshold = 1, server_no_context_takeover = false, client_no_context_takeover = false },
}))

print(server.port)
io.stdout:flush()
moonsocket.run()
