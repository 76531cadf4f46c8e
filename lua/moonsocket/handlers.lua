-- What the user gives to be called for a WebSocket: a function, or a table of callbacks.

local options = require "moonsocket.options"

local handlers = {}

-- The callbacks of a table, in the order of the core's slots.
local slots = { "message", "close", "closing", "ping", "pong", "drain", "error", "open" }

--- The functions by the core's slots, and whether they came as a table.
-- @param what whose argument it is; @param level at which a mistake is raised, as error does
function handlers.of(what, handler, level)
  local list = {}
  if type(handler) == "function" then
    list[#slots] = handler
    return list, false
  elseif type(handler) ~= "table" then
    error(("%s: a function(ws, request) or a table of callbacks expected, got %s"):format(what, type(handler)), level)
  end
  local known = {}
  for i, name in ipairs(slots) do known[name] = i end
  for name, fn in pairs(handler) do
    if not known[name] then
      error(("%s: unknown callback '%s': %s"):format(what, name, options.hint(name, slots)), level)
    elseif type(fn) ~= "function" then
      error(("%s: the callback '%s' is a %s, not a function"):format(what, name, type(fn)), level)
    end
    list[known[name]] = fn
  end
  return list, true
end

return handlers
