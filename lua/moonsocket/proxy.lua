-- Proxies of a client: the option proxy, and the environment variables that every program honours.

local ip = require "moonsocket.ip"
local url = require "moonsocket.url"

local proxy = {}

-- By scheme. The proxy always resolves the name: the h of socks5h says nothing more.
local kinds = { http = "http", socks5 = "socks5", socks5h = "socks5" }
local default_ports = { http = 80, socks5 = 1080 }

local SOCKS5_TEXT = 255 -- bytes: the length of each text is one byte

-- What each kind says of user and password.
local credentials = {}

function credentials.http(parts)
  if not parts.user then return {} end
  local authorization, wrong = url.basic(parts.user, parts.password)
  return authorization and { authorization = authorization }, wrong
end

function credentials.socks5(parts)
  local user, password = parts.user or "", parts.password or ""
  if #user > SOCKS5_TEXT or #password > SOCKS5_TEXT then
    return nil, ("the user or password is longer than the %d bytes that SOCKS5 has for it"):format(SOCKS5_TEXT)
  elseif user == "" and password ~= "" then
    return nil, "there is a password without a user, which SOCKS5 has no way to say"
  end
  return { user = user, password = password }
end

--- Takes a proxy's URL apart. What is wrong is said without the URL: a password may be in it.
-- @return { kind = "http" | "socks5", host =, port =, authorization = or nil, user =, password = }, or nil and what is
--         wrong with it
function proxy.parse(text)
  if type(text) ~= "string" then return nil, "a proxy's URL is a string, not a " .. type(text) end
  local scheme, authority, path = text:match "^(%a[%w+.-]*)://([^/?#]*)(.*)$"
  local kind = scheme and kinds[scheme:lower()]
  if scheme and scheme:lower() == "https" then
    return nil, "TLS to the proxy itself (https://) is not supported: http:// or socks5:// expected"
  elseif not kind then
    return nil, 'a proxy\'s URL is "http://host:port" or "socks5://host:port"'
      .. (scheme and (", and does not begin with '%s://'"):format(scheme) or "")
  elseif text:find "[\0-\31\127]" then
    return nil, "the proxy's URL has a control character"
  elseif path ~= "" and path ~= "/" then
    return nil, "a proxy's URL ends with the port: in a user or password '/' is written '%2F', '?' '%3F' and '#' '%23'"
  end
  local parts, wrong = url.authority(authority, default_ports[kind])
  if not parts then return nil, wrong end
  local found
  found, wrong = credentials[kind](parts)
  if not found then return nil, wrong end
  found.kind, found.host, found.port = kind, parts.host, parts.port
  return found
end

-- ---- the environment, as curl and Go's net/http read it

-- The first that is set holds. curl sets the fashion of lower case first.
local variables = {
  ws = { "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY" },
  wss = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" },
}

local function host_and_port(entry)
  local host, port = entry:match "^%[(.*)%]:?(%d*)$"
  if not host then host, port = entry:match "^([^:]*):(%d+)$" end
  return host or entry, math.tointeger(tonumber(port))
end

local function is_in_block(address, block, bits)
  local bytes = ip.parse(block)
  return address and bytes and bits <= 8 * #bytes and ip.share(bits, bytes, address)
end

-- Whether an entry of NO_PROXY covers a host: "*", "10.0.0.0/8", "10.0.0.1", "example.com" (with all that is below it),
-- ".example.com" (only what is below it); the last three with ":port" or without.
local function covers(entry, host, address, port)
  if entry == "*" then return true end
  local block, bits = entry:match "^(.*)/(%d+)$"
  if block then return is_in_block(address, block, tonumber(bits)) end
  local name, only = host_and_port(entry)
  if only and only ~= port then return false end
  if address or ip.parse(name) then return address == ip.parse(name) end
  name = name:gsub("^%*%.", ".")
  local suffix = name:find "^%." and name or "." .. name
  return host == name or name ~= "" and host:sub(-#suffix) == suffix
end

-- The zone of an address is for this machine's routing alone.
local function is_direct(list, target)
  local host = url.without_zone(target.host)
  local address = ip.parse(host)
  if host == "localhost" or address and ip.is_loopback(address) then return true end
  for entry in list:lower():gmatch "[^,%s]+" do
    if covers(entry, host, address, target.port) then return true end
  end
  return false
end

--- The proxy that the environment names for a target.
-- @param environment function(name) -> value or nil, as os.getenv
-- @param target what url.parse returned, not a Unix socket
-- @return what parse returns; nil: none; nil and what is wrong with the variable
function proxy.choose(environment, target)
  local function set(name)
    local value = environment(name)
    return value ~= "" and value or nil
  end
  if is_direct(set "no_proxy" or set "NO_PROXY" or "", target) then return nil end
  for _, name in ipairs(variables[target.scheme]) do
    -- A web server gives a CGI program the client's header Proxy under this very name.
    local value = not (name == "HTTP_PROXY" and set "REQUEST_METHOD") and set(name)
    if value then
      local found, wrong = proxy.parse(value:find("://", 1, true) and value or "http://" .. value)
      return found, wrong and ("environment variable %s: %s"):format(name, wrong)
    end
  end
  return nil
end

-- ---- the way to a target

local function through(chosen, target)
  local host = url.without_zone(target.host)
  local address = ip.parse(host)
  if chosen.kind == "socks5" and #host > SOCKS5_TEXT then
    return nil, ("the host's name has %d bytes, more than the %d that SOCKS5 has for it"):format(#host, SOCKS5_TEXT)
  end
  return {
    host = chosen.host, port = chosen.port, tunnel = chosen.kind,
    authority = (host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(host, target.port),
    proxy_authorization = chosen.authorization,
    origin = address or host, origin_numeric = address ~= nil, origin_port = target.port,
    proxy_user = chosen.user, proxy_password = chosen.password,
  }
end

--- How a target is reached: what the core connects to, and what it asks of the proxy there.
-- @param given the option proxy, which is right or nil
-- @return fields of the core's options, or nil and a message
function proxy.route(given, target, environment)
  local chosen, wrong
  if target.scheme ~= "ws+unix" then
    if given == "environment" then chosen, wrong = proxy.choose(environment, target) end
    if given and given ~= "environment" then chosen, wrong = proxy.parse(given) end
  end
  if wrong then return nil, wrong end
  if chosen then return through(chosen, target) end
  return { host = target.host, port = target.port or 0, path = target.path }
end

return proxy
