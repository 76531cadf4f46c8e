-- What scene:outcome is to be, for the endings that many specs share.
local assert = require "luassert"

local outcome = {}

local function with(wire, last)
  local all = { table.unpack(wire or {}) }
  all[#all + 1] = last
  return all
end

--- The peer's Close was answered with its code and TCP ended in order.
-- @param code nil: an empty Close frame
-- @param wire what came before our Close frame
function outcome.answered(code, reason, wire)
  local told = code or 1005
  return {
    wire = with(wire, code and "close " .. code or "close"), tcp = "fin",
    code = told, reason = reason or "", clean = true, by = "peer", sent = told, received = told,
  }
end

--- Checks that we failed the connection: a Close frame says so in words, nothing follows it, TCP ended in order.
-- @param actual from scene:outcome
-- @param words a part of the reason
-- @param wire what came before our Close frame
function outcome.check_failed(actual, code, words, wire)
  assert.is_string(actual.reason)
  assert(actual.reason:find(words, 1, true), ("%q does not say %q"):format(actual.reason, words))
  assert.same({
    wire = with(wire, ("close %d %s"):format(code, actual.reason)), tcp = "fin",
    code = code, reason = actual.reason, clean = false, by = "local", sent = code,
  }, actual)
end

return outcome
