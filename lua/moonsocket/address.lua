-- Where a server listens: "host:port", a port, "unix:/path", "fd:3".

local address = {}

local function port_number(text)
  local port = text:match("^%d+$") and math.tointeger(text)
  return port and port <= 65535 and port or nil
end

--- Takes an address apart.
-- @param where a port number (every interface), "host:port", ":port", "[::1]:port", "unix:/path" or "fd:3"
-- @return {host = , port = } | {path = } | {fd = }, or nil and what is wrong with it
function address.parse(where)
  if math.type(where) == "integer" then
    if where < 0 or where > 65535 then return nil, ("port %d is not between 0 and 65535"):format(where) end
    return { port = where }
  elseif type(where) ~= "string" then
    return nil, ("an address is a port number or a string, not a %s"):format(type(where))
  end
  local path = where:match("^unix:(.+)$")
  if path then return { path = path } end
  local fd = where:match("^fd:(%d+)$")
  if fd then return { fd = math.tointeger(fd) } end
  local host, port = where:match("^%[([%x:.%%%w]+)%]:(%d+)$")
  if not host then host, port = where:match("^([^:]*):(%d+)$") end
  port = port and port_number(port)
  if not port then
    return nil, ("'%s' is not an address: \"host:port\", \"[::1]:port\", a port number, \"unix:/path\" or "
      .. "\"fd:3\" expected"):format(where)
  end
  return { host = host ~= "" and host or nil, port = port }
end

return address
