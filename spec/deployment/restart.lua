-- Servers that take each other's place while clients talk and come: examples/deployment/server.lua in several
-- processes. `make deployment` runs it.
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local ports = require "spec.support.ports"
local program = require "spec.support.program"
local raw = require "raw"
local stage = require "spec.support.stage"

local SERVER = "examples/deployment/server.lua"
local CLIENTS = 10
local SPREAD = 1 -- s
local TERM = 15

-- What is to be done where a spec fails in the middle, lest its tasks go on for ever.
local undo = {}

-- Clients that say something again and again, and come back: { opened = how often, downs = what on_down was told,
-- answers = how many answers they had }.
local function talkers(url)
  local all = {}
  for i = 1, CLIENTS do
    local talker = { opened = 0, downs = {}, answers = 0 }
    talker.client = moonsocket.reconnect(url, {
      min_delay = 0.01, max_delay = 0.05,
      on_open = function(ws)
        talker.opened = talker.opened + 1
        while ws:send "hello" and ws:receive() do
          talker.answers = talker.answers + 1
          moonsocket.sleep(0.01)
        end
      end,
      on_down = function(code, reason, info) table.insert(talker.downs, { code, reason, info and info.clean }) end,
    })
    all[i] = talker
    table.insert(undo, function() talker.client:stop() end)
  end
  return all
end

local function await_answers(all, what)
  for _, talker in ipairs(all) do
    local before = talker.answers
    stage.await("an answer " .. what, function() return talker.answers > before end)
  end
end

-- Opens one connection after the other until it is told to stop: { stopped =, opened = how many, failed = messages }.
local function visitor(url)
  local self = { opened = 0, failed = {} }
  table.insert(undo, function() self.stopped = true end)
  moonsocket.go(function()
    while not self.stopped do
      local ws, wrong = moonsocket.connect(url)
      if ws then
        self.opened = self.opened + 1
        ws:close()
        ws:wait_closed()
      else
        table.insert(self.failed, wrong)
      end
      moonsocket.sleep(0.05) -- the server logs a line each time, and only so many wait to be read
    end
    self.over = true
  end)
  return self
end

-- What a server of those that were started says of itself: "listening on ...".
local function await_start(server) server:await "^listening on ws://" end

-- Starts a server, clients, then another one, and ends the first: all go on with the second, and each is told once.
-- start(play): runs one server; act: what else happens meanwhile, from before the restart to after it.
local function restart(port, start, meanwhile)
  stage.run(function()
    local url = ("ws://127.0.0.1:%d/"):format(port)
    start(function(first)
      await_start(first)
      local all = talkers(url)
      await_answers(all, "of the first")
      local finish = meanwhile and meanwhile(url)
      start(function(second)
        await_start(second)
        raw.kill(first.pid, TERM)
        assert.equal(0, first:finish())
        await_answers(all, "of the second")
        if finish then finish() end
        for _, talker in ipairs(all) do
          assert.same({ { 1012, "restart", true } }, talker.downs)
          assert.equal(2, talker.opened)
          talker.client:stop()
          stage.await("the end", function() return #talker.downs == 2 end)
        end
        assert.equal(0, second:stop())
      end)
    end)
  end, function()
    for _, each in ipairs(undo) do each() end
  end, {})
  undo = {}
end

describe("a restart with spread", function()
  it("on an inherited port refuses nobody, not in its middle either", function()
    local listening, port = raw.listen(64)
    local function start(play)
      program.run_command(play, { program.LUA, SERVER, "fd:3", tostring(SPREAD) }, listening)
    end
    restart(port, start, function(url)
      local visits = visitor(url)
      return function()
        visits.stopped = true
        stage.await("the last visit", function() return visits.over end)
        assert.same({}, visits.failed)
        assert.is_true(visits.opened > 5)
      end
    end)
    raw.close(listening)
  end)

  it("on a port that is shared with reuse_port loses nobody", function()
    local port = ports.free()
    restart(port, function(play) program.run(play, SERVER, "127.0.0.1:" .. port, tostring(SPREAD)) end)
  end)
end)

describe("processes.sh", function()
  it("runs servers that share a port, and ends them all", function()
    stage.run(function()
      local port, started, peers = ports.free(), 3, {}
      local command = { "examples/deployment/processes.sh", tostring(started), program.LUA, SERVER,
        "127.0.0.1:" .. port, "0" }
      program.run_command(function(p)
        for _ = 1, started do await_start(p) end
        for i = 1, 40 do peers[i] = peer.open { port = port } end
        raw.kill(p.pid, TERM)
        for _, each in ipairs(peers) do
          assert.equal("close 1012 restart", peer.describe(each:read_frame()))
          each:send(peer.close(1012))
          each:read_all()
          each:drop()
        end
        assert.equal(0, p:finish())
        local ends, first = 0, 0
        for _, line in ipairs(p.lines) do
          if line:find '"code":1012,.*"by":"local"' then ends = ends + 1 end
          if line:find '"id":1,' then first = first + 1 end
        end
        assert.equal(#peers, ends)
        assert.is_true(first > 1, "one process served all")
      end, command)
    end, function() end, {})
  end)

  it("fails where one of its servers has failed", function()
    program.run_command(function(p)
      assert.equal(1, p:finish())
    end, { "examples/deployment/processes.sh", "2", "sh", "-c", "exit 3" })
  end)
end)

describe("the units", function()
  it("are what systemd expects", function()
    local folder = os.tmpname()
    os.remove(folder)
    local lua = io.popen("command -v " .. program.LUA):read()
    local command = ([[
      set -e
      mkdir %s
      cp examples/deployment/moonsocket.socket examples/deployment/moonsocket@.service %s
      cd %s
      sed -i 's|/usr/bin/lua5.4|%s|' moonsocket@.service
      systemd-analyze verify ./moonsocket.socket ./moonsocket@.service
    ]]):gsub("%%s", folder, 3):format(lua)
    program.run_command(function(p)
      assert.equal(0, p:finish())
      assert.same({}, p.lines)
    end, { "sh", "-c", command })
    os.execute("rm -r " .. folder)
  end)

  it("start the server on the port that systemd holds: socket activation", function()
    stage.run(function()
      local port = ports.free()
      program.run_command(function(p)
        p:await "^Listening on "
        local each = peer.open { port = port }
        p:await "^listening on ws://"
        raw.kill(p.pid, TERM)
        assert.equal("close 1012 restart", peer.describe(each:read_frame()))
        each:send(peer.close(1012))
        each:read_all()
        each:drop()
        assert.equal(0, p:finish())
      end, { "systemd-socket-activate", "--setenv=LUA_PATH", "--setenv=LUA_CPATH", "--listen=127.0.0.1:" .. port,
        program.LUA, SERVER, "fd:3", "0" })
    end, function() end, {})
  end)
end)
