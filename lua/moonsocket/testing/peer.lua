-- A raw client that can do wrong: each frame, each byte and each way to leave is the test's own. It does nothing by
-- itself, and reads only when it is asked to.

local core = require "moonsocket.core"
local frame = require "moonsocket.testing.frame"
local headers = require "moonsocket.headers"
local options = require "moonsocket.options"
local settings = require "moonsocket.testing.settings"
local tls = require "moonsocket.tls"
local url = require "moonsocket.url"
local moonsocket = require "moonsocket"

local peer = {}
peer.__index = peer

-- RFC 6455 section 1.3: the key of its example, and what the server must make of it.
local KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

-- A header that each peer has for itself: by it a server's side of the connection is found again.
local MARK = "X-Moonsocket-Peer"
local marked = 0

-- The certificate is the test's own, so nobody need trust it.
local rows = {
  headers = options.client.headers,
  subprotocols = options.client.subprotocols,
  tls = { { verify = false }, options.client.tls[2] },
  handshake = { true, options.boolean },
}

-- ---- reading

-- Raises as the function that the test called.
local function check_timeout(what, timeout)
  if timeout ~= nil and (type(timeout) ~= "number" or timeout < 0) then
    error(("%s: seconds, 0 or more, expected, got %s"):format(what, tostring(timeout)), 3)
  end
  return moonsocket.now() + (timeout or settings.timeout)
end

-- More input, until the deadline; nil and "fin", "reset", "timeout", "closed", "vanished" or the system's message.
local function read_more(self, deadline)
  if self.vanished then return nil, "vanished" end
  local bytes, why = self.stream:receive(math.max(0, deadline - moonsocket.now()))
  if not bytes then return nil, why end
  self.input = self.input .. bytes
  return true
end

local function read_frame(self, deadline)
  while true do
    local f, behind = frame.decode(self.input)
    if f then
      self.input = self.input:sub(behind)
      return f
    end
    local ok, why = read_more(self, deadline)
    if not ok then return nil, why end
  end
end

--- What has come, at least a byte.
function peer:receive_raw(timeout)
  local deadline = check_timeout("receive_raw", timeout)
  if self.input == "" then
    local ok, why = read_more(self, deadline)
    if not ok then return nil, why end
  end
  local bytes = self.input
  self.input = ""
  return bytes
end

--- The next frame.
function peer:receive_frame(timeout)
  return read_frame(self, check_timeout("receive_frame", timeout))
end

