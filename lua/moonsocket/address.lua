-- Where a server listens: "host:port", a port, "unix:/path", "fd:3".

local address = {}

-- The digits as an integer of at most max; nil for any other.
local function number_up_to(max, digits)
  local number = math.tointeger(tonumber(digits))
  return number and number <= max and number or nil
end

--- Takes an address apart.
-- @param where a port number (every interface), "host:port", ":port", "[::1]:port", "unix:/path" or "fd:3"
-- @return {host = , port = } | {path = } | {fd = }, or nil and what is wrong with it
function address.parse(where)
  if type(where) == "number" then
    local port = math.tointeger(where)
    if port and port >= 0 and port <= 65535 then return { port = port } end
    return nil, ("port %s is not an integer between 0 and 65535"):format(where)
  elseif type(where) ~= "string" then
    return nil, ("an address is a port number or a string, not a %s"):format(type(where))
  end
  local path = where:match("^unix:([^\0]+)$")
  if path then return { path = path } end
  local fd = number_up_to(0x7fffffff, where:match("^fd:(%d+)$"))
  if fd then return { fd = fd } end
  local host, port = where:match("^%[([%x:.%%%w]+)%]:(%d+)$")
  if not host then host, port = where:match("^([^:%[%]\0]*):(%d+)$") end
  port = number_up_to(65535, port)
  if not port then
    return nil, ("'%s' is not an address: \"host:port\", \"[::1]:port\", a port number, \"unix:/path\" or "
      .. "\"fd:3\" expected"):format(where)
  end
  return { host = host ~= "" and host or nil, port = port }
end

return address
