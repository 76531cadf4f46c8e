-- The values of --header.

--- @param lines a list of "NAME: VALUE", or nil
-- @return { name = list of values }; or nil and what is wrong
return function(lines)
  local headers = {}
  for _, line in ipairs(lines or {}) do
    local name, value = line:match "^%s*([^:%s]+)%s*:%s*(.-)%s*$"
    if not name then return nil, ("--header: 'NAME: VALUE' expected, got '%s'"):format(line) end
    headers[name] = headers[name] or {}
    table.insert(headers[name], value)
  end
  return headers
end
