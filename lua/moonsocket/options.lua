-- Options: one row each. library/moonsocket.lua documents them for users.

local headers = require "moonsocket.headers"
local ip = require "moonsocket.ip"
local proxy = require "moonsocket.proxy"

local options = {}

local KiB, MiB = 1024, 1024 * 1024

local function at_least(minimum, kind, unit)
  return function(value)
    if (kind == "integer" and math.type(value) or type(value)) ~= kind or value < minimum or value ~= value then
      return ("%s of %s or more expected, got %s"):format(
        kind == "integer" and "an integer" or "a number", unit .. minimum, tostring(value))
    end
  end
end

local function bytes(minimum) return at_least(minimum, "integer", "bytes, ") end
local function seconds(minimum) return at_least(minimum, "number", "seconds, ") end
local function count(minimum) return at_least(minimum, "integer", "") end

local function between(first, last)
  return function(value)
    if math.type(value) ~= "integer" or value < first or value > last then
      return ("an integer from %d to %d expected, got %s"):format(first, last, tostring(value))
    end
  end
end

local function one_of(...)
  local allowed = { ... }
  return function(value)
    for _, name in ipairs(allowed) do
      if value == name then return nil end
    end
    return ('"%s" expected, got %s'):format(table.concat(allowed, '", "'), tostring(value))
  end
end

local function boolean(value)
  if type(value) ~= "boolean" then return "a boolean expected, got " .. tostring(value) end
end

options.boolean = boolean -- for rows elsewhere

local function callable(value)
  if type(value) ~= "function" then return "a function expected, got " .. tostring(value) end
end

local function list_of_strings(value)
  if type(value) ~= "table" then return "a list of strings expected, got " .. tostring(value) end
  for i, entry in ipairs(value) do
    if type(entry) ~= "string" then return ("entry %d is not a string but a %s"):format(i, type(entry)) end
  end
  if #value == 0 then return "the list is empty" end
end

-- RFC 6455 section 4.1: tokens of RFC 9110.
local function tokens(value)
  local wrong = list_of_strings(value)
  if wrong then return wrong end
  for _, name in ipairs(value) do
    if not headers.is_token(name) then return ("'%s' is not a token"):format(name) end
  end
end

-- What is in it is checked by headers.request, where lines are made of it.
local function by_name(value)
  if type(value) ~= "table" then return "a table { name = value } expected, got " .. tostring(value) end
end

local function origins(value)
  if value == "*" or type(value) == "function" then return nil end
  if type(value) == "table" then return list_of_strings(value) end
  return '"*", a list of origins or a function expected, got ' .. tostring(value)
end

local function proxies(value)
  local wrong = list_of_strings(value)
  if wrong then return wrong end
  for _, entry in ipairs(value) do
    local network, why = ip.network(entry)
    if entry ~= "unix" and not network then return why end
  end
end

local function log_target(value)
  if type(value) == "boolean" or type(value) == "function" or io.type(value) == "file" then return nil end
  return "true, false, an open file or a function expected, got " .. tostring(value)
end

-- A table with these fields: name -> check. also(value), if given, has the last word.
local function fields(rows, also)
  return function(value)
    if type(value) ~= "table" then return "a table expected, got " .. tostring(value) end
    for name, field in pairs(value) do
      if not rows[name] then
        return ("unknown field '%s': %s"):format(name, options.hint(name, options.names(rows)))
      end
      local wrong = rows[name](field)
      if wrong then return ("%s: %s"):format(name, wrong) end
    end
    return also and also(value)
  end
end

-- ---- tls

-- What is wrong is not shown where it is a string: it may be a key.
local function pem(value)
  if type(value) ~= "string" then return "the path of a file, or PEM, expected, got " .. tostring(value) end
  if value == "" then return "the path of a file, or PEM, expected, got an empty string" end
end

local function needs_both(value)
  if not value.cert or not value.key then
    return ("cert and key expected: %s is missing"):format(value.cert and "key" or value.key and "cert" or "each")
  end
end

local identity = fields({ cert = pem, key = pem }, needs_both)

-- RFC 1123 section 2.1; what ends with a number would be an address.
local function is_host_name(text)
  if #text > 253 or text:find "^%d+$" or text:find "%.%d+$" then return false end
  for label in (text .. "."):gmatch "([^.]*)%." do
    if #label > 63 or not label:find "^[%w_][%w_-]*$" then return false end
  end
  return true
