-- The command line: which command is meant, its help, and its exit status.

local arguments = require "moonsocket.cli.arguments"
local options = require "moonsocket.options"

local VERSION = "scm-1" -- of the rockspec
local USAGE = 64 -- EX_USAGE of sysexits.h: the statuses below say how a connection ended

local names = { "connect", "echo", "bench", "chaos" }

local rows = {
  { "--watch", help = "run the script again, gracefully, when it or a module of its changes" },
  { "--help", short = "-h", help = "this text; behind a command, that command's" },
  { "--version", help = "say which version this is" },
}

local HELP = [[
usage: moonsocket [--watch] SCRIPT [ARGUMENT...]    run a script, and then the loop while anything is left to wait for
       moonsocket connect URL                       talk to a server
       moonsocket echo [ADDRESS]                    a server that says back what it hears
       moonsocket bench URL                         measure a server that does
       moonsocket chaos URL                         do wrong to a server, in every way, and see what it does
       moonsocket COMMAND --help                    the options of a command

]] .. arguments.help(rows)

local function misused(message, where)
  io.stderr:write(("moonsocket: %s\nTry: moonsocket %s--help\n"):format(message, where))
  return USAGE
end

local function is_command(word)
  for _, name in ipairs(names) do
    if name == word then return true end
  end
  return false
end

-- A word that is no file was perhaps to be a command.
local function is_file(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

local help_row = { "--help", short = "-h", help = "this text" }

local function run_command(name, words)
  local command = require("moonsocket.cli." .. name)
  local all = table.move(command.rows, 1, #command.rows, 1, {})
  all[#all + 1] = help_row
  local given, rest = arguments.parse(all, words, 2)
  local where = name .. " "
  if not given then return misused(name .. ": " .. rest, where) end
  if given.help then
    io.write(command.help, "\n", arguments.help(all))
    return 0
  end
  if #rest < command.least or #rest > command.most then
    return misused(("%s: %s expected, got %d words that are no options"):format(name, command.wants, #rest), where)
  end
  local status, wrong = command.run(given, table.unpack(rest))
  return status or misused(name .. ": " .. wrong, where)
end

--- @param words the command line: arg, as Lua makes it
-- @return the exit status
return function(words)
  if is_command(words[1]) then return run_command(words[1], words) end
  local given, rest = arguments.parse(rows, words, 1, true)
  if not given then return misused(rest, "") end
  if given.help then
    io.write(HELP)
    return 0
  elseif given.version then
    print(("moonsocket %s, %s"):format(VERSION, _VERSION))
    return 0
  elseif not rest[1] then
    return misused("a script or a command expected", "")
  elseif not is_file(rest[1]) then
    return misused(("there is no file %s, and no such command: %s"):format(rest[1], options.hint(rest[1], names)), "")
  end
  return require "moonsocket.cli.run"(given, rest, words)
end
