-- An echo server that tells of every open and close in a line of JSON.
--   server.lua [CERT KEY]
local moonsocket = require "moonsocket"
local json = require "cjson"

local function say(event)
  print(json.encode(event))
  io.stdout:flush()
end

local server = assert(moonsocket.serve("127.0.0.1:0", {
  open = function(ws) say { event = "open", id = ws.id, number = tonumber(ws.request.path:sub(2)) } end,
  message = function(ws, message, kind) ws:send(message, kind) end,
  close = function(ws, code, reason, info)
    say {
      event = "close", id = ws.id, code = code, reason = reason,
      clean = info.clean, by = info.by, sent = info.sent, received = info.received,
    }
  end,
}, {
  max_message = 64 * 1024, handshake_timeout = 2, close_timeout = 2,
  tls = arg[1] and { cert = arg[1], key = arg[2] } or nil,
}))

say { event = "ready", port = server.port }
moonsocket.run()
