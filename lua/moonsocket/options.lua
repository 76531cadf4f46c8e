-- The options of a server: one row each. library/moonsocket.lua documents them for users.

local options = {}

local KiB, MiB = 1024, 1024 * 1024

local function at_least(minimum, kind, unit)
  return function(value)
    if (kind == "integer" and math.type(value) or type(value)) ~= kind or value < minimum or value ~= value then
      return ("%s of %s %s or more expected, got %s"):format(
        kind == "integer" and "an integer" or "a number", unit, minimum, tostring(value))
    end
  end
end

local function bytes(minimum) return at_least(minimum, "integer", "bytes,") end
local function seconds(minimum) return at_least(minimum, "number", "seconds,") end
local function count(minimum) return at_least(minimum, "integer", "") end

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
    if not name:match("^[%w!#$%%&'*+.^_`|~-]+$") then return ("'%s' is not a token"):format(name) end
  end
end

local function origins(value)
  if value == "*" or type(value) == "function" then return nil end
  if type(value) == "table" then return list_of_strings(value) end
  return '"*", a list of origins or a function expected, got ' .. tostring(value)
end

--- name -> { default, check }; check returns what is wrong, or nil.
options.server = {
  max_message = { 1 * MiB, bytes(1) },
  max_buffered = { 1 * MiB, bytes(1) },
  on_overflow = { "close", one_of("close", "drop", "wait") },
  max_head = { 8 * KiB, bytes(256) },
  ping_interval = { 20, seconds(0) },
  pong_timeout = { 20, seconds(0) },
  send_timeout = { 20, seconds(0) },
  idle_timeout = { 0, seconds(0) },
  close_timeout = { 5, seconds(0.001) },
  handshake_timeout = { 10, seconds(0.001) },
  tcp_user_timeout = { 0, seconds(0) },
  max_connections = { 0, count(0) },
  backlog = { 511, count(1) },
  reuse_port = { false, boolean },
  subprotocols = { nil, tokens },
  origins = { nil, origins },
  authorize = { nil, callable },
}

local function nearest(name, rows)
  local best
  for candidate in pairs(rows) do
    if candidate:find(name, 1, true) or name:find(candidate, 1, true) then best = candidate end
  end
  return best
end

--- Checks what the user gave and fills in the defaults.
-- @return a new table; raises for the caller's caller's caller where something is wrong
function options.check(given, rows, level)
  local checked = {}
  for name, row in pairs(rows) do checked[name] = row[1] end
  for name, value in pairs(given or {}) do
    local row = rows[name]
    if not row then
      local near = type(name) == "string" and nearest(name, rows)
      error(("unknown option '%s'%s"):format(tostring(name), near and (": is '%s' meant?"):format(near) or ""), level)
    end
    local wrong = row[2](value)
    if wrong then error(("option '%s': %s"):format(name, wrong), level) end
    checked[name] = value
  end
  return checked
end

return options
