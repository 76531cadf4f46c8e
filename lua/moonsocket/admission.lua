-- Who may connect: the options origins and authorize become one judge of a request, for the core.

local core = require "moonsocket.core"
local headers = require "moonsocket.headers"

local admission = {}

-- The origin is compared as browsers send it: lower case, without a default port (RFC 6454 section 6.2).
local function origin_judge(origins)
  if type(origins) == "function" then return origins end
  local allowed = {}
  for _, origin in ipairs(origins) do allowed[origin:lower()] = true end
  return function(origin) return allowed[origin:lower()] end
end

local function header_lines(given)
  local lines, wrong = headers.response(given or {})
  if not lines then error("authorize returned " .. wrong, 0) end
  return lines
end

local function is_in(value, first, last)
  return math.type(value) == "integer" and value >= first and value <= last
end

local function is_body(value) return value == nil or type(value) == "string" or type(value) == "number" end
local function is_headers(value) return value == nil or type(value) == "table" end

local function is_reason(value) return value == nil or not core.reason_wrong(value) end

-- true | status, body, headers | nil, code, reason: as authorize answers, in the form that the core takes.
local function verdict(answer, second, third)
  if answer == true then
    return true
  elseif is_in(answer, 300, 599) and is_body(second) and is_headers(third) then
    return answer, tostring(second or ""), header_lines(third)
  elseif answer == nil and is_in(second, 4000, 4999) and is_reason(third) then
    return nil, second, third or ""
  elseif not answer and second == nil then
    return 403, "not authorized", ""
  end
  error(("authorize returned %s, %s, %s: true, or a status from 300 to 599 with a body and a table of headers, or nil "
    .. "and a code from 4000 to 4999 with a reason (UTF-8, at most 123 bytes) expected"):format(
    tostring(answer), tostring(second), tostring(third)), 0)
end

--- @return function(request) for the core, or nil where there is nothing to judge in Lua
function admission.judge(origins, authorize)
  local allowed = origins and origins ~= "*" and origin_judge(origins)
  if not allowed and not authorize then return nil end
  return function(request)
    local origin = request.headers.origin
    if allowed and origin and not allowed(origin) then
      return 403, ("the origin %s may not connect"):format(origin), ""
    end
    if not authorize then return true end
    return verdict(authorize(request))
  end
end

return admission