end

-- RFC 9525 section 6.3: a wildcard is a whole label, the first.
local function sni(value)
  if type(value) ~= "table" then return "a table { [host] = { cert =, key = } } expected, got " .. tostring(value) end
  local seen = {}
  for host, of_host in pairs(value) do
    if type(host) ~= "string" or not is_host_name((host:gsub("^%*%.", ""))) then
      return ("a name such as 'chat.example.org' or '*.example.org' expected, got '%s'"):format(host)
    end
    local before = seen[host:lower()]
    if before then return ("'%s' and '%s' are the same host"):format(before, host) end
    seen[host:lower()] = host
    local wrong = identity(of_host)
    if wrong then return ("%s: %s"):format(host, wrong) end
  end
end

-- RFC 7301 section 3.1
local function protocols(value)
  local wrong = list_of_strings(value)
  if wrong then return wrong end
  for _, name in ipairs(value) do
    if name == "" or #name > 255 then return "names of 1 to 255 bytes expected, got one of " .. #name end
    if name == "h2" or name == "h3" then return ("'%s' expected, not '%s'"):format("http/1.1", name) end
  end
end

local function server_name(value)
  if type(value) ~= "string" or not (is_host_name(value) or value:find "^[%d.]+$" or value:find ":.*:") then
    return "a host's name or address, without a port, expected, got " .. tostring(value)
  end
end

local tls_server = fields({ cert = pem, key = pem, ca = pem, verify = boolean, alpn = protocols, sni = sni },
  function(value)
    if value.verify and not value.ca then return "verify: ca expected, which says whose clients are trusted" end
    if value.ca and value.verify == nil then return "ca: it says whose clients are trusted, if verify = true" end
    return needs_both(value)
  end)

local tls_client = fields(
  { cert = pem, key = pem, ca = pem, verify = boolean, alpn = protocols, server_name = server_name },
  function(value)
    if value.cert or value.key then return needs_both(value) end
  end)

-- ---- rows

local function proxy_url(value)
  if value == "environment" then return nil end
  local _, wrong = proxy.parse(value)
  return wrong
end

-- compression = true means these defaults (RFC 7692 section 7.1). No takeover: no memory per connection.
local compression_rows = {
  level = { 1, between(1, 9) },
  threshold = { 1 * KiB, bytes(1) },
  server_no_context_takeover = { true, boolean },
  client_no_context_takeover = { true, boolean },
  server_max_window_bits = { 15, between(8, 15) },
  client_max_window_bits = { 15, between(8, 15) },
}

local fill

local function compression(value)
  if type(value) == "boolean" then return nil end
  if type(value) ~= "table" then return "true, false or a table { level =, ... } expected, got " .. tostring(value) end
  local _, wrong = fill(value, compression_rows)
  return wrong
end

local function whole_compression(value) return value and fill(value == true and {} or value, compression_rows) end

-- A number of messages a second, or a table; burst: seconds.
local function over(minimum)
  return function(value)
    if type(value) ~= "number" or not (value > minimum and value < math.huge) then
      return ("a number over %s expected, got %s"):format(minimum, tostring(value))
    end
  end
end

local rate_rows = {
  messages = { 0, over(0) },
  bytes = { 0, over(0) },
  burst = { 1, over(0) },
  over = { "pause", one_of("pause", "close") },
}

local function rate(value)
  if value == false then return nil end
  if type(value) ~= "table" then
    return over(0)(value) and "a number of messages a second or a table { messages =, bytes =, burst =, over = } "
      .. "expected, got " .. tostring(value)
  end
  local _, wrong = fill(value, rate_rows)
  return wrong or not value.messages and not value.bytes and "messages or bytes expected, or both" or nil
end

local function whole_rate(value)
  return value and fill(type(value) == "number" and { messages = value } or value, rate_rows)
end

