-- A WebSocket client for specs, on LuaSocket. It waits through moonsocket's loop, so that the server under test goes on
-- meanwhile. Enough for short text; each method is what a client can do to a server.
local moonsocket = require "moonsocket"
local socket = require "socket"

local TEXT, CLOSE = 1, 8

local client = {}
client.__index = client

-- A frame of at most 125 bytes. The masking key is zero, so the payload stays as it is.
local function frame(opcode, payload)
  return string.char(0x80 | opcode, 0x80 | #payload, 0, 0, 0, 0) .. payload
end

--- Connects: client.connect(server, "/?name=ann").
function client.connect(server, target)
  local self = setmetatable({ socket = assert(socket.connect("127.0.0.1", server.port)) }, client)
  self.socket:settimeout(0)
  self.socket:send(("GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"):format(target))
  assert(self:read "*l" == "HTTP/1.1 101 Switching Protocols")
  repeat until self:read "*l" == ""
  return self
end

-- LuaSocket's receive, but others run while it waits.
function client:read(what)
  local so_far
  while true do
    local data, wrong, part = self.socket:receive(what, so_far)
    if data then return data end
    assert(wrong == "timeout", wrong)
    assert(moonsocket.wait(self.socket, "r", 5))
    so_far = part
  end
end

function client:send(text) self.socket:send(frame(TEXT, text)) end

--- The next message; or nil, code and reason of a Close frame, which is answered.
function client:receive()
  local opcode, length = self:read(2):byte(1, 2)
  local payload = length > 0 and self:read(length) or ""
  if opcode & 0x0f ~= CLOSE then return payload end
  self.socket:send(frame(CLOSE, payload))
  self.socket:close()
  return nil, (">I2"):unpack(payload), payload:sub(3)
end

--- Leaves as it should be done.
function client:close(code, reason)
  self.socket:send(frame(CLOSE, (">I2"):pack(code) .. (reason or "")))
  self.socket:close()
end

--- Leaves without a word, as a killed process does.
function client:vanish() self.socket:close() end

--- Leaves with a RST.
function client:reset()
  self.socket:setoption("linger", { on = true, timeout = 0 })
  self.socket:close()
end

return client
