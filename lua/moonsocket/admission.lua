-- Who may connect: the options origins and authorize become one judge of a request, for the core.

local admission = {}

-- The origin is compared as browsers send it: lower case, without a default port (RFC 6454 section 6.2).
local function origin_judge(origins)
  if type(origins) == "function" then return origins end
  local allowed = {}
  for _, origin in ipairs(origins) do allowed[origin:lower()] = true end
  return function(origin) return allowed[origin:lower()] end
end

local function header_lines(headers)
  local lines = {}
  for name, value in pairs(headers or {}) do lines[#lines + 1] = ("%s: %s\r\n"):format(name, value) end
  table.sort(lines)
  return table.concat(lines)
end

-- true | status, body, headers | nil, code, reason: as authorize answers, in the form that the core takes.
local function verdict(answer, second, third)
  if answer == true then
    return true
  elseif math.type(answer) == "integer" and answer >= 300 and answer <= 599 then
    return answer, tostring(second or ""), header_lines(third)
  elseif answer == nil and math.type(second) == "integer" and second >= 4000 and second <= 4999 then
    return nil, second, tostring(third or "")
  elseif not answer and second == nil then
    return 403, "not authorized", ""
  end
  error(("authorize returned %s, %s: true, or a status from 300 to 599 with a body and headers, or nil and a code "
    .. "from 4000 to 4999 with a reason expected"):format(tostring(answer), tostring(second)))
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
