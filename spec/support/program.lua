-- A program that runs beside the spec: its lines as they come, and how it ends.
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local raw = require "raw"

local TERM, KILL = 15, 9

local program = {}
program.__index = program

program.LUA = os.getenv "LUA" or "lua5.4"

--- The next line that the program prints (standard output and error), or nil and "fin" or "timeout".
function program:line()
  while true do
    local line, rest = self.input:match "^(.-)\n(.*)$"
    if line then
      self.input = rest
      self.lines[#self.lines + 1] = line
      return line
    end
    local bytes, wrong = raw.read(self.fd, 65536)
    if bytes then
      self.input = self.input .. bytes
    elseif wrong ~= "wait" then
      return nil, wrong
    elseif not moonsocket.wait(self.fd, "r", peer.TIMEOUT) then
      return nil, "timeout"
    end
  end
end

--- Reads on to the next line that has the pattern; returns its captures.
function program:await(pattern)
  local line, wrong
  repeat
    line, wrong = self:line()
    if not line then
      error(("no line with '%s' (%s) after:\n%s"):format(pattern, wrong, table.concat(self.lines, "\n")), 2)
    end
  until line:find(pattern)
  return line:match(pattern)
end

--- Reads what it still says and returns its exit status, or -signal.
function program:finish()
  local line, wrong
  repeat line, wrong = self:line() until not line
  if wrong ~= "fin" then error(("the program does not end (%s)"):format(wrong), 2) end
  local status = raw.reap(self.pid)
  self.pid = nil
  return status
end

--- Asks it to end (SIGTERM, or another signal), then as finish.
function program:stop(signal)
  raw.kill(self.pid, signal or TERM)
  return self:finish()
end

--- Types into its terminal.
function program:type(text) assert(raw.write(self.fd, text)) end

local function run_spawned(play, pid, fd)
  assert(pid, fd)
  local self = setmetatable({ pid = pid, fd = fd, input = "", lines = {} }, program)
  local ok, wrong = xpcall(play, function(message)
    return type(message) == "string" and debug.traceback(message, 2) or message
  end, self)
  if self.pid then self:stop(KILL) end
  raw.close(fd)
  if not ok then error(wrong, 0) end
end

--- Runs a program: play(program) is called while it runs. One that play leaves running is killed.
-- @param arguments the program and its arguments
-- @param inherited a descriptor that it has as its descriptor 3, or nil
function program.run_command(play, arguments, inherited) run_spawned(play, raw.spawn(arguments, inherited)) end

--- The same in a terminal of its own.
function program.run_in_terminal(play, arguments) run_spawned(play, raw.spawn_terminal(arguments)) end

--- The same for a Lua script.
-- @param ... the script and its arguments, or options of the interpreter
function program.run(play, ...) program.run_command(play, { program.LUA, "-e", "io.stdout:setvbuf 'line'", ... }) end

return program
