-- A page: what a function of the user's returns for a plain request becomes a response.

local headers = require "moonsocket.headers"

local page = {}

local function describe(...)
  local values = table.pack(...)
  for i = 1, values.n do values[i] = type(values[i]) == "string" and "a string" or tostring(values[i]) end
  return values.n == 0 and "nothing" or table.concat(values, ", ")
end

local function is_body(value) return type(value) == "string" end

-- [status,] body [, headers]: with a status the body may be left out.
local function take(...)
  local first, second, third = ...
  local count = select("#", ...)
  if is_body(first) and count <= 2 then
    return 200, first, second
  elseif math.type(first) == "integer" and count <= 3 and (second == nil or is_body(second)) then
    return first, second or "", third
  end
end

--- Checks what a function of the user's has returned.
-- @param path of its route
-- @return status, body, header lines; raises where it is none
function page.response(path, ...)
  local status, body, given = take(...)
  if not status or status < 200 or status > 599 or (given ~= nil and type(given) ~= "table") then
    error(("the function for %s returned %s: [status,] body [, headers] expected, where a status is an integer from "
      .. "200 to 599, the body a string and headers a table"):format(path, describe(...)), 0)
  end
  local lines, wrong = headers.response(given or {})
  if not lines then error(("the function for %s returned %s"):format(path, wrong), 0) end
  return status, body, lines
end

return page
