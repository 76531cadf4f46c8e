-- Frames, right or wrong (RFC 6455 section 5.2). The core's own encoder could not do wrong.

local options = require "moonsocket.options"

local frame = {}

local CLOSE = 8
local opcodes = { continuation = 0, text = 1, binary = 2, close = CLOSE, ping = 9, pong = 10 }
local names = {}
for name, opcode in pairs(opcodes) do names[opcode] = name end

local function up_to(maximum)
  return function(value)
    if math.type(value) ~= "integer" or value < 0 or value > maximum then
      return ("an integer from 0 to %d expected, got %s"):format(maximum, tostring(value))
    end
  end
end

local function opcode(value)
  if opcodes[value] or not up_to(15)(value) then return nil end
  return ('"text", "binary", "continuation", "close", "ping", "pong" or a number up to 15 expected, got %s')
    :format(tostring(value))
end

local function text(value)
  if type(value) ~= "string" then return "a string expected, got " .. tostring(value) end
end

-- What a frame may be: as the rows of moonsocket.options.
local rows = {
  opcode = { "text", opcode },
  fin = { true, options.boolean },
  rsv = { 0, up_to(7) },
  masked = { true, options.boolean },
  payload = { "", text },
  announced_length = { nil, up_to(math.maxinteger) },
}

--- Checks what a user wants to send and fills in the defaults; raises at the level, as error does.
function frame.check(what, given, level)
  local f = options.check(what, given, rows, level + 1)
  f.opcode = opcodes[f.opcode] or f.opcode
  return f
end

-- A masked payload that stays as it is. No server can tell that somebody could have guessed it.
local KEY = "\0\0\0\0"

--- The payload of a Close frame; without a code it is empty.
function frame.close_payload(code, reason) return code and (">I2"):pack(code) .. (reason or "") or "" end

--- The bytes of a frame.
-- @param f of frame.check: opcode (a number), fin, rsv (three bits), masked, payload, announced_length (or nil: right)
function frame.encode(f)
  local length = f.announced_length or #f.payload
  local first = (f.fin and 0x80 or 0) | f.rsv << 4 | f.opcode
  local mask = f.masked and 0x80 or 0
  local head
  if length < 126 then
    head = (">BB"):pack(first, mask | length)
  elseif length < 65536 then
    head = (">BBI2"):pack(first, mask | 126, length)
  else
    head = (">BBi8"):pack(first, mask | 127, length)
  end
  return head .. (f.masked and KEY or "") .. f.payload
end

-- The payload's length, and where it or the masking key begins; nil: more is needed.
local function length_in(input)
  local length = input:byte(2) & 0x7f
  if length < 126 then return length, 3 end
  local format = length == 126 and ">I2" or ">i8"
  if #input < 2 + string.packsize(format) then return nil end
  return format:unpack(input, 3)
end

--- The first frame in the input.
-- @return { name =, opcode =, fin =, rsv =, masked =, payload =, and of a Close frame code =, reason = } and where the
--         next one begins; nil where it is not complete
function frame.decode(input)
  if #input < 2 then return nil end
  local length, from = length_in(input)
  if not length or length < 0 then return nil end -- of 2^63 bytes or more no frame ever comes
  local first, masked = input:byte(1), input:byte(2) >= 0x80
  if masked then from = from + 4 end
  if #input < from - 1 + length then return nil end
  local f = {
    opcode = first & 0x0f, name = names[first & 0x0f], fin = first >= 0x80, rsv = first >> 4 & 7, masked = masked,
    payload = input:sub(from, from - 1 + length),
  }
  if f.name == "close" and length >= 2 then f.code, f.reason = (">I2"):unpack(f.payload), f.payload:sub(3) end
  return f, from + length
end

frame.CLOSE = CLOSE

return frame
