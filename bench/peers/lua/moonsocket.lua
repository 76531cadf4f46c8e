-- moonsocket: README's two callbacks. Prints the port it listens on.
--   moonsocket.lua echo | shared | takeover | publish | stream
--   moonsocket.lua tls CERTIFICATE KEY
local moonsocket = require "moonsocket"

local mode, certificate, key = table.unpack(arg)
local server

local function echo(ws)
  ws:on_message(function(message, kind) ws:send(message, kind) end)
  ws:on_close(function() end)
end

local function publish(ws)
  ws:subscribe "all"
  ws:on_message(function(message, kind) server:publish("all", message, kind) end)
end

local function stream(ws)
  local reader = ws:reader()
  while reader do
    local writer = ws:writer(reader.kind)
    for bytes in reader do writer:write(bytes) end
    writer:close()
    reader = ws:reader()
  end
end

local HANDLERS = { publish = publish, stream = stream }

local COMPRESSION = {
  shared = true,
  takeover = { server_no_context_takeover = false, client_no_context_takeover = false },
}

server = assert(moonsocket.serve("127.0.0.1:0", HANDLERS[mode] or echo, {
  compression = COMPRESSION[mode],
  tls = certificate and { cert = certificate, key = key },
  max_message = 64 << 20,
  max_buffered = 64 << 20,
  pong_timeout = 120, -- the load answers no ping, and 10,000 connections over TLS take their time to open
}))

print(server.port)
io.stdout:flush()
moonsocket.run()
