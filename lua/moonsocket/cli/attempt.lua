-- What was typed goes to the library, which raises an error for a programmer's mistake: here it is the person's.

--- Calls a function of the library's.
-- @return true and what it returns; or false and what is wrong with what it was given
return function(fn, ...)
  local results = table.pack(pcall(fn, ...))
  if results[1] then return table.unpack(results, 1, results.n) end
  local wrong = tostring(results[2]):match "^%l+: (.+)$" -- "connect: ...": anything else is a mistake of ours
  if not wrong then error(results[2], 0) end
  return false, wrong
end
