-- Time and tasks: go, sleep, after, every, wait, step, run, stop, on_signal, now.
local moonsocket = require "moonsocket"
local core = require "moonsocket.core"
local program = require "spec.support.program"
local raw = require "raw"
local scene = require "spec.support.scene"
local peer = require "spec.support.peer"

-- Runs fn as a task and the loop until nothing is left; nothing may be left that was not there before.
local function run(fn)
  local held, descriptors = core.held(), raw.descriptors()
  local ok, wrong
  moonsocket.go(function() ok, wrong = pcall(fn) end)
  moonsocket.run { signals = false }
  if not ok then error(wrong, 0) end
  assert.same({ held, descriptors }, { core.held(), raw.descriptors() })
end

-- Two connected descriptors.
local function pair(play)
  scene.play({ handler = function(ws) ws:wait_closed() end }, function(s)
    local p = s:connect()
    play(p, s)
    p:drop()
  end)
end

describe("now", function()
  it("counts seconds, and never goes back", function()
    local first = moonsocket.now()
    assert.equal("float", math.type(first))
    moonsocket.sleep(0.01)
    local past = moonsocket.now() - first
    assert.is_true(past >= 0.01 and past < peer.TIMEOUT, past)
    local before = first
    for _ = 1, 1000 do
      local now = moonsocket.now()
      assert.is_true(now >= before)
      before = now
    end
  end)
end)

