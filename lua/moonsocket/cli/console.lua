-- Standard input and output of a command that talks to a connection meanwhile.

local core = require "moonsocket.core"
local moonsocket = require "moonsocket"

local IN, OUT = 0, 1
local SHOWN = 4096 -- bytes of a binary message in a terminal: nobody reads more

local console = {}
console.__index = console

-- Bytes as they come; nil at the end. A regular file is always ready, and cannot be waited for.
local function read_some(self)
  if not self.always_ready then
    local _, _, errno = moonsocket.wait(IN, "r")
    self.always_ready = errno ~= nil
  end
  local bytes = core.system.read(IN)
  return bytes ~= "" and bytes or nil
end

--- The next line of the input, without its end; nil: there are no more. Waits.
function console:line()
  local pieces = {}
  while true do
    local at = self.input:find("\n", 1, true)
    if at then
      pieces[#pieces + 1] = self.input:sub(1, at - 1)
      self.input = self.input:sub(at + 1)
      return table.concat(pieces)
    end
    pieces[#pieces + 1] = self.input
    self.input = read_some(self)
    if not self.input then
      self.input = ""
      local last = table.concat(pieces)
      return last ~= "" and last or nil
    end
  end
end

-- What could move the cursor, or worse, is shown as Lua would write it.
local function harmless(text)
  local function escaped(bytes) return (bytes:gsub(".", function(c) return ("\\x%02x"):format(c:byte()) end)) end
  return (text:gsub("[%z\1-\8\11-\31\127]", escaped):gsub("\xc2[\x80-\x9f]", escaped))
end

local function rows_of(text)
  local rows, columns = 0, core.system.terminal(OUT) or 80
  for line in (text .. "\n"):gmatch "(.-)\n" do
    rows = rows + math.max(1, ((utf8.len(line) or #line) + columns - 1) // columns)
  end
  return rows
end

-- Above the line that is being typed: rows are made free there, and the cursor goes back to where it was.
local function above(text)
  local rows = rows_of(text)
  return ("\0277%s\27[%dA\r\27[%dL%s\n\0278\27[%dB"):format(("\n"):rep(rows), rows, rows, text, rows)
end

--- Writes a line. False: nobody reads it any more.
function console:write(text)
  if self.terminal then
    io.stdout:write(above(harmless(text)))
  else
    io.stdout:write(text, "\n")
  end
  return io.stdout:flush() ~= nil
end

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x "):format(c:byte()) end):sub(1, -2))
end

--- Shows a message. False: as write.
function console:show(message, kind)
  if kind == "text" then return self:write(self.mark .. message) end
  local shown = self.terminal and message:sub(1, SHOWN) or message
  local text = ("%sbinary, %d bytes: %s"):format(self.mark, #message, hex(shown))
  return self:write(#shown < #message and text .. " ..." or text)
end

--- Tells something of the command's own: not output.
function console:tell(text)
  if self.terminal then return self:write(text) end
  io.stderr:write(text, "\n")
end

return function()
  local terminal = (core.system.terminal(IN) and core.system.terminal(OUT)) ~= nil
  return setmetatable({ input = "", terminal = terminal, mark = terminal and "< " or "" }, console)
end
