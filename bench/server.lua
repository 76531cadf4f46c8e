-- The server that the benchmark loads: README's two callbacks. Prints the port it listens on.
--   server.lua shared | takeover    with compression
--   server.lua publish              what one connection sends all get
local moonsocket = require "moonsocket"

local COMPRESSION = {
  shared = true,
  takeover = { server_no_context_takeover = false, client_no_context_takeover = false },
}

local server

local function echo(ws)
  ws:on_message(function(message, kind) ws:send(message, kind) end)
  ws:on_close(function() end)
end

local function publish(ws)
  ws:subscribe "all"
  ws:on_message(function(message, kind) server:publish("all", message, kind) end)
end

local handler = arg[1] == "publish" and publish or echo
server = assert(moonsocket.serve("127.0.0.1:0", handler, { compression = arg[1] and COMPRESSION[arg[1]] }))

print(server.port)
io.stdout:flush()
moonsocket.run()
