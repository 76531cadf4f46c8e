-- The command line, as people run it: in a pipe, and in a terminal.
local program = require "spec.support.program"
local testing = require "moonsocket.testing"

local LUA = os.getenv "LUA" or "lua5.4"
local SCRIPT = { LUA, "bin/moonsocket" }

local command = {}

--- A handler that says back what it hears.
function command.echo(ws) ws:on_message(function(message, kind) ws:send(message, kind) end) end

--- Runs play(url, server) with a server of that handler in this program.
function command.with_server(handler, play, options)
  local server <close> = assert(testing.server(handler, options))
  play(server.url, server)
end

local function words(...)
  local list = table.pack(...)
  return table.move(list, 1, list.n, #SCRIPT + 1, table.move(SCRIPT, 1, #SCRIPT, 1, {}))
end

--- Runs it behind a pipe, or a file, and waits for its end.
-- @param input what it reads
-- @param ... its words
-- @return { status =, out = what it wrote to standard output, err = to standard error }
function command.pipe(input, ...)
  local input_path, out_path, err_path = os.tmpname(), os.tmpname(), os.tmpname()
  local function contents(path)
    local file <close> = assert(io.open(path, "rb"))
    return file:read "a"
  end
  do
    local file <close> = assert(io.open(input_path, "wb"))
    file:write(input)
  end
  local status
  program.run_command(function(self) status = self:finish() end, {
    "sh", "-c", 'in=$1 out=$2 err=$3; shift 3; cat "$in" | "$@" >"$out" 2>"$err"', "sh", input_path, out_path, err_path,
    table.unpack(words(...)),
  })
  local result = { status = status, out = contents(out_path), err = contents(err_path) }
  for _, path in ipairs { input_path, out_path, err_path } do os.remove(path) end
  return result
end

--- Runs a line of the shell's, in which "$@" is the command with those words.
function command.shell(line, ...)
  program.run_command(function(self) self:finish() end, { "sh", "-c", line, "sh", table.unpack(words(...)) })
end

--- Runs it beside the spec: play(program).
function command.beside(play, ...) program.run_command(play, words(...)) end

--- The same in a terminal: play(program), which can program:type.
function command.in_terminal(play, ...) program.run_in_terminal(play, words(...)) end

return command
