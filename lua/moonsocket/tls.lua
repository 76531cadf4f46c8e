-- What the option tls becomes for the core: a context, made of what the files say now.

local core = require "moonsocket.core"
local options = require "moonsocket.options"
local url = require "moonsocket.url"

local tls = {}

-- RFC 7301 section 3.1
local function on_the_wire(protocols)
  local parts = {}
  for i, name in ipairs(protocols) do parts[i] = ("s1"):pack(name) end
  return table.concat(parts)
end

local function list_of(sni)
  local list = {}
  for host, identity in pairs(sni) do
    list[#list + 1] = { host = host, cert = identity.cert, key = identity.key }
  end
  table.sort(list, function(a, b) return a.host < b.host end) -- so that of several mistakes the same is told
  return list
end

local function context(given, is_server)
  local verify = given.verify
  if verify == nil then verify = not is_server end
  local made, wrong = core.tls({
    cert = given.cert, key = given.key, ca = given.ca, verify = verify,
    protocols = on_the_wire(given.alpn or { "http/1.1" }), sni = list_of(given.sni or {}),
  }, is_server)
  if not made then return nil, "cannot use the option tls: " .. wrong end
  return made
end

--- A server's context. given: as options.check has let it pass.
function tls.server(given) return context(given, true) end

--- What server:reload_tls calls: function([given]) -> context, or nil and a message. Without a table it reads the files
-- of the latest one again.
function tls.renewer(latest)
  return function(given)
    given = given == nil and latest or given
    local wrong = options.server.tls[2](given)
    if wrong then error("reload_tls: " .. wrong, 3) end
    local made, message = tls.server(given)
    if made then latest = given end
    return made, message
  end
end

-- Without the option. Reading the system's store takes milliseconds, so it is done once.
local default

--- A client's.
function tls.client(given)
  if given then return context(given, false) end
  local wrong
  if not default then default, wrong = context({}, false) end
  return default, wrong
end

--- Whose certificate a client wants to see: who the option says, or the URL's host, without the dot of the root.
function tls.server_name(given, host)
  return given and given.server_name or url.without_zone(host):gsub("%.$", "")
end

return tls