-- name -> { default, check, whole }; check returns what is wrong, or nil; whole, if any, makes of the value what the
-- core takes. These are every connection's.
local connection = {
  max_message = { 1 * MiB, bytes(1) },
  max_buffered = { 1 * MiB, bytes(1) },
  on_overflow = { "close", one_of("close", "drop", "wait") },
  compression = { false, compression, whole_compression },
  max_rate = { false, rate, whole_rate },
  ping_interval = { 20, seconds(0) },
  pong_timeout = { 20, seconds(0) },
  send_timeout = { 20, seconds(0) },
  idle_timeout = { 0, seconds(0) },
  close_timeout = { 5, seconds(0.001) },
  subprotocols = { nil, tokens },
}

-- The rows of both.
local function extend(rows, more)
  for name, row in pairs(rows) do more[name] = row end
  return more
end

-- Of a WebSocket endpoint: serve takes them, and a route of a router.
options.endpoint = extend(connection, {
  origins = { nil, origins },
  authorize = { nil, callable },
})

local max_head = { 8 * KiB, bytes(256) }

options.server = extend(options.endpoint, {
  max_head = max_head,
  handshake_timeout = { 10, seconds(0.001) },
  tcp_user_timeout = { 0, seconds(0) },
  max_connections = { 0, count(0) },
  max_connections_per_address = { 0, count(0) },
  backlog = { 511, count(1) },
  reuse_port = { false, boolean },
  proxy_protocol = { false, boolean },
  trusted_proxies = { nil, proxies },
  log = { false, log_target },
  tls = { nil, tls_server },
})

options.client = extend(connection, {
  max_head = max_head,
  timeout = { 10, seconds(0.001) },
  headers = { nil, by_name },
  cookies = { nil, by_name },
  max_body = { 64 * KiB, bytes(0) },
  proxy = { nil, proxy_url },
  tls = { nil, tls_client },
})

options.reconnect = extend(options.client, {
  min_delay = { 1, seconds(0.001) },
  max_delay = { 60, seconds(0.001) },
  stable_after = { 60, seconds(0) },
  queue = { 0, count(0) },
  should_retry = { nil, callable },
  on_open = { nil, callable },
  on_down = { nil, callable },
})

options.run = {
  signals = { true, boolean },
}

-- How many characters must be added, taken away or changed to make b of a (Levenshtein).
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      diagonal, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
    end
  end
  return row[#b]
end

local function plain(name) return name:lower():gsub("[_-]", "") end

--- What to say of a name that is none of those in the list: the one that is meant, or all that there are.
function options.hint(name, names)
  local best, least = nil, 3
  for _, candidate in ipairs(type(name) == "string" and names or {}) do
    local far = distance(plain(name), plain(candidate))
    if far < least then best, least = candidate, far end
  end
  if best then return ("is '%s' meant?"):format(best) end
  return ("there are %s"):format(table.concat(names, ", "))
end

--- The names of a table, in order.
function options.names(rows)
  local names = {}
  for name in pairs(rows) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- A new table of what is given and, for the rest, the defaults; or nil and what is wrong.
function fill(given, rows)
  local filled = {}
  for name, row in pairs(rows) do filled[name] = row[1] end
  for name, value in pairs(given) do
    local row = rows[name]
    if not row then return nil, ("unknown option '%s': %s"):format(name, options.hint(name, options.names(rows))) end
    local wrong = row[2](value)
    if wrong then return nil, ("option '%s': %s"):format(name, wrong) end
    filled[name] = row[3] and row[3](value) or value
  end
  return filled
end

--- Checks what the user gave to a function of that name and fills in the defaults.
-- @return a new table; raises at the level, as error does, where something is wrong
function options.check(what, given, rows, level)
  if given ~= nil and type(given) ~= "table" then
    error(("%s: a table of options expected, got a %s"):format(what, type(given)), level)
  end
  local filled, wrong = fill(given or {}, rows)
  if not filled then error(("%s: %s"):format(what, wrong), level) end
  return filled
end

--- The options of serve that its endpoints have, too.
function options.endpoint_part(given)
  local part = {}
  for name in pairs(options.endpoint) do part[name] = given[name] end
  return part
end

--- Checks what is given to one endpoint of several: the listener is everybody's.
function options.check_endpoint(what, given, level)
  for name in pairs(type(given) == "table" and given or {}) do
    if options.server[name] and not options.endpoint[name] then
      error(("%s: option '%s' is the listener's: give it to serve"):format(what, name), level)
    end
  end
  options.check(what, given, options.endpoint, level + 1)
end

return options
