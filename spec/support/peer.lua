-- A raw client that can do everything wrong (see wire.lua for what both sides can).
local raw = require "raw"
local wire = require "spec.support.wire"

local peer = wire.side(true)

local KEY = "dGhlIHNhbXBsZSBub25jZQ==" -- RFC 6455 section 1.3
peer.ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
peer.KEY = KEY

--- A request for an upgrade. extra: more header lines, each with its CRLF.
function peer.request(extra, path)
  return ("GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    .. "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s\r\n"):format(path or "/", KEY, extra or "")
end

--- Connects to a server (or to {host =, port =, path =, receive_buffer =, tls =}) without a handshake of WebSocket's.
function peer.connect(to)
  local fd, wrong
  if to.path then
    fd, wrong = raw.connect_unix(to.path)
  else
    fd, wrong = raw.connect(to.host or "127.0.0.1", to.port, to.receive_buffer)
  end
  assert(fd, wrong)
  local self = peer.new(fd)
  return to.tls and self:start_tls(to.tls) or self
end

--- Connects and upgrades; fails the spec where the server refuses.
-- @param extra header lines of the request
-- @param behind bytes in the same segment
function peer.open(to, extra, behind)
  local self = peer.connect(to)
  self:send(peer.request(extra) .. (behind or ""))
  local head = self:read_head()
  assert(head and head:match "^HTTP/1%.1 101 ", "no upgrade: " .. tostring(head))
  return self
end

--- An HTTP response with its body: { status =, head =, headers = by lower-case name, body = }.
function peer:read_response(timeout)
  local head, wrong = self:read_head(timeout)
  if not head then return nil, wrong end
  local response = { head = head, headers = {}, status = assert(tonumber(head:match "^HTTP/1%.1 (%d%d%d) "), head) }
  for name, value in head:gmatch "\r\n([^:\r\n]+): ?([^\r\n]*)" do response.headers[name:lower()] = value end
  response.body, wrong = self:read(tonumber(response.headers["content-length"] or 0), timeout)
  if not response.body then return nil, wrong end
  return response
end

return peer
