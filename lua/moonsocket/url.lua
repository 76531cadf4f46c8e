-- Where a client connects to: "ws://host/path", "wss://host/path", "ws+unix:/path/to.sock:/path" (RFC 6455 section 3).

local ip = require "moonsocket.ip"

local url = {}

local default_ports = { ws = 80, wss = 443 }

-- What somebody may have meant who wrote another scheme.
local meant = { http = "ws://", https = "wss://", unix = "ws+unix:", ["http+unix"] = "ws+unix:" }

local function decoded(text) return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)) end

-- Of a % without two digits nobody knows whether it is meant as one or was encoded wrongly.
local function is_percent_encoded(text) return not text:gsub("%%%x%x", ""):find("%", 1, true) end

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(bytes)
  local padding = -#bytes % 3
  local text = (bytes .. ("\0"):rep(padding)):gsub("...", function(three)
    local bits = (">I3"):unpack(three)
    return (("x"):rep(4):gsub("()x", function(place)
      local digit = (bits >> (24 - 6 * place) & 63) + 1
      return alphabet:sub(digit, digit)
    end))
  end)
  return text:sub(1, #text - padding) .. ("="):rep(padding)
end

-- ---- the host

-- The zone is for this machine's routing alone: it is not sent (RFC 6874 section 3).
local function ipv6_host(text)
  local number, zone = text:match "^([^%%]*)%%25([%w._~-]+)$"
  if not number then number, zone = text:match "^([^%%]*)%%(%a[%w._~-]*)$" end
  number = (number or text):lower()
  if #(ip.parse(number) or "") ~= 16 then return nil, ("[%s] is not an IPv6 address"):format(text) end
  return zone and number .. "%" .. zone or number, "[" .. number .. "]"
end

local function named_host(text)
  if text == "" then
    return nil, "the host is missing behind '//'"
  elseif text:find "[\x80-\xff]" then
    return nil, ("the host '%s' is not ASCII: write an international name as DNS has it, 'xn--...'"):format(text)
  elseif text:find("%", 1, true) then
    return nil, ("the host '%s' has a '%%': a host is not percent-encoded"):format(text)
  elseif text:find ":.*:" then
    return nil, ("the host '%s' has several ':': an IPv6 address stands in brackets, [::1]"):format(text)
  elseif text:find "[^%w._-]" then
    return nil, ("the host '%s' has a character that no host may have"):format(text)
  end
  text = text:lower()
  return text, text
end

-- The port is left out of Host where it is the scheme's own (RFC 6455 section 4.1).
local function set_host(parts, text, default_port)
  local name, rest = text:match "^(%[[^%]]*%])(.*)$"
  local ipv6 = name ~= nil
  if not ipv6 then name, rest = text:match "^(.*)(:[^:]*)$" end
  if not name or not ipv6 and name:find(":", 1, true) then name, rest = text, "" end
  local host, header
  if ipv6 then host, header = ipv6_host(name:sub(2, -2)) else host, header = named_host(name) end
  if not host then return nil, header end
  local digits = rest:match "^:(%d*)$"
  local port = rest:find "^:?$" and default_port or digits and #digits <= 5 and math.tointeger(tonumber(digits))
  if not port or port < 1 or port > 65535 then
    -- what is no number may be a password, whose '@' was forgotten
    return nil, ("the port%s is not a number from 1 to 65535"):format(digits and " '" .. digits .. "'" or "")
  end
  parts.host, parts.port = host, port
  parts.host_header = port == default_port and header or header .. ":" .. port
  return parts
end

-- ---- user and password. They are in no message: those end up in logs.

local function set_user(parts, text)
  if text == "" then return parts end
  if text:find("@", 1, true) then
    return nil, "there is more than one '@': in a user or password it is written '%40'"
  elseif not is_percent_encoded(text) then
    return nil, "the user or password has a '%' without two hexadecimal digits behind it: it is written '%25'"
  end
  local user, password = text:match "^([^:]*):?(.*)$"
  parts.user, parts.password = decoded(user), decoded(password)
  return parts
end

--- The value of an Authorization header (RFC 7617), or nil and what is wrong.
function url.basic(user, password)
  if user:find(":", 1, true) then
    return nil, "the user has a ':', which Basic authorization has no way to say"
  elseif (user .. password):find "[\0-\31\127]" then
    return nil, "the user or password has a control character"
  end
  return "Basic " .. base64(user .. ":" .. password)
end

--- A host without the zone of an IPv6 address (RFC 4007), which means something on this machine alone.
function url.without_zone(host) return (host:gsub("%%.*", "")) end

--- Takes "user:password@host:port" apart.
-- @return { host =, port =, host_header =, user =, password = }, the last two nil where there are none; or nil and what
--         is wrong with it
function url.authority(text, default_port)
  local userinfo, host = text:match "^(.*)@(.*)$"
  local parts, wrong = set_user({}, userinfo or "")
  if not parts then return nil, wrong end
  return set_host(parts, host or text, default_port)
end

-- ---- the resource

local function encoded(text, allowed)
  return (text:gsub(allowed, function(character) return ("%%%02X"):format(character:byte()) end))
end

-- What may not stand in a request target (RFC 3986 sections 3.3 and 3.4) is percent-encoded, as browsers do it: the
-- same URL works in both, be it "/café" or "/a b". What is encoded already stays as it is; so do "." and "..".
local function set_target(parts, text)
  if not is_percent_encoded(text) then
    return nil, "the path or query has a '%' without two hexadecimal digits behind it: it is written '%25'"
  end
  local path, query = text:match "^([^?]*)(.*)$"
  if path == "" then path = "/" end
  parts.target = encoded(path, "[^%w%%._~!$&'()*+,;=:@/-]") .. encoded(query, "[^%w%%._~!$&'()*+,;=:@/?-]")
  return parts
end

local function parse_remote(scheme, rest)
  local authority, resource = rest:match "^//([^/?]*)(.*)$"
  if not authority then return nil, ("'//' is missing behind '%s:': %s://host/path expected"):format(scheme, scheme) end
  local parts, wrong = url.authority(authority, default_ports[scheme])
  if not parts and resource:find("@", 1, true) then -- what is wrong may be the half of a password
    return nil, "an '@' comes behind the host: a '/' or '?' in a user or password is written '%2F' or '%3F'"
  elseif not parts then
    return nil, wrong
  end
  if parts.user then
    parts.authorization, wrong = url.basic(parts.user, parts.password)
    if not parts.authorization then return nil, wrong end
  end
  parts.scheme, parts.user, parts.password = scheme, nil, nil
  return set_target(parts, resource)
end

local function parse_unix(rest)
  local path, resource = rest:match "^([^:]*):?(.*)$"
  if path:find("?", 1, true) then
    return nil, "a query belongs behind the resource: ws+unix:/path/to.sock:/resource?query"
  elseif not is_percent_encoded(path) then
    return nil, "the socket's path has a '%' without two hexadecimal digits behind it: it is written '%25'"
  elseif not resource:find "^[/?]" and resource ~= "" then
    return nil, "the resource does not begin with '/': ws+unix:/path/to.sock:/resource expected"
  end
  path = decoded(path)
  if path == "" then
    return nil, "the socket's path is missing: ws+unix:/path/to.sock:/resource expected"
  elseif path:find("\0", 1, true) then
    return nil, "the socket's path has a NUL"
  end
  return set_target({ scheme = "ws+unix", path = path, host_header = "localhost" }, resource)
end

--- Takes a URL apart.
-- @return { scheme = "ws" | "wss", host =, port =, target =, host_header =, authorization = or nil }
--         or { scheme = "ws+unix", path = the socket's, target =, host_header = }, or nil and what is wrong with it
function url.parse(text)
  if type(text) ~= "string" then return nil, ("a URL is a string, not a %s"):format(type(text)) end
  local scheme, rest = text:match "^(%a[%w+.-]*):(.*)$"
  if text:find "[\0-\31\127]" then
    return nil, "the URL has a control character"
  elseif text:find "^ " or text:find " $" then
    return nil, "the URL begins or ends with a space"
  elseif not scheme then
    return nil, "a URL begins with ws://, wss:// or ws+unix:"
  end
  scheme = scheme:lower()
  if scheme ~= "ws+unix" and not default_ports[scheme] then
    return nil, meant[scheme] and ("use %s instead of %s:"):format(meant[scheme], scheme)
      or ("a URL begins with ws://, wss:// or ws+unix:, not with '%s:'"):format(scheme)
  elseif rest:find("#", 1, true) then -- section 3
    return nil, "a WebSocket URL has no fragment: a '#' that is part of a path or query is written '%23'"
  end
  if scheme == "ws+unix" then return parse_unix(rest) end
  return parse_remote(scheme, rest)
end

return url
