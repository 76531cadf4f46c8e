-- An echo server that tells of every open and close in a line of JSON. PORT: where it listens (0 or unset: anywhere).
local moonsocket = require "moonsocket"
local json = require "cjson"

local function say(event)
  print(json.encode(event))
  io.stdout:flush()
end

local server = assert(moonsocket.serve("127.0.0.1:" .. (os.getenv "PORT" or 0), {
  open = function(ws) say { event = "open", id = ws.id } end,
  message = function(ws, message, kind) ws:send(message, kind) end,
  close = function(ws, code, reason, info)
    say {
      event = "close", id = ws.id, code = code, reason = reason,
      clean = info.clean, by = info.by, sent = info.sent, received = info.received,
    }
  end,
}, { max_message = 64 * 1024, handshake_timeout = 2, close_timeout = 2 }))

say { event = "listening", port = server.port }
moonsocket.run()
