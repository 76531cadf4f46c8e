-- The words of a command line, as a command's rows say what may be among them, and the help that the rows are worth.
--
-- A row: { "--name", short = "-n", value = "WHAT" (none: it is true where it is given), many = true (a list of all that
-- are given), number = true, least = (0), whole = true (no part of a number), default =, help = }

local options = require "moonsocket.options"

local arguments = {}

local function key_of(row) return (row[1]:gsub("^%-%-", ""):gsub("-", "_")) end

local function find(rows, name)
  for _, row in ipairs(rows) do
    if row[1] == name or row.short == name then return row end
  end
end

local function unknown(rows, name)
  local names = {}
  for _, row in ipairs(rows) do names[#names + 1] = row[1] end
  return ("unknown option %s: %s"):format(name, options.hint(name, names))
end

-- What a word is: an option's name and perhaps its value, or no option at all.
local function split(word)
  local name, value = word:match "^(%-%-[^=]+)=(.*)$"
  if name then return name, value end
  if word:find "^%-%-." then return word end
  if word:find "^%-." and not word:find "^%-%d" then return word:sub(1, 2), #word > 2 and word:sub(3) or nil end
end

local function store(found, row, value)
  local key = key_of(row)
  if row.number then
    local number, least = tonumber(value), row.least or 0
    local whole = number and math.tointeger(number)
    if not number or number < least or (row.whole and not whole) then
      return ("%s: a %snumber of %s or more expected, got '%s'"):format(
        row[1], row.whole and "whole " or "", least, value)
    end
    value = whole or number
  end
  if row.many then
    found[key] = found[key] or {}
    table.insert(found[key], value)
  else
    found[key] = value
  end
end

--- Reads the words.
-- @param rows what may come
-- @param words the list of them
-- @param first of them to be looked at
-- @param whole true: everything behind the first word that is no option is left as it is
-- @return { key = value } and the list of words that are no options; or nil and what is wrong
function arguments.parse(rows, words, first, whole)
  local found, rest, i = {}, {}, first
  for _, row in ipairs(rows) do found[key_of(row)] = row.default end
  while words[i] do
    local word = words[i]
    local name, value = split(word)
    i = i + 1
    if word == "--" or not name or (whole and #rest > 0) then
      if word ~= "--" or (whole and #rest > 0) then rest[#rest + 1] = word end
      if word == "--" or whole then
        table.move(words, i, #words, #rest + 1, rest)
        break
      end
    else
      local row = find(rows, name)
      if not row then return nil, unknown(rows, name) end
      if row.value and not value then
        value, i = words[i], i + 1
        if not value then return nil, ("%s: %s expected behind it"):format(name, row.value) end
      elseif not row.value then
        if value then return nil, ("%s takes no value, got '%s'"):format(name, value) end
        value = true
      end
      local wrong = store(found, row, value)
      if wrong then return nil, wrong end
    end
  end
  return found, rest
end

--- The rows as lines of a help text.
function arguments.help(rows)
  local lines, width = {}, 0
  local function left(row)
    return ("  %s%s%s"):format(row.short and row.short .. ", " or "    ", row[1], row.value and " " .. row.value or "")
  end
  for _, row in ipairs(rows) do width = math.max(width, #left(row)) end
  for i, row in ipairs(rows) do
    lines[i] = left(row) .. (" "):rep(width - #left(row) + 2) .. row.help
  end
  return table.concat(lines, "\n") .. "\n"
end

return arguments
