-- Numeric addresses: their bytes.

local ip = {}

local MAPPED = ("\0"):rep(10) .. "\xFF\xFF" -- RFC 4291 section 2.5.5.2

-- A leading zero means octal to some and nothing to others.
local function ipv4(text)
  local numbers = { text:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$" }
  for i, digits in ipairs(numbers) do
    if #digits > 3 or tonumber(digits) > 255 or digits:find "^0." then return nil end
    numbers[i] = string.char(digits)
  end
  return #numbers == 4 and table.concat(numbers) or nil
end

-- The bytes of a part of an IPv6 address that has no "::".
local function pieces_of(part)
  local bytes = {}
  for piece, separator in part:gmatch "([^:]*)(:?)" do
    if piece:find "^%x%x?%x?%x?$" then
      bytes[#bytes + 1] = (">I2"):pack(tonumber(piece, 16))
    elseif separator == "" and ipv4(piece) then
      bytes[#bytes + 1] = ipv4(piece)
    elseif part ~= "" then
      return nil
    end
  end
  return part:sub(-1) ~= ":" and table.concat(bytes) or nil
end

-- RFC 4291 section 2.2
local function ipv6(text)
  local before, after = text:match "^(.-)::(.*)$"
  if not before then
    local bytes = pieces_of(text)
    return bytes and #bytes == 16 and bytes or nil
  end
  local left, right = pieces_of(before), pieces_of(after)
  local missing = left and right and not before:find(".", 1, true) and 16 - #left - #right or 0
  return missing >= 2 and left .. ("\0"):rep(missing) .. right or nil
end

--- The bytes of an address, 4 or 16 of them; nil where the text is none.
function ip.parse(text) return ipv4(text) or ipv6(text) end

--- A network, "10.0.0.0/8" or a single address, as the core has it: the bytes of an IPv6 address, into which IPv4 is
-- mapped, and how many bits count.
-- @return 17 bytes; or nil and what is wrong
function ip.network(text)
  local address, size = text:match "^(.*)/(%d+)$"
  local bytes = ip.parse(address or text)
  local most = bytes and 8 * #bytes
  local bits = math.tointeger(tonumber(size or most))
  if not bytes or not bits or bits > most then
    return nil, ("an address or a network such as '10.0.0.0/8' expected, got '%s'"):format(text)
  end
  local rest = (bytes .. "\0"):byte(bits // 8 + 1) & 0xFF >> bits % 8
  if rest ~= 0 or bytes:find("[^\0]", bits // 8 + 2) then
    return nil, ("'%s' has bits behind the first %d: a network is written with its first address"):format(text, bits)
  end
  return #bytes == 4 and MAPPED .. bytes .. string.char(bits + 96) or bytes .. string.char(bits)
end

--- Whether two addresses have the same first bits, which are no more than an address has.
function ip.share(bits, a, b)
  local whole, rest = bits // 8, bits % 8
  if #a ~= #b or a:sub(1, whole) ~= b:sub(1, whole) then return false end
  return rest == 0 or a:byte(whole + 1) >> (8 - rest) == b:byte(whole + 1) >> (8 - rest)
end

--- Whether it is an address of this machine alone: 127.0.0.0/8 or ::1.
function ip.is_loopback(bytes) return #bytes == 4 and bytes:byte() == 127 or bytes == ("\0"):rep(15) .. "\1" end

return ip
