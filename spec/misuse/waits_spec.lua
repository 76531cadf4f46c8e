-- Waits where nothing can wait, coroutines that are not moonsocket's, and a running loop that is to run once more.
local moonsocket = require "moonsocket"
local scene = require "spec.support.scene"
local peer = require "spec.support.peer"

-- Every function that waits, as a call that would wait for long. fd is one that never becomes readable.
local function waits(ws, server, fd)
  return {
    sleep = function() moonsocket.sleep(100) end,
    wait = function() moonsocket.wait(fd, "r") end,
    receive = function() ws:receive() end,
    ["receive with a timeout"] = function() ws:receive(100) end,
    reader = function() ws:reader() end,
    messages = function() for message in ws:messages() do error(message) end end,
    drain = function() ws:drain() end,
    send = function() for _ = 1, 100 do ws:send(("x"):rep(1024 * 1024)) end end,
    wait_closed = function() ws:wait_closed() end,
    shutdown = function() server:shutdown() end,
  }
end

local NAMES = {
  ["receive with a timeout"] = "receive", messages = "receive",
  send = 'send, with the option on_overflow = "wait",',
}

-- Plays play(waits, task) with a connection that has a queue which its peer does not read: there, even drain waits.
local function with_waits(play)
  scene.play({
    on_overflow = "wait", max_buffered = 1024 * 1024, close_timeout = 0.02, receive_buffer = 4096,
    handler = function(ws)
      while ws:send(("x"):rep(1024 * 1024)) and ws.buffered == 0 do end
      ws:wait_closed()
    end,
  }, function(s)
    local p = s:open()
    s.await("a queue", function() return s.server:connections()[1].buffered > 0 end)
    local other = assert(moonsocket.serve("127.0.0.1:0", function(ws) ws:wait_closed() end))
    local other_peer = peer.open(other)
    local ok, wrong = pcall(play, waits(s.server:connections()[1], other, other_peer.fd))
    other_peer:drop()
    other:shutdown { drain = 0 }
    p:drop()
    if not ok then error(wrong, 0) end
  end)
end

local function check(name, wrong, ending)
  local wanted = (NAMES[name] or name) .. ending
  assert.equal("string", type(wrong), name)
  assert.is_truthy(wrong:find(wanted, 1, true), ("%s: %q does not say %q"):format(name, wrong, wanted))
  assert.is_truthy(wrong:find "^[^:]*waits_spec.lua:%d+: ", wrong)
end

local FOREIGN = " cannot wait in a coroutine that moonsocket did not start: start it with moonsocket.go(fn, ...)"
local NOWHERE = " cannot wait here: Lua cannot leave this function and come back "
  .. "(a table.sort comparator, a metamethod or __gc called from C)"

describe("a wait in a coroutine of the user's", function()
  it("is an error that names go", function()
    with_waits(function(list)
      for name, wait in pairs(list) do
        local ok, wrong = coroutine.resume(coroutine.create(wait))
        assert.is_false(ok, name)
        check(name, wrong, FOREIGN)
        ok, wrong = pcall(coroutine.wrap(wait))
        assert.is_false(ok, name)
        check(name, wrong, FOREIGN)
      end
    end)
  end)

  it("is an error at top level too", function()
    local ok, wrong = coroutine.resume(coroutine.create(function() moonsocket.sleep(0) end))
    assert.is_false(ok)
    check("sleep", wrong, FOREIGN)
  end)

  it("is no matter for what need not wait", function()
    local sent, received
    scene.play({
      handler = function(ws)
        local generator = coroutine.wrap(function()
          for i = 1, 3 do coroutine.yield("piece " .. i) end
        end)
        for piece in generator do sent = coroutine.wrap(ws.send)(ws, piece) end
        ws:close()
        ws:wait_closed()
        received = coroutine.wrap(function() return table.pack(ws:receive()) end)()
      end,
    }, function(s)
      local p = s:open()
      for i = 1, 3 do assert.equal("text piece " .. i, peer.describe(p:read_frame())) end
      assert.equal("close 1000", peer.describe(p:read_frame()))
      p:send(peer.close(1000))
      assert.equal(1000, s:outcome(p).code)
    end)
    assert.is_true(sent)
    assert.same({ n = 4, nil, "closed", 1000, "" }, received)
  end)
end)

