-- moonsocket SCRIPT, and --watch.
local command = require "spec.support.command"
local moonsocket = require "moonsocket"
local stage = require "spec.support.stage"

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  assert(file:write(text))
end

-- Runs play(path, folder) with that script, in a folder of its own.
local function with_script(text, play)
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
  write(folder .. "/app.lua", text)
  local ok, wrong = xpcall(play, debug.traceback, folder .. "/app.lua", folder)
  os.execute("rm -r " .. folder)
  if not ok then error(wrong, 0) end
end

local SERVER = [[
local moonsocket = require "moonsocket"
local server = assert(moonsocket.serve("127.0.0.1:0", function(ws) ws:wait_closed() end))
print("%s " .. server.url)
io.stdout:flush()
]]

describe("moonsocket SCRIPT", function()
  it("runs it with its arguments, as lua does", function()
    with_script("print(..., #arg, arg[0]:match '[^/]*$', arg[2])", function(path)
      assert.same({ status = 0, out = "-x\t2\tapp.lua\ttwo\n", err = "" }, command.pipe("", path, "-x", "two"))
    end)
  end)

  it("runs the loop for what the script has begun", function()
    with_script("require 'moonsocket'.after(0.01, function() print 'later' end)", function(path)
      assert.same({ status = 0, out = "later\n", err = "" }, command.pipe("", path))
    end)
  end)

  it("leaves the loop to a script that runs it itself", function()
    with_script([[
      local moonsocket = require "moonsocket"
      local server = moonsocket.serve("127.0.0.1:0", function() end)
      moonsocket.after(0.01, moonsocket.stop)
      moonsocket.run()
      print "stopped"
    ]], function(path)
      assert.same({ 0, "stopped\n" }, { command.pipe("", path).status, command.pipe("", path).out })
    end)
  end)

  it("ends a server at SIGTERM, with 1001", function()
    with_script(SERVER:format "listening", function(path)
      command.beside(function(self)
        local ws = assert(moonsocket.connect(self:await "^listening (.*)$"))
        moonsocket.go(function() assert.equal(0, self:stop()) end)
        assert.equal(1001, (ws:wait_closed()))
        moonsocket.run { signals = false }
      end, path)
    end)
  end)

  for what, case in pairs {
    ["a syntax error"] = { "x =", "app.lua:1: unexpected symbol near <eof>\n$" },
    ["an error"] = { "local x\nx()", "app.lua:2: attempt to call a nil value %(local 'x'%)\nstack traceback:\n" },
    ["an error that is no text"] = { "error {}", "%(error object is a table value%)\n" },
  } do
    it("tells " .. what .. ", and fails", function()
      with_script(case[1], function(path)
        local result = command.pipe("", path)
        assert.matches("^moonsocket: .*" .. case[2], result.err)
        assert.equal(1, result.status)
      end)
    end)
  end

  for words, expected in pairs {
    ["no/such/file"] = "there is no file no/such/file, and no such command: there are connect, echo, bench, chaos\n",
    conect = "is 'connect' meant?\n",
    ["--wtach x"] = "unknown option --wtach: is '--watch' meant?\n",
    [""] = "a script or a command expected\n",
  } do
    it(("refuses the words %q"):format(words), function()
      local list = {}
      for word in words:gmatch "%S+" do list[#list + 1] = word end
      local result = command.pipe("", table.unpack(list))
      assert.matches(expected, result.err, 1, true)
      assert.equal(64, result.status)
    end)
  end

  it("has help, for each command too, and knows its version", function()
    assert.matches("^usage: moonsocket ", command.pipe("", "--help").out)
    for _, name in ipairs { "connect", "echo", "bench", "chaos" } do
      local result = command.pipe("", name, "--help")
      assert.matches("^usage: moonsocket " .. name, result.out)
      assert.matches("\n  %-h, %-%-help +this text\n$", result.out)
      assert.equal(0, result.status)
    end
    local rockspec = assert(io.open "moonsocket-scm-1.rockspec"):read "a"
    local version = rockspec:match '\nversion = "(.-)"'
    assert.equal(("moonsocket %s, Lua 5.4\n"):format(version), command.pipe("", "--version").out)
  end)
end)

-- The clock of some file systems has no more than seconds: a change must be a later one.
local function change(path, text)
  write(path, text)
  os.execute("touch -d '+5 seconds' " .. path)
end

describe("moonsocket --watch", function()
  it("begins again when the script changes, and its connections end with 1012", function()
    with_script(SERVER:format "first", function(path)
      command.beside(function(self)
        local ws = assert(moonsocket.connect(self:await "^first (.*)$"))
        change(path, SERVER:format "second")
        assert.same({ 1012, "restarting" }, { table.unpack({ ws:wait_closed() }, 1, 2) })
        assert(moonsocket.connect(self:await "^second (.*)$")):terminate()
        assert.equal(0, self:stop())
      end, "--watch", path)
    end)
  end)

  it("keeps the old one while the new one has a syntax error, and says it", function()
    with_script(SERVER:format "first", function(path)
      command.beside(function(self)
        local url = self:await "^first (.*)$"
        assert(moonsocket.connect(url)):terminate()
        change(path, "x =")
        self:await "app.lua:1: unexpected symbol near <eof>: waiting for the next change$"
        assert(moonsocket.connect(url)):terminate()
        write(path, SERVER:format "third")
        os.execute("touch -d '+9 seconds' " .. path)
        assert(moonsocket.connect(self:await "^third (.*)$")):terminate()
        assert.equal(0, self:stop())
      end, "--watch", path)
    end)
  end)

  it("waits for a change after an error", function()
    with_script("error 'not yet'", function(path)
      command.beside(function(self)
        self:await "not yet"
        self:await "waiting for a change"
        change(path, SERVER:format "now")
        assert(moonsocket.connect(self:await "^now (.*)$")):terminate()
        assert.equal(0, self:stop())
      end, "--watch", path)
    end)
  end)

  it("looks at modules that the script requires", function()
    local find_part = "package.path = arg[1] .. '/?.lua;' .. package.path\n"
    with_script(find_part .. SERVER:gsub('"%%s "', "require 'part' .. ' '"), function(path, folder)
      write(folder .. "/part.lua", "return 'one'")
      command.beside(function(self)
        assert(moonsocket.connect(self:await "^one (.*)$")):terminate()
        change(folder .. "/part.lua", "return 'two'")
        assert(moonsocket.connect(self:await "^two (.*)$")):terminate()
        assert.equal(0, self:stop())
      end, "--watch", path, folder)
    end)
  end)

  it("leaves no descriptor to the next one", function()
    with_script(SERVER:format "first", function(path)
      command.beside(function(self)
        assert(moonsocket.connect(self:await "^first (.*)$")):terminate()
        local function count() return assert(io.popen(("ls /proc/%d/fd | wc -l"):format(self.pid))):read "n" end
        local before = count()
        change(path, SERVER:format "second")
        assert(moonsocket.connect(self:await "^second (.*)$")):terminate()
        stage.await("the connection's end", function() return count() <= before end)
        assert.equal(0, self:stop())
      end, "--watch", path)
    end)
  end)
end)
