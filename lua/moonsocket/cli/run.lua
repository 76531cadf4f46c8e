-- moonsocket SCRIPT: what lua SCRIPT does, and then the loop, if the script has not run it.

local moonsocket = require "moonsocket"
local watch = require "moonsocket.cli.watch"

-- As the interpreter tells an error.
local function tell(message)
  if type(message) ~= "string" then
    local text = getmetatable(message) and getmetatable(message).__tostring and tostring(message)
    message = text or ("(error object is a %s value)"):format(type(message))
  end
  io.stderr:write("moonsocket: ", debug.traceback(message, 2), "\n")
end

-- arg as a script sees it: its name is at 0.
local function set_arg(words)
  local script = {}
  for i, word in ipairs(words) do script[i - 1] = word end
  _G.arg = script -- luacheck: ignore
end

-- Whether the script ran to its end.
local function run_script(words)
  local chunk, wrong = loadfile(words[1])
  if not chunk then
    io.stderr:write("moonsocket: ", wrong, "\n")
    return false
  end
  set_arg(words)
  return (xpcall(chunk, tell, table.unpack(words, 2)))
end

--- @param given the options
-- @param words the script and its arguments
-- @param command_line all words of this process
-- @return the exit status
return function(given, words, command_line)
  local run, has_run = moonsocket.run, false
  local look = given.watch and watch(words[1], command_line) or function() end
  function moonsocket.run(...) -- luacheck: ignore
    has_run = true
    look()
    return run(...)
  end
  local ok = run_script(words)
  if given.watch and not ok then io.stderr:write("moonsocket: waiting for a change\n") end
  if not has_run and (ok or given.watch) then moonsocket.run() end
  return ok and 0 or 1
end
