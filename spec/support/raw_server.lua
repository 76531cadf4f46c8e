-- A raw server that can do everything wrong (see wire.lua for what both sides can).
local moonsocket = require "moonsocket"
local raw = require "raw"
local wire = require "spec.support.wire"

local raw_server = wire.side(false)

local listener = {}
listener.__index = listener

--- Listens on a free port of 127.0.0.1, or on where.path. url is what a client connects to.
-- @param where { path =, backlog =, tls = whether what it accepts is over TLS, receive_buffer = bytes that this side's
--        kernel takes without its reading } or nil
function raw_server.listen(where)
  where = where or {}
  if where.path then
    return setmetatable({ fd = assert(raw.listen_unix(where.path)), url = "ws+unix:" .. where.path }, listener)
  end
  local fd, port = raw.listen(where.backlog, where.receive_buffer)
  assert(fd, port)
  local url = ("%s://127.0.0.1:%d"):format(where.tls and "wss" or "ws", port)
  return setmetatable({ fd = fd, port = port, url = url, tls = where.tls }, listener)
end

--- The next connection.
function listener:accept(timeout)
  while true do
    local fd, wrong = raw.accept(self.fd)
    if fd then
      local connection = raw_server.new(fd)
      return self.tls and connection:start_tls(self.tls) or connection
    end
    if wrong ~= "wait" then error("accept: " .. wrong, 2) end
    if not moonsocket.wait(self.fd, "r", timeout or wire.TIMEOUT) then error("nobody connects", 2) end
  end
end

--- Connections are refused from now on.
function listener:stop()
  if self.fd then raw.close(self.fd) end
  self.fd = nil
end

--- A request's head: { head = its bytes, method =, target =, headers = by lower-case name, each a list, names = in
-- order }.
function raw_server:read_request(timeout)
  local head = assert(self:read_head(timeout))
  local request = { head = head, headers = {}, names = {} }
  request.method, request.target = head:match "^(%S+) (%S+) HTTP/1%.1\r\n"
  assert(request.method, head)
  for name, value in head:gmatch "\r\n([^:\r\n]+): ?([^\r\n]*)" do
    local lower = name:lower()
    request.names[#request.names + 1] = name
    request.headers[lower] = request.headers[lower] or {}
    table.insert(request.headers[lower], value)
  end
  return request
end

--- The right answer to a request. extra: more header lines, each with its CRLF.
function raw_server.accepted(request, extra)
  return ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    .. "Sec-WebSocket-Accept: %s\r\n%s\r\n"):format(
    raw.accept_key(request.headers["sec-websocket-key"][1]), extra or "")
end

--- Reads the request and answers it rightly, with these bytes behind the answer in the same segment. Returns it.
function raw_server:upgrade(extra, behind)
  local request = self:read_request()
  assert(self:send(raw_server.accepted(request, extra) .. (behind or "")))
  return request
end

--- An HTTP response. extra: header lines, each with its CRLF.
function raw_server.response(status, extra, body)
  return ("HTTP/1.1 %s\r\n%s\r\n%s"):format(status, extra or "", body or "")
end

--- The same, which tells the length of its body.
function raw_server.sized(status, body, extra)
  return raw_server.response(status, ("Content-Length: %d\r\n%s"):format(#body, extra or ""), body)
end

--- Reads on to a frame of that name; returns it and the list of those before it, as wire.describe has them.
function raw_server:read_to(name, timeout)
  local before = {}
  while true do
    local frame, wrong = self:read_frame(timeout)
    if not frame then error(("no %s but %s, after: %s"):format(name, wrong, table.concat(before, ", ")), 2) end
    if frame.name == name then return frame, before end
    before[#before + 1] = wire.describe(frame)
  end
end

return raw_server