describe("go", function()
  it("starts a function with its arguments, not before the caller goes on", function()
    local log = {}
    run(function()
      local results = table.pack(moonsocket.go(function(...) log[#log + 1] = table.pack(...) end, 1, nil, "three", nil))
      assert.equal(0, results.n)
      log[#log + 1] = "the caller"
      moonsocket.sleep(0)
      assert.same({ "the caller", { n = 4, 1, nil, "three", nil } }, log)
    end)
  end)

  it("starts them in order, each in a coroutine of its own", function()
    local order, coroutines = {}, {}
    run(function()
      for i = 1, 5 do
        moonsocket.go(function()
          order[#order + 1] = i
          coroutines[coroutine.running()] = true
          moonsocket.sleep(0.001)
          order[#order + 1] = i
        end)
      end
    end)
    local count = 0
    for _ in pairs(coroutines) do count = count + 1 end
    assert.same({ 1, 2, 3, 4, 5, 1, 2, 3, 4, 5 }, order)
    assert.equal(5, count)
  end)

  it("works at top level before the loop runs, and from a coroutine of the user's", function()
    local log = {}
    moonsocket.go(function() log[#log + 1] = "top" end)
    coroutine.wrap(function() moonsocket.go(function() log[#log + 1] = "coroutine" end) end)()
    assert.same({}, log)
    moonsocket.run { signals = false }
    assert.same({ "top", "coroutine" }, log)
  end)

  it("tells stderr of an error, with a traceback, and the loop goes on", function()
    program.run(function(p)
      p:await "^moonsocket: error in a callback: .*: oops$"
      p:await "^stack traceback:$"
      p:await "^\t.*in .*inner"
      p:await "^still here$"
      assert.equal(0, p:finish())
    end, "-e", [[
      local moonsocket = require "moonsocket"
      local function inner() error "oops" end
      moonsocket.go(function() inner() return 1 end)
      moonsocket.go(function() print "still here" end)
      moonsocket.run()]])
  end)
end)

describe("sleep", function()
  it("waits at least so long, and lets others go on", function()
    local log = {}
    run(function()
      local before = moonsocket.now()
      moonsocket.go(function() log[#log + 1] = "another" end)
      assert.equal(0, select("#", moonsocket.sleep(0.01)))
      log[#log + 1] = "awake"
      assert.is_true(moonsocket.now() - before >= 0.01)
    end)
    assert.same({ "another", "awake" }, log)
  end)

  it("wakes in the order of the times, whatever the order of the calls", function()
    local order = {}
    run(function()
      for _, ms in ipairs { 9, 3, 15, 6, 0, 12 } do
        moonsocket.go(function()
          moonsocket.sleep(ms / 1000)
          order[#order + 1] = ms
        end)
      end
    end)
    assert.same({ 0, 3, 6, 9, 12, 15 }, order)
  end)

  it("at top level runs the loop meanwhile", function()
    local ran = false
    moonsocket.after(0.001, function() ran = true end)
    moonsocket.sleep(0.005)
    assert.is_true(ran)
  end)
end)

describe("after", function()
  it("calls once, not earlier than it was told", function()
    local calls, past = 0, nil
    run(function()
      local before = moonsocket.now()
      moonsocket.after(0.01, function(...)
        calls, past = calls + 1, moonsocket.now() - before
        assert.equal(0, select("#", ...))
      end)
    end)
    assert.equal(1, calls)
    assert.is_true(past >= 0.01, past)
  end)

  it("keeps the loop running until then", function()
    local called = false
    moonsocket.after(0.005, function() called = true end)
    moonsocket.run { signals = false }
    assert.is_true(called)
  end)

  it("is off once cancelled, as often as one likes", function()
    local timer = moonsocket.after(100, error)
    assert.equal(0, select("#", timer:cancel()))
    timer:cancel()
    moonsocket.run { signals = false }
    timer:cancel()
    local done = moonsocket.after(0, function() end)
    moonsocket.run { signals = false }
    done:cancel()
  end)

  it("may be cancelled by another of the same moment", function()
    local calls, timers = 0, {}
    run(function()
      for i = 1, 3 do
        timers[i] = moonsocket.after(0.002, function()
          calls = calls + 1
          for _, timer in ipairs(timers) do timer:cancel() end
        end)
      end
    end)
    assert.equal(1, calls)
  end)
end)

describe("every", function()
  it("calls again and again until it is cancelled", function()
    local times = {}
    run(function()
      local before, timer = moonsocket.now(), nil
      timer = moonsocket.every(0.003, function()
        times[#times + 1] = moonsocket.now() - before
        if #times == 4 then timer:cancel() end
      end)
    end)
    assert.equal(4, #times)
    for i, time in ipairs(times) do assert.is_true(time >= 0.003 * i - 0.001, time) end
  end)

  it("leaves out what comes due while its function waits", function()
    local running, most, calls = 0, 0, 0
    run(function()
      local timer
      timer = moonsocket.every(0.001, function()
        running, calls = running + 1, calls + 1
        most = math.max(most, running)
        moonsocket.sleep(0.005)
        running = running - 1
        if calls == 3 then timer:cancel() end
      end)
    end)
    assert.same({ 1, 3 }, { most, calls })
  end)

  it("goes on after an error", function()
    program.run(function(p)
      p:await "error in a callback: .*: oops 1$"
      p:await "error in a callback: .*: oops 2$"
      p:await "^enough$"
      assert.equal(0, p:finish())
    end, "-e", [[
      local moonsocket = require "moonsocket"
      local n, timer = 0
      timer = moonsocket.every(0.001, function()
        n = n + 1
        if n == 3 then timer:cancel() print "enough" else error("oops " .. n) end
      end)
      moonsocket.run()]])
  end)
end)

describe("wait", function()
  it("returns true when there is something to read", function()
    pair(function(p, s)
      assert.same({ n = 2, nil, "timeout" }, table.pack(moonsocket.wait(p.fd, "r", 0.002)))
      p:send "no request\r\n\r\n" -- the server answers
      assert.same({ n = 1, true }, table.pack(moonsocket.wait(p.fd, "r")))
      assert.same({ n = 1, true }, table.pack(moonsocket.wait(p.fd, "r", peer.TIMEOUT)))
      assert.same({ n = 1, true }, table.pack(moonsocket.wait(p.fd, "r", 0)))
      s.server:shutdown { drain = 0 }
    end)
  end)

  it("returns true when there is room to write", function()
    pair(function(p)
      assert.same({ n = 1, true }, table.pack(moonsocket.wait(p.fd, "w", 0)))
      assert.same({ n = 1, true }, table.pack(moonsocket.wait(p.fd, "w")))
    end)
  end)

  it("takes whatever has a getfd", function()
    pair(function(p)
      assert.is_true(moonsocket.wait({ getfd = function() return p.fd end }, "w"))
      local class = { getfd = function(self) return self.fd end }
      class.__index = class
      assert.is_true(moonsocket.wait(setmetatable({ fd = p.fd }, class), "w"))
    end)
  end)

  it("returns nil, a message and errno for what cannot be waited for", function()
    run(function()
      assert.same({ n = 3, nil, "Bad file descriptor", 9 }, table.pack(moonsocket.wait(-1, "r")))
      assert.same({ n = 3, nil, "Bad file descriptor", 9 }, table.pack(moonsocket.wait(999, "w", 1)))
    end)
  end)

  it("returns nil, a message and errno for files, folders and /dev/null, and libevent is silent", function()
    local text = "local moonsocket = require 'moonsocket' print(moonsocket.wait(9, 'r')) print(moonsocket.wait(9, 'w'))"
    for _, path in ipairs { "/dev/null", "/dev/zero", ".", "Makefile" } do
      local output = io.popen(('exec "%s" -e "%s" 2>&1 9<"%s"'):format(os.getenv "LUA" or "lua5.4", text, path))
      local refused = "nil\tOperation not permitted\t1\n"
      assert.equal(refused:rep(2), output:read "a", path)
      output:close()
    end
  end)

  it("serves several tasks and both directions of one descriptor", function()
    pair(function(p)
      local done = {}
      for i = 1, 3 do moonsocket.go(function() done["r" .. i] = moonsocket.wait(p.fd, "r") end) end
      for i = 1, 3 do moonsocket.go(function() done["w" .. i] = moonsocket.wait(p.fd, "w") end) end
      scene.await("the writers", function() return done.w1 and done.w2 and done.w3 end)
      assert.is_nil(done.r1 or done.r2 or done.r3)
      p:send "no request\r\n\r\n"
      scene.await("the readers", function() return done.r1 and done.r2 and done.r3 end)
    end)
  end)

  it("at top level runs the loop meanwhile", function()
    local p
    local server = assert(moonsocket.serve("127.0.0.1:0", {}))
    moonsocket.go(function() p = peer.open(server) end)
    while not p do moonsocket.step(0.01) end
    moonsocket.after(0.002, function() server:broadcast "hello" end)
    assert.is_true(moonsocket.wait(p.fd, "r", peer.TIMEOUT))
    p:drop()
    server:shutdown()
  end)

  it("is what other libraries can be awaited with", function()
    local ok, socket = pcall(require, "socket")
    if not ok then return pending "LuaSocket is not installed" end
    scene.play({}, function(s)
      local client = socket.tcp()
      client:settimeout(0)
      client:connect("127.0.0.1", s.server.port)
      assert.is_true(moonsocket.wait(client, "w", peer.TIMEOUT))
      client:send(peer.request())
      assert.is_true(moonsocket.wait(client, "r", peer.TIMEOUT))
      assert.matches("^HTTP/1%.1 101 ", (client:receive "*l"))
      client:close()
    end)
  end)
end)

describe("step", function()
  it("makes one turn and says whether anything is left", function()
    assert.is_false(moonsocket.step())
    local called = false
    moonsocket.after(0, function() called = true end)
    local turns = 0
    while moonsocket.step() do turns = turns + 1 end
    assert.is_true(called and turns < 10)
    assert.is_false(moonsocket.step())
  end)

  it("waits for something to happen, no longer than it was told", function()
    local timer = moonsocket.after(100, error)
    moonsocket.step()
    local before = moonsocket.now()
    assert.is_true(moonsocket.step(0.01))
    assert.is_true(moonsocket.now() - before >= 0.009)
    timer:cancel()
  end)
end)

describe("run", function()
  it("returns at once where nothing is left", function()
    moonsocket.run { signals = false }
    moonsocket.run {}
    moonsocket.run()
  end)

  it("starts a function first", function()
    local log = {}
    moonsocket.go(function() log[#log + 1] = "an earlier one" end)
    moonsocket.run(function() log[#log + 1] = "the function" end)
    assert.same({ "an earlier one", "the function" }, log)
  end)

  it("returns at stop, and can be called again", function()
    local ticks = 0
    local timer = moonsocket.every(0.001, function()
      ticks = ticks + 1
      moonsocket.stop()
      moonsocket.stop()
    end)
    for _ = 1, 3 do moonsocket.run { signals = false } end
    assert.equal(3, ticks)
    timer:cancel()
  end)

  it("is not stopped by a stop from before", function()
    local ran = false
    moonsocket.stop()
    moonsocket.after(0.001, function() ran = true end)
    moonsocket.run { signals = false }
    assert.is_true(ran)
  end)
end)

describe("a signal", function()
  local HUP, INT, TERM = 1, 2, 15

  -- Runs a program that says "ready", sends it signals one by one, each after the line before, and returns its status.
  local function signalled(text, ...)
    local steps, status = { ... }, nil
    program.run(function(p)
      for i = 1, #steps, 2 do
        p:await(steps[i + 1])
        raw.kill(p.pid, steps[i])
      end
      status = p:finish()
      for _, line in ipairs(p.lines) do assert.is_nil(line:find "%[warn%]", line) end
    end, "-e", "local moonsocket = require 'moonsocket' " .. text)
    return status
  end

  it("is told to on_signal's function, which may wait, until it is cancelled", function()
    assert.equal(-HUP, signalled([[
      local n, handle = 0
      handle = moonsocket.on_signal("HUP", function(...)
        moonsocket.sleep(0)
        n = n + 1
        print("caught " .. n .. " " .. select("#", ...))
        if n == 2 then handle:cancel() print "cancelled" end
      end)
      moonsocket.after(100, print)
      print "ready"
      moonsocket.run()]], HUP, "^ready$", HUP, "^caught 1 0$", HUP, "^cancelled$"))
  end)

  it("may be named with or without SIG", function()
    for _, name in ipairs { "HUP", "SIGHUP", "USR1", "SIGUSR2", "WINCH", "CHLD", "PIPE", "QUIT" } do
      moonsocket.on_signal(name, print):cancel()
    end
  end)

  it("does not keep the loop running", function()
    local handle = moonsocket.on_signal("HUP", print)
    moonsocket.run { signals = false }
    handle:cancel()
  end)

  it("INT or TERM shuts every server down with 1001, and run returns", function()
    for _, signal in ipairs { INT, TERM } do
      assert.equal(7, signalled([[
        local peer = require "spec.support.peer"
        for _ = 1, 2 do
          local server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
            ws:on_message(print)
            ws:on_close(function(code, _, info) print("end", code, info.clean) end)
          end))
          moonsocket.go(function()
            local p = peer.open(server)
            print "ready"
            assert(p:read_frame().code == 1001)
            p:send(peer.close(1001))
            p:read_all()
            p:drop()
          end)
        end
        moonsocket.run()
        os.exit(7)]], 0, "^ready$", signal, "^ready$", 0, "^end\t1001\ttrue$", 0, "^end\t1001\ttrue$"))
    end
  end)

  it("is left alone where run is told so", function()
    for _, signal in ipairs { INT, TERM } do
      local status = signalled([[
        local server = assert(moonsocket.serve("127.0.0.1:0", print))
        moonsocket.after(0, function() print "ready" end)
        moonsocket.run { signals = false }
        os.exit(7)]], signal, "^ready$")
      assert.is_true(status == -signal or status == 1, status) -- lua itself turns INT into an error
    end
  end)

  it("INT interrupts a wait at top level as it does all else that the interpreter runs", function()
    for _, wait in ipairs {
      "moonsocket.sleep(100)", "moonsocket.wait(p.fd, 'r')", "moonsocket.run { signals = false }", "server:shutdown()",
      "for _ in ws:messages() do end", "ws:wait_closed()",
    } do
      local status = signalled(([[
        local peer = require "spec.support.peer"
        local ws, p
        local callbacks = { open = function(it) ws = it end }
        local server = assert(moonsocket.serve("127.0.0.1:0", callbacks, { close_timeout = 90 }))
        moonsocket.go(function() p = peer.open(server) end)
        while not p do moonsocket.step(0.01) end
        moonsocket.after(0.01, function() print "ready" end)
        local ok, wrong = pcall(function() %s end)
        assert(not ok and wrong:find "interrupted!", wrong)
        moonsocket.sleep(0.001) -- the next one waits again
        ws:terminate()
        print(ws:wait_closed())
        os.exit(7)]]):format(wait), INT, "^ready$", 0, "^1006\tterminated")
      assert.equal(7, status, wait)
    end
  end)

  it("INT in connect drops the attempt", function()
    assert.equal(7, signalled([[
      local core = require "moonsocket.core"
      local listener = require "spec.support.raw_server".listen()
      moonsocket.go(function()
        local attempt = listener:accept()
        attempt:read_request()
        print "ready"
        print(select(2, attempt:read_rest()))
      end)
      local ok, wrong = pcall(moonsocket.connect, listener.url)
      assert(not ok and wrong:find "interrupted!", wrong)
      moonsocket.run { signals = false }
      assert(core.held() == 0, core.held())
      os.exit(7)]], INT, "^ready$", 0, "^reset$"))
  end)

  it("INT in shutdown lets a second one wait for the end", function()
    assert.equal(7, signalled([[
      local core = require "moonsocket.core"
      local peer = require "spec.support.peer"
      local server = assert(moonsocket.serve("127.0.0.1:0", { message = print }, { close_timeout = 60 }))
      local p
      moonsocket.go(function() p = peer.open(server) end)
      while not p do moonsocket.step(0.01) end
      moonsocket.after(0.01, function() print "ready" end)
      local ok, wrong = pcall(server.shutdown, server)
      assert(not ok and wrong:find "interrupted!", wrong)
      moonsocket.go(function() p:reset() end)
      server:shutdown()
      moonsocket.run { signals = false }
      assert(core.held() == 0, core.held())
      os.exit(7)]], INT, "^ready$"))
  end)

  it("twice waits for nobody", function()
    assert.equal(7, signalled([[
      local peer = require "spec.support.peer"
      local server = assert(moonsocket.serve("127.0.0.1:0", { message = print }, { close_timeout = 60 }))
      moonsocket.go(function()
        local p = peer.open(server)
        print "ready"
        print("told " .. p:read_frame().code)
        p:wait_for_nothing()
      end)
      moonsocket.run()
      os.exit(7)]], TERM, "^ready$", TERM, "^told 1001$"))
  end)

  it("is itself again after run", function()
    assert.equal(-TERM, signalled([[
      moonsocket.run()
      print "ready"
      while true do end]], TERM, "^ready$"))
  end)
end)
