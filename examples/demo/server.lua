-- The demo's server: it echoes, and prints how each connection ended. PORT says where it listens.
local moonsocket = require "moonsocket"

io.stdout:setvbuf "line"

local function row(...)
  print(string.format("%6s  %-5s  %-7s  %4s  %8s  %s", ...))
end

local answers = {
  ["please close"] = function(ws) ws:close(4001, "you asked for it") end,
  ["please raise"] = function() error "a mistake in a handler" end,
}

local server = assert(moonsocket.serve("127.0.0.1:" .. (os.getenv "PORT" or 8080), function(ws)
  ws:on_message(function(message, kind)
    local answer = answers[message] or ws.send
    answer(ws, message, kind)
  end)
  ws:on_close(function(code, reason, info)
    row(code, info.clean, info.by, info.sent or "-", info.received or "-", reason)
  end)
end, { origins = "*" })) -- a browser's console belongs to whatever page it is opened on

server:on_error(function(message) print("        on_error: " .. message) end)

print(string.format([[
Listening on ws://127.0.0.1:%d until Ctrl-C. From a browser's console:

  ws = new WebSocket("ws://127.0.0.1:%d")
  ws.onmessage = event => console.log(event.data)
  ws.onclose = event => console.log(event.code, event.reason, event.wasClean)
  ws.send("hello")                          // comes back
  ws.send("please close")                   // the server closes; "please raise": its handler fails
  ws.close(4000, "done for today")          // or close the tab

Every connection that ends is told to on_close(code, reason, info):
]], server.port, server.port))
row("code", "clean", "by", "sent", "received", "reason")

moonsocket.run()
