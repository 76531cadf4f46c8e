-- A raw connection, either end of it, over TCP or TLS: each byte it sends is the spec's. It waits through moonsocket's
-- loop.
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local raw = require "raw"

local wire = {}

wire.TIMEOUT = 10 -- s: far more than anything takes; only a failing spec ever waits so long

local names = { [0] = "continuation", "text", "binary", [8] = "close", [9] = "ping", [10] = "pong" }

-- ---- bytes

local function mask(payload, key)
  if key == "\0\0\0\0" then return payload end
  local k, parts = { key:byte(1, 4) }, {}
  for from = 1, #payload, 4096 do -- no more than fits on Lua's stack
    local bytes = { payload:byte(from, from + 4095) }
    for i = 1, #bytes do bytes[i] = bytes[i] ~ k[(i - 1) % 4 + 1] end
    parts[#parts + 1] = string.char(table.unpack(bytes))
  end
  return table.concat(parts)
end

-- f: opcode (default 1), fin (true), rsv (0: three bits), payload (""), masked (as this side does), key,
--    length (what is announced, default: the payload's), size (of the length field: 7, 16 or 64 bits)
local function frame_of(f, masks)
  local payload = f.payload or ""
  local length = f.length or #payload
  local masked = f.masked
  if masked == nil then masked = masks end
  local size = f.size or (length < 0 and 64) or (length < 126 and 7) or (length < 65536 and 16) or 64
  local first = (f.fin == false and 0 or 0x80) | (f.rsv or 0) << 4 | (f.opcode or 1)
  local second = (masked and 0x80 or 0) | (size == 7 and length or size == 16 and 126 or 127)
  local head = string.char(first, second)
  if size == 16 then head = head .. (">I2"):pack(length) elseif size == 64 then head = head .. (">i8"):pack(length) end
  if not masked then return head .. payload end
  local key = f.key or "\x37\xfa\x21\x3d"
  return head .. key .. mask(payload, key)
end

--- A class for one side of a connection: what this file has, and functions that make the bytes of a frame.
-- @param masks whether that side's frames are masked: a client's are (RFC 6455 section 5.1)
function wire.side(masks)
  local side = setmetatable({ masks = masks }, { __index = wire })
  side.__index = side

  --- The bytes of one frame, masked unless told otherwise where this side's are.
  -- @param f opcode (default 1), fin (true), rsv (0: three bits), payload (""), masked, key,
  --          length (what is announced, default: the payload's), size (of the length field: 7, 16 or 64 bits)
  function side.frame(f) return frame_of(f, masks) end
  function side.text(payload) return side.frame { opcode = 1, payload = payload } end
  function side.binary(payload) return side.frame { opcode = 2, payload = payload } end
  function side.ping(payload) return side.frame { opcode = 9, payload = payload } end
  function side.pong(payload) return side.frame { opcode = 10, payload = payload } end

  --- A Close frame; without a code it is empty.
  function side.close(code, reason)
    return side.frame { opcode = 8, payload = code and (">I2"):pack(code) .. (reason or "") or "" }
  end

  --- Takes a descriptor over.
  function side.new(fd) return setmetatable({ fd = fd, input = "" }, side) end

  return side
end

-- ---- the connection

local contexts = {}

-- Made once: they are what takes time.
local function context(accepts, version)
  local own = accepts and certificates.of "localhost" or {}
  local name = tostring(own.cert) .. tostring(version)
  if not contexts[name] then
    contexts[name] = assert(require "secure".context(own.cert, own.key, version == "1.2"))
  end
  return contexts[name]
end

--- From here on it is over TLS, in the role that this side has; the handshake is still to come.
-- @param version "1.2": no later one, true: any
function wire:begin_tls(version)
  self.tls = assert(context(not self.masks, version):session(not self.masks))
end

--- From here on it is over TLS. version: as for begin_tls.
function wire:start_tls(version)
  self:begin_tls(version)
  while true do
    local over, wrong = self.tls:handshake()
    local ok, why = self:send_raw(self.tls:take())
    if over then return self end
    if over == false and ok then ok, why = self:receive_raw() end
    if not ok or over == nil then error("no TLS: " .. (self.failure or wrong or why), 2) end
  end
end

--- Bytes as send sends them: over TLS, in records.
function wire:sealed(bytes)
  if not self.tls then return bytes end
  local records = {}
  for from = 1, #bytes, 16384 do -- all at once, OpenSSL would keep a buffer for so much
    self.tls:write(bytes:sub(from, from + 16383))
    records[#records + 1] = self.tls:take()
  end
  return table.concat(records)
end

--- Sends bytes, however long the other side takes to read them. nil and what went wrong otherwise.
function wire:send(bytes) return self:send_raw(self:sealed(bytes)) end

--- The same past TLS.
function wire:send_raw(bytes)
  local from = 1
  while from <= #bytes do
    local n, wrong = raw.send(self.fd, from == 1 and bytes or bytes:sub(from))
    if not n then return nil, wrong end
    from = from + n
    if n == 0 and not moonsocket.wait(self.fd, "w", wire.TIMEOUT) then return nil, "timeout" end
  end
  return true
end

--- Sends each byte in a segment of its own.
function wire:drip(bytes)
  for i = 1, #bytes do
    if not self:send(bytes:sub(i, i)) then return nil end
    moonsocket.sleep(0)
  end
  return true
end

-- What came over TLS goes to the input. Its close_notify is remembered: only with it FIN is an end in order (RFC 8446
-- section 6.1).
function wire:unseal(records)
  self.tls:put(records)
  while true do
    local bytes, wrong = self.tls:read(65536)
    if bytes then
      self.input = self.input .. bytes
    else
      if wrong == "notify" then self.notified = true elseif wrong ~= "wait" then self.failure = wrong end
      return
    end
  end
end

-- One receive; the end is remembered in self.ended: "fin", "reset", or over TLS "cut off" or OpenSSL's words.
function wire:receive_raw(timeout)
  if self.ended then return nil, self.ended end
  while true do
    local bytes, wrong = raw.receive(self.fd, 65536)
    if bytes then
      if self.tls then self:unseal(bytes) else self.input = self.input .. bytes end
      return true
    elseif wrong ~= "wait" then
      if self.tls and wrong == "fin" then wrong = self.failure or self.notified and "fin" or "cut off" end
      self.ended = wrong
      return nil, wrong
    elseif not moonsocket.wait(self.fd, "r", timeout or wire.TIMEOUT) then
      return nil, "timeout"
    end
  end
end

-- More input, or nil and how it ended.
function wire:fill(timeout)
  local before = #self.input
  repeat
    local ok, wrong = self:receive_raw(timeout)
    if not ok then return nil, wrong end
  until #self.input > before
  return true
end

--- Exactly n bytes, or nil and "fin", "reset" or "timeout".
function wire:read(n, timeout)
  while #self.input < n do
    local ok, wrong = self:fill(timeout)
    if not ok then return nil, wrong end
  end
  local bytes = self.input:sub(1, n)
  self.input = self.input:sub(n + 1)
  return bytes
end

--- An HTTP head with its empty line.
function wire:read_head(timeout)
  while not self.input:find("\r\n\r\n", 1, true) do
    local ok, wrong = self:fill(timeout)
    if not ok then return nil, wrong end
  end
  local _, last = self.input:find("\r\n\r\n", 1, true)
  return self:read(last)
end

--- The next frame: { opcode =, name =, fin =, rsv =, masked =, key =, payload = without its mask, code =, reason = }
-- (the last two of a Close); wrong = says that it is masked and must not be, or the other way round.
function wire:read_frame(timeout)
  local head, wrong = self:read(2, timeout)
  if not head then return nil, wrong end
  local first, second = head:byte(1, 2)
  local length = second & 0x7f
  if length == 126 then length = (">I2"):unpack(assert(self:read(2, timeout)))
  elseif length == 127 then length = (">I8"):unpack(assert(self:read(8, timeout))) end
  local masked = second & 0x80 ~= 0
  local key = masked and assert(self:read(4, timeout)) or nil
  local payload
  payload, wrong = self:read(length, timeout)
  if not payload then return nil, wrong end
  if masked then payload = mask(payload, key) end
  local opcode = first & 0x0f
  local frame = {
    opcode = opcode, name = names[opcode], fin = first & 0x80 ~= 0, rsv = first >> 4 & 7,
    masked = masked, key = key, payload = payload,
  }
  if masked == self.masks then frame.wrong = masked and "masked" or "not masked" end
  if opcode == 8 then self.close_read = true end
  if opcode == 8 and #payload >= 2 then
    frame.code, frame.reason = (">I2"):unpack(payload), payload:sub(3)
  end
  return frame
end

--- Ends TCP if that is this side's turn (RFC 6455 section 7.1.1): a server's, which has had a Close frame.
function wire:end_if_due()
  if self.close_read and not self.masks then self:fin() end
end

--- Frames up to the end of TCP, by a side that behaves: their list, and "fin", "reset" or "timeout".
function wire:read_all(timeout)
  local frames = {}
  while true do
    self:end_if_due()
    local frame, wrong = self:read_frame(timeout)
    if not frame then return frames, wrong end
    frames[#frames + 1] = frame
  end
end

--- A frame in one string: "text hi", "close 1000 bye", "close", "ping"; what a frame must not be is named.
function wire.describe(frame)
  local words = { frame.name or "opcode " .. frame.opcode }
  if not frame.fin then words[#words + 1] = "unfinished" end
  if frame.rsv ~= 0 then words[#words + 1] = "rsv " .. frame.rsv end
  words[#words + 1] = frame.wrong
  words[#words + 1] = frame.code
  local text = frame.reason or frame.payload
  if text ~= "" then words[#words + 1] = text end
  return table.concat(words, " ")
end

--- The last bytes and how TCP ended, whatever they are: bytes, "fin" | "reset" | "timeout" and so on.
function wire:read_rest(timeout)
  local ok, wrong
  repeat ok, wrong = self:fill(timeout) until not ok
  local rest = self.input
  self.input = ""
  return rest, wrong
end

-- Over TLS an end is announced. That it arrives is a matter of luck where nobody reads.
local function notify(self)
  if not self.tls then return end
  self.tls:notify()
  raw.send(self.fd, self.tls:take())
end

--- Nothing more will be sent: close_notify over TLS, and FIN.
function wire:fin()
  notify(self)
  return self:cut()
end

--- FIN alone: over TLS nobody can tell it from the end that somebody else has made.
function wire:cut() return raw.fin(self.fd) end

--- Closes the socket: the end as by fin now, RST on what arrives later.
function wire:drop()
  if not self.fd then return end
  notify(self)
  raw.close(self.fd)
  self.fd = nil
end

function wire:reset()
  raw.reset(self.fd)
  self.fd = nil
end

return wire
