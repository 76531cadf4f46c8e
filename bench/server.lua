-- The server that the benchmark loads: README's two callbacks. Prints the port it listens on.
--   server.lua [shared | takeover]      with compression
local moonsocket = require "moonsocket"

local COMPRESSION = {
  shared = true,
  takeover = { server_no_context_takeover = false, client_no_context_takeover = false },
}

local server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
  ws:on_message(function(message, kind) ws:send(message, kind) end)
  ws:on_close(function() end)
end, { compression = arg[1] and COMPRESSION[arg[1]] }))

print(server.port)
io.stdout:flush()
moonsocket.run()