--- The next message, as a well-behaved client gets it: pings and the Close frame are answered.
function peer:receive(timeout)
  local deadline = check_timeout("receive", timeout)
  while true do
    local f, why = read_frame(self, deadline)
    if not f then return nil, why end
    if f.name == "close" then
      if not self.close_sent then self:close(f.code) end -- without the text, as browsers do
      return nil, "closed", f.code or moonsocket.codes.NO_STATUS, f.reason or ""
    elseif f.name == "ping" then
      self:send_frame { opcode = "pong", payload = f.payload }
    elseif f.name ~= "pong" then
      local message = self.message or { kind = f.name }
      message[#message + 1] = f.payload
      self.message = not f.fin and message or nil
      if f.fin then return table.concat(message), message.kind end
    end
  end
end

-- ---- writing

--- Sends bytes as they are.
function peer:send_raw(bytes)
  if type(bytes) ~= "string" then error("send_raw: a string expected, got " .. type(bytes), 2) end
  if self.vanished then return nil, "vanished" end
  return self.stream:send(bytes)
end

--- Sends one frame, right or wrong.
function peer:send_frame(f)
  f = frame.check("send_frame", f, 3)
  self.close_sent = self.close_sent or f.opcode == frame.CLOSE
  return self:send_raw(frame.encode(f))
end

--- Sends a text message; what is no UTF-8 goes out, too.
function peer:send_text(text)
  if type(text) ~= "string" then error("send_text: a string expected, got " .. type(text), 2) end
  return self:send_frame { payload = text }
end

--- Sends a Close frame; without a code an empty one. Nothing else is done.
function peer:close(code, reason)
  if code ~= nil and (math.type(code) ~= "integer" or code < 0 or code > 65535) then
    error(("close: a code from 0 to 65535 expected, got %s"):format(tostring(code)), 2)
  elseif reason ~= nil and (type(reason) ~= "string" or not code) then
    error("close: the reason is a string behind a code", 2)
  end
  return self:send_frame { opcode = "close", payload = frame.close_payload(code, reason) }
end

-- ---- leaving

--- Ends its side of TCP (over TLS, of TLS first), behind what was sent. What comes can still be read.
function peer:fin() self.stream:fin() end

--- The same, but TLS is not told: without close_notify nobody knows whether that was all.
function peer:cut_off() self.stream:cut_off() end

--- Resets TCP.
function peer:reset() self.stream:reset() end

--- Closes the socket without a word, as a process does that is killed.
function peer:drop() self.stream:close() end

--- Stays connected, but reads and sends nothing any more, as a machine does that has lost its network.
function peer:vanish() self.vanished = true end

--- Reads to the end of TCP, and then closes the socket, as a client does that waits for its server.
-- @return how TCP ended: as receive_raw
function peer:leave(timeout)
  local deadline = check_timeout("leave", timeout)
  local ok, how
  repeat
    self.input = ""
    ok, how = read_more(self, deadline)
  until not ok
  if how ~= "vanished" then self:drop() end
  return how
end

-- ---- the server's side

-- The ws of the connection whose request had that mark, and its server; nil where no server of this program has it.
local function find_ws(mark)
  for _, server in ipairs(core.servers()) do
    for _, ws in ipairs(server:connections()) do
      if ws.request.headers[MARK] == mark then return ws, server end
    end
  end
end

--- The server's ws for this connection, open or not, and the server; nil where that is not in this program.
function peer:ws() return self.server_ws, self.server end

-- ---- the opening handshake

local function request_of(target, given, lines, mark)
  local protocols = given.subprotocols
  return table.concat {
    ("GET %s HTTP/1.1\r\nHost: %s\r\n"):format(target.target, target.host_header),
    ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n"):format(KEY),
    protocols and ("Sec-WebSocket-Protocol: %s\r\n"):format(table.concat(protocols, ", ")) or "",
    ("%s: %s\r\n"):format(MARK, mark), lines, "\r\n",
  }
end

local function read_head(self, deadline)
  local _, last = self.input:find "\r\n\r\n"
  while not last do
    local ok, why = read_more(self, deadline)
    if not ok then return nil, why end
    _, last = self.input:find "\r\n\r\n"
  end
  local head = self.input:sub(1, last)
  self.input = self.input:sub(last + 1)
  return head
end

local function read_response(self, deadline)
  local head, why = read_head(self, deadline)
  if not head then return nil, why end
  local status = tonumber(head:match "^HTTP/1%.1 (%d%d%d)")
  if not status then return nil, ("no HTTP: %q"):format(head) end
  local response = { status = status, headers = {}, body = "" }
  for name, value in head:gmatch "\r\n([^:\r\n]+):[ \t]*([^\r\n]*)" do
    local before = response.headers[name:lower()]
    response.headers[name:lower()] = before and before .. ", " .. value or value
  end
  return response
end

-- A refusal's body, as far as it comes.
local function read_body(self, response, deadline)
  local length = tonumber(response.headers["content-length"]) or math.huge
  while #self.input < length and read_more(self, deadline) do end
  response.body = #self.input > length and self.input:sub(1, length) or self.input
end

local function shake_hands(self, deadline)
  local response, why = read_response(self, deadline)
  if not response then return nil, "the opening handshake was not answered: " .. why end
  self.response = response
  if response.status ~= 101 then
    read_body(self, response, deadline)
    return nil, ("the server answered %d instead of 101: %s"):format(response.status, response.body), response
  elseif response.headers["sec-websocket-accept"] ~= ACCEPT then
    return nil, "the server's Sec-WebSocket-Accept is wrong", response
  end
  return true
end

-- Connected, but nothing has been said; nil and why not.
local function connect(target, given)
  local stream_options = { host = target.host, port = target.port or 0, path = target.path, timeout = settings.timeout }
  if target.scheme == "wss" then
    local context, wrong = tls.client(given.tls)
    if not context then return nil, wrong end
    stream_options.context = context
    stream_options.server_name = tls.server_name(given.tls, target.host)
  end
  local stream, why = core.stream(stream_options)
  if not stream then return nil, "not connected: " .. why end
  return setmetatable({ stream = stream, input = "" }, peer)
end

--- Connects to a server and does the opening handshake; waits until that is done.
-- @param where a URL, as moonsocket.connect's
-- @param given options: headers, subprotocols, tls, handshake
-- @return peer, or nil, message and, where the server answered, its response { status =, headers =, body = }
local function open(where, given)
  given = options.check("peer", given, rows, 3)
  local target, wrong = url.parse(where)
  if not target then error("peer: " .. wrong, 2) end
  local lines
  lines, wrong = headers.request(given.headers, nil, target.authorization)
  if not lines then error("peer: " .. wrong, 2) end
  local deadline = moonsocket.now() + settings.timeout
  local self, why = connect(target, given)
  if not self then return nil, why end
  if not given.handshake then return self end
  marked = marked + 1
  local mark = tostring(marked)
  self:send_raw(request_of(target, given, lines, mark))
  local ok, message, response = shake_hands(self, deadline)
  if not ok then
    self:drop()
    return nil, message, response
  end
  self.server_ws, self.server = find_ws(mark)
  return self
end

peer.__close = peer.drop

return open