describe("a coroutine of the user's in a callback", function()
  it("may yield, be wrapped, fail and be closed like any other", function()
    local log = {}
    local function note(...) log[#log + 1] = table.concat({ ... }, " ") end
    scene.play({
      handler = function(ws)
        ws:on_message(function(message)
          local co = coroutine.create(function(a)
            local it <close> = setmetatable({}, { __close = function() note "closed" end })
            note(tostring(it ~= nil), a, coroutine.yield "one")
            error { "thrown" }
          end)
          note(select(2, coroutine.resume(co, message)))
          note(tostring(coroutine.resume(co, "again")), coroutine.status(co))
          note(tostring(coroutine.close(co)))
          local left = coroutine.create(function()
            local _ <close> = setmetatable({}, { __close = function() note "left and closed" end })
            coroutine.yield()
          end)
          coroutine.resume(left)
          note(tostring(coroutine.close(left)))
          note(tostring(coroutine.isyieldable()), tostring(select(2, coroutine.running())))
          note(pcall(coroutine.close, coroutine.running()) and "closed itself" or "cannot close itself")
          ws:send "done"
        end)
      end,
    }, function(s)
      local p = s:open()
      p:send(peer.text "hi")
      assert.equal("text done", peer.describe(p:read_frame()))
      p:drop()
    end)
    assert.same({
      "one", "true hi again", "false dead", "closed", "false", "left and closed", "true", "true false",
      "cannot close itself",
    }, log)
  end)
end)

describe("a callback that waits for what only its own return brings", function()
  local function comes_late(what, wait, wanted)
    it(what .. " gets it when close_timeout is over", function()
      local result
      scene.play({
        close_timeout = 0.05,
        handler = function(ws, _, record)
          ws:on_message(function()
            ws:close(4000, "enough")
            result = table.pack(wait(ws, record))
          end)
        end,
      }, function(s)
        local p = s:open()
        p:send(peer.text "hi" .. peer.close(4000))
        assert.equal(4000, s:outcome(p).code)
        s.await("the callback", function() return result end)
      end)
      assert.same(wanted, { result[1], result[2] })
    end)
  end
  comes_late("its own connection's end", function(ws) return ws:wait_closed() end, { 4000, "" })
  comes_late("its own on_close", function(_, record)
    scene.await("on_close", function() return record.code end)
    return record.code
  end, { 4000 })

  it("its own server's shutdown gets it when close_timeout is over", function()
    local closed, aborted
    local server
    server = assert(moonsocket.serve("127.0.0.1:0", {
      message = function() closed, aborted = server:shutdown { drain = 10 } end,
    }, { close_timeout = 0.05 }))
    moonsocket.go(function()
      local p = peer.open(server)
      p:send(peer.text "shut down")
      assert.equal("close 1001", peer.describe(p:read_frame()))
      p:send(peer.close(1001))
      p:read_all()
      p:drop()
    end)
    moonsocket.run { signals = false }
    assert.same({ 1, 0 }, { closed, aborted })
  end)
end)

-- Calls fn from a C function that Lua cannot leave.
local FROM_C = {
  ["a comparator of table.sort"] = function(fn) table.sort({ 1, 2, 3 }, fn) end,
  ["a replacement of string.gsub"] = function(fn) ("abc"):gsub(".", fn) end,
  ["a reader of load"] = function(fn)
    local chunk, wrong = load(fn)
    if not chunk then error(wrong, 0) end
  end,
  ["__tostring under tostring"] = function(fn) tostring(setmetatable({}, { __tostring = fn })) end,
  ["__index under table.concat"] = function(fn)
    table.concat(setmetatable({}, { __index = fn, __len = function() return 1 end }))
  end,
  ["__gc"] = function(fn)
    local ok, wrong = true, nil
    setmetatable({}, { __gc = function() ok, wrong = pcall(fn) end })
    collectgarbage()
    if not ok then error(wrong, 0) end
  end,
}

describe("a wait in", function()
  for place, call in pairs(FROM_C) do
    it(place .. " is an error that says where it is", function()
      with_waits(function(list)
        for name, wait in pairs(list) do
          local ok, wrong = pcall(call, wait)
          assert.is_false(ok, name)
          check(name, wrong, NOWHERE)
        end
      end)
    end)

    it(place .. " at top level does not crash", function()
      local ok, wrong = pcall(call, function()
        moonsocket.sleep(0.001)
        error "went on"
      end)
      assert.is_false(ok)
      assert.is_truthy(wrong:find "went on$" or wrong:find "cannot wait", wrong)
    end)
  end

  it("pcall, a metamethod, an iterator and a to-be-closed variable is one like any other", function()
    local log = {}
    moonsocket.go(function()
      local object = setmetatable({}, {
        __index = function(_, key) moonsocket.sleep(0) return key end,
        __add = function() moonsocket.sleep(0) return "sum" end,
        __call = function() moonsocket.sleep(0) return "called" end,
        __close = function() moonsocket.sleep(0) log[#log + 1] = "closed" end,
      })
      pcall(function() moonsocket.sleep(0) log[#log + 1] = "pcall" end)
      xpcall(function() moonsocket.sleep(0) error "x" end, function() log[#log + 1] = "xpcall" end)
      log[#log + 1] = object.key
      log[#log + 1] = object + 1
      log[#log + 1] = object()
      local function next_number(_, i) moonsocket.sleep(0) return i < 2 and i + 1 or nil end
      for i in next_number, nil, 0 do log[#log + 1] = i end
      do local _ <close> = object end
    end)
    moonsocket.run { signals = false }
    assert.same({ "pcall", "xpcall", "key", "sum", "called", 1, 2, "closed" }, log)
  end)
end)

describe("coroutine.yield in", function()
  local YIELD = "coroutine.yield in a task of moonsocket, which nobody resumes: only moonsocket's own functions can"

  local function yields(place, handler, bytes, on_close)
    it(place .. " fails the connection and tells on_error", function()
      local told
      scene.play({
        handler = function(ws)
          ws:on_error(function(message) told = message end)
          ws:on_message(function() end)
          return handler(ws)
        end,
      }, function(s)
        s.on_close = on_close
        local p = s:open()
        p:send(bytes)
        local frames = p:read_all()
        assert.equal(1011, frames[#frames].code)
        p:drop()
        assert.equal(1011, s:ending().code)
        s.await("on_error", function() return told end)
        assert.equal(YIELD, told:sub(1, #YIELD))
      end)
    end)
  end
  local function yield() coroutine.yield(1, 2, 3) end
  yields("the handler", yield, "")
  yields("the handler after a wait", function() moonsocket.sleep(0) yield() end, "")
  yields("on_message", function(ws) ws:on_message(yield) end, peer.text "hi")
  yields("on_ping", function(ws) ws:on_ping(yield) end, peer.ping "")
  yields("on_pong", function(ws) ws:on_pong(yield) end, peer.pong "")
  yields("on_close", function() end, peer.close(1011), yield)

  it("a timer or a task of its own says so on stderr, and the loop goes on", function()
    local program = require "spec.support.program"
    program.run(function(p)
      p:await "coroutine%.yield in a task of moonsocket"
      p:await "coroutine%.yield in a task of moonsocket"
      p:await "still here"
      assert.equal(0, p:finish())
    end, "-e", [[
      local moonsocket = require "moonsocket"
      moonsocket.go(coroutine.yield)
      moonsocket.after(0, function() coroutine.yield() end)
      moonsocket.go(function() moonsocket.sleep(0.01) print "still here" end)
      moonsocket.run()]])
  end)
end)

describe("a coroutine of moonsocket's that waits", function()
  local WAITS = {
    sleep = function() moonsocket.sleep(0.03) end,
    receive = function(ws) ws:receive() end,
    ["receive for a time"] = function(ws) ws:receive(0.03) end,
    ["wait_closed"] = function(ws) ws:wait_closed() end,
    ["wait for a time"] = function(_, fd) moonsocket.wait(fd, "r", 0.03) end,
  }

  -- Each wait's coroutine is handed to with. It is told so, its connection ends, and nothing is left.
  local function meddle(what, with)
    for name, wait in pairs(WAITS) do
      it(("in %s is not harmed when somebody %s"):format(name, what), function()
        local co, said, silent = nil, {}, nil
        scene.play({
          handler = function(ws)
            ws:on_error(function(message) said[#said + 1] = message end)
            co = coroutine.running()
            wait(ws, silent.fd)
          end,
        }, function(s)
          silent = s:connect()
          local p = s:open()
          s.await("the handler", function() return co end)
          with(co)
          co = nil
          p:send(name:find "receive" and peer.text "hi" or peer.close(1000))
          p:read_all()
          p:drop()
          s:ending()
          s.await("on_error", function() return said[1] end)
        end)
        for _, message in ipairs(said) do
          assert.is_truthy(message:find "cannot resume dead coroutine" or message:find "meddled"
            or message:find "only moonsocket can resume it", message)
        end
      end)
    end
  end

  local function refused(co, ...)
    local ok, wrong = coroutine.resume(co, ...)
    assert.is_false(ok)
    assert.is_truthy(wrong:find("a task of moonsocket, and waits: only moonsocket can resume it", 1, true), wrong)
  end
  meddle("resumes it", refused)
  meddle("resumes it with arguments", function(co) refused(co, 1, 2, 3) end)
  meddle("resumes it twice", function(co)
    refused(co)
    assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
  end)
  meddle("closes it", function(co) assert.is_true(coroutine.close(co)) end)
  meddle("closes it and collects garbage", function(co)
    coroutine.close(co)
    collectgarbage()
  end)
  meddle("sets a hook that raises", function(co)
    debug.sethook(co, function() error "meddled" end, "", 1)
  end)

  it("for a descriptor without a time limit is woken by it all the same", function()
    for _, with in ipairs { coroutine.close, refused } do
      local co, said, silent
      scene.play({
        handler = function(ws)
          ws:on_error(function(message) said = message end)
          co = coroutine.running()
          moonsocket.wait(silent.fd, "r")
        end,
      }, function(s)
        silent = s:connect()
        local p = s:open()
        s.await("the handler", function() return co end)
        with(co)
        co = nil
        silent:send "no request\r\n\r\n"
        assert.equal(1011, s:outcome(p).code)
      end)
      assert.is_truthy(said:find "cannot resume dead coroutine" or said:find "only moonsocket can resume it", said)
    end
  end)
end)

describe("a loop that runs", function()
  local function refuses(place, start)
    it("cannot be run once more from " .. place, function()
      local results = {}
      local function try()
        for i, call in ipairs {
          function() moonsocket.run() end, function() moonsocket.run { signals = false } end,
          function() moonsocket.run(print) end, function() moonsocket.step() end, function() moonsocket.step(0.1) end,
        } do
          local _, wrong = pcall(call)
          results[i] = wrong
        end
        moonsocket.stop()
      end
      start(try)
      moonsocket.run { signals = false }
      assert.equal(5, #results)
      for i, wrong in ipairs(results) do
        local name = i <= 3 and "run" or "step"
        assert.is_truthy(wrong:find("^[^:]*waits_spec.lua:%d+: " .. name .. ": the loop is running already"), wrong)
      end
    end)
  end
  refuses("a task", moonsocket.go)
  refuses("a timer", function(try) moonsocket.after(0, try) end)
  refuses("a coroutine of the user's in a task", function(try) moonsocket.go(function() coroutine.wrap(try)() end) end)
  refuses("a comparator in a task", function(try) moonsocket.go(function() pcall(table.sort, { 2, 1 }, try) end) end)

  it("leaves signals as they were where it was refused", function()
    local program = require "spec.support.program"
    program.run(function(p)
      p:await "refused"
      assert.equal(-15, p:stop())
    end, "-e", [[
      local moonsocket = require "moonsocket"
      moonsocket.go(function() print("refused", pcall(moonsocket.run)) moonsocket.sleep(100) end)
      moonsocket.run { signals = false }]])
  end)

  it("may be run by a coroutine of the user's", function()
    local ran = false
    moonsocket.after(0, function() ran = true end)
    coroutine.wrap(function() moonsocket.run { signals = false } end)()
    assert.is_true(ran)
  end)

  it("may be run in a comparator at top level", function()
    local ran = 0
    table.sort({ 2, 1 }, function(a, b)
      moonsocket.after(0, function() ran = ran + 1 end)
      moonsocket.run { signals = false }
      return a < b
    end)
    assert.is_true(ran > 0)
  end)
end)
