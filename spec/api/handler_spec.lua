-- The three styles of a handler and their rules: what returning means, that no message is lost for want of a consumer,
-- that calls never overlap, that every callback may wait.
local moonsocket = require "moonsocket"
local scene = require "spec.support.scene"
local peer = require "spec.support.peer"

local NORMAL = { code = 1000, reason = "", clean = true, by = "local", sent = 1000, received = 1000 }
local RAISED = { code = 1011, reason = "a callback raised an error", clean = false, by = "local", sent = 1011 }

local OWN_CODE = { code = 4001, reason = "", clean = true, by = "local", sent = 4001, received = 4001 }

local function quiet(ws) ws:on_error(function() end) end

describe("a handler that returns", function()
  local function ends(what, handler, wanted)
    it(what, function()
      scene.play({
        handler = function(ws)
          quiet(ws)
          return handler(ws)
        end,
      }, function(s)
        local p = s:open()
        local frame = p:read_frame()
        assert.same({ "close", wanted.sent }, { frame.name, frame.code })
        p:send(peer.close(wanted.sent))
        assert.equal("fin", (select(2, p:read_all())))
        p:drop()
        assert.same(wanted, s:told())
      end)
    end)
  end
  ends("at once, without a consumer, closes with 1000", function() end, NORMAL)
  ends("after a wait, without a consumer, closes with 1000", function() moonsocket.sleep(0.001) end, NORMAL)
  ends("with other callbacks but no on_message closes with 1000", function(ws) ws:on_ping(function() end) end, NORMAL)
  ends("with on_message taken back closes with 1000", function(ws)
    ws:on_message(function() end)
    ws:on_message(nil)
  end, NORMAL)
  ends("whatever it returns, closes with 1000", function() return 4000, "reason" end, NORMAL)
  ends("after a receive that timed out closes with 1000", function(ws) ws:receive(0.001) end, NORMAL)
  ends("by an error closes with 1011", function() error "oops" end, RAISED)
  ends("by an error after a wait closes with 1011", function() moonsocket.sleep(0.001) error "oops" end, RAISED)
  ends("by an error though on_message is set closes with 1011", function(ws)
    ws:on_message(function() end)
    error "oops"
  end, RAISED)
  ends("by an error that it caught closes with 1000", function() pcall(error, "oops") end, NORMAL)
  ends("after it has closed with a code of its own leaves it", function(ws) ws:close(4001, "mine") end, OWN_CODE)

  it("with on_message set means nothing", function()
    scene.play({}, function(s)
      local p = s:open()
      for i = 1, 3 do
        p:send(peer.text("message " .. i))
        assert.equal("text message " .. i, peer.describe(p:read_frame()))
      end
      assert.equal("open", s.server:connections()[1].state)
      p:drop()
    end)
  end)

  it("means nothing while a task of its own is in receive", function()
    scene.play({
      handler = function(ws)
        moonsocket.go(function()
          for message in ws:messages() do ws:send(message:upper()) end
        end)
        moonsocket.sleep(0.001) -- the task is in receive now
      end,
    }, function(s)
      local p = s:open()
      for _ = 1, 3 do
        p:send(peer.text "hi")
        assert.equal("text HI", peer.describe(p:read_frame()))
      end
      p:send(peer.close(1000))
      assert.equal(1000, s:outcome(p).code)
    end)
  end)

  it("closes behind what it has sent", function()
    scene.play({
      handler = function(ws)
        for i = 1, 3 do ws:send("message " .. i) end
      end,
    }, function(s)
      local p = s:open()
      for i = 1, 3 do assert.equal("text message " .. i, peer.describe(p:read_frame())) end
      p:send(peer.close(1000))
      assert.same({ "close 1000" }, s:outcome(p).wire)
    end)
  end)
end)

describe("a callback table", function()
  it("has each of its functions called with ws first", function()
    local log = {}
    local function note(name)
      return function(ws, ...) log[#log + 1] = { name, tostring(ws):match "^[%w.]+", ... } end
    end
    scene.play({
      table = {
        open = function(ws, request) log[#log + 1] = { "open", ws == ws, request.path } end,
        message = note "message", ping = note "ping", pong = note "pong",
        close = function(ws, code, reason, info) log[#log + 1] = { "close", ws.state, code, reason, info.by } end,
        closing = note "closing",
      },
    }, function(s)
      local p = s:open()
      p:send(peer.text "hi" .. peer.binary "\0" .. peer.ping "a" .. peer.pong "b" .. peer.close(4000, "bye"))
      p:read_all()
      p:drop()
      s.await("close", function() return #log == 7 end)
    end)
    local ws = "moonsocket.websocket"
    assert.same({
      { "open", true, "/" }, { "message", ws, "hi", "text" }, { "message", ws, "\0", "binary" }, { "ping", ws, "a" },
      { "pong", ws, "b" }, { "closing", ws, 4000, "bye" }, { "close", "closed", 4000, "bye", "peer" },
    }, log)
  end)

  it("without any function lets peers in, and drops what they say", function()
    scene.play({ table = {} }, function(s)
      local p = s:open()
      p:send(peer.text "hi" .. peer.text(("x"):rep(100000)) .. peer.ping "are you there?")
      assert.equal("pong are you there?", peer.describe(p:read_frame()))
      assert.equal(1, s.server.count)
      p:send(peer.close(1000))
      assert.same({ "close 1000" }, { peer.describe(p:read_frame()) })
      p:drop()
    end)
  end)

  it("whose open returns stays open", function()
    scene.play({ table = { open = function() end } }, function(s)
      local p = s:open()
      p:send(peer.text "hi" .. peer.ping "")
      assert.equal("pong", peer.describe(p:read_frame()))
      assert.equal("open", s.server:connections()[1].state)
      p:drop()
    end)
  end)

  it("has its functions replaced by ws's own, one by one", function()
    local log = {}
    scene.play({
      table = {
        open = function(ws)
          assert.is_nil(ws:on_message(function(message, kind) log[#log + 1] = { "own", message, kind } end))
        end,
        message = function() log[#log + 1] = "the table's" end,
        ping = function() log[#log + 1] = "the table's ping" end,
        close = function(_, code) log[#log + 1] = code end,
      },
    }, function(s)
      local p = s:open()
      p:send(peer.text "hi" .. peer.ping "" .. peer.close(1000))
      p:read_all()
      p:drop()
      s.await("close", function() return #log == 3 end)
    end)
    assert.same({ { "own", "hi", "text" }, "the table's ping", 1000 }, log)
  end)

  it("is read once: what is changed in it later has no effect", function()
    local callbacks = { message = function(ws) ws:send "as it was" end }
    scene.play({ table = callbacks }, function(s)
      callbacks.message = error
      local p = s:open()
      p:send(peer.text "hi")
      assert.equal("text as it was", peer.describe(p:read_frame()))
      p:drop()
    end)
  end)
end)

describe("no message is lost for want of a consumer", function()
  local function waits_first(what, start)
    it(what, function()
      local may, log = false, {}
      scene.play({
        handler = function(ws)
          ws:on_ping(function() log[#log + 1] = "ping" end)
          scene.await("the go-ahead", function() return may end)
          return start(ws, log)
        end,
      }, function(s)
        local p = s:open()
        p:send(peer.text "early" .. peer.frame { payload = "in ", fin = false } .. peer.ping "")
        p:send(peer.frame { opcode = 0, payload = "pieces" } .. peer.binary(("x"):rep(100000)))
        moonsocket.sleep(0.01)
        assert.same({}, log)
        may = true
        s.await("all of it", function() return #log >= 4 end)
        p:send(peer.text "late")
        s.await("the last", function() return #log == 5 end)
        p:send(peer.close(1000))
        assert.equal(1000, s:outcome(p).code)
      end)
      table.sort(log)
      assert.same({ "binary 100000", "ping", "text early", "text in pieces", "text late" }, log)
    end)
  end
  local function note(log, message, kind)
    log[#log + 1] = kind .. " " .. (#message < 100 and message or #message)
  end
  waits_first("with on_message set late", function(ws, log)
    ws:on_message(function(message, kind) note(log, message, kind) end)
  end)
  waits_first("with messages called late", function(ws, log)
    for message, kind in ws:messages() do note(log, message, kind) end
  end)
  waits_first("with receive called now and then", function(ws, log)
    while true do
      local message, kind = ws:receive()
      if not message then break end
      note(log, message, kind)
      moonsocket.sleep(0.002)
    end
  end)
  waits_first("with receive first and on_message then", function(ws, log)
    note(log, ws:receive())
    ws:on_message(function(message, kind) note(log, message, kind) end)
  end)
  waits_first("with on_message first and receive then", function(ws, log)
    local first
    ws:on_message(function(message, kind)
      note(log, message, kind)
      ws:on_message(nil)
      first = true
    end)
    scene.await("the first", function() return first end)
    for message, kind in ws:messages() do note(log, message, kind) end
  end)
  waits_first("between on_message taken back and set again", function(ws, log)
    local function on_message(message, kind)
      note(log, message, kind)
      ws:on_message(nil)
      moonsocket.after(0.002, function() ws:on_message(ws.again) end)
    end
    ws.again = on_message
    ws:on_message(on_message)
    ws:wait_closed()
  end)

  it("and past a small buffer nothing is read", function()
    local count = 0
    scene.play({
      handler = function(ws)
        scene.await("the go-ahead", function() return ws.go end)
        ws:on_message(function() count = count + 1 end)
      end,
    }, function(s)
      local p, sent = s:open(), 0
      local frame = peer.binary(("x"):rep(60000))
      moonsocket.go(function()
        for _ = 1, 1000 do
          if not p:send(frame) then break end
          sent = sent + 1
        end
      end)
      local before
      repeat
        before = sent
        moonsocket.sleep(0.05)
      until before == sent
      assert.is_true(sent < 900, "the server took " .. sent .. " of 1000 messages that nobody wanted")
      s.server:connections()[1].go = true
      s.await("all", function() return count == 1000 end)
      p:drop()
    end)
  end)
end)

describe("on_message and receive", function()
  it("exclude each other", function()
    local errors = {}
    scene.play({
      handler = function(ws)
        local task
        moonsocket.go(function()
          task = coroutine.running()
          ws:receive()
        end)
        scene.await("the receiver", function() return task end)
        errors[1] = select(2, pcall(function() ws:on_message(print) end))
        errors[2] = select(2, pcall(function() ws:receive() end))
        errors[3] = select(2, pcall(function() for _ in ws:messages() do error "a message" end end))
        ws:send "ready"
        ws:wait_closed()
      end,
    }, function(s)
      local p = s:open()
      assert.equal("text ready", peer.describe(p:read_frame()))
      p:send(peer.text "hi" .. peer.close(1000))
      assert.equal(1000, s:outcome(p).code)
    end)
    assert.matches("handler_spec.lua:%d+: on_message and receive exclude each other: a task is in receive", errors[1])
    assert.matches("handler_spec.lua:%d+: another task is in receive already", errors[2])
    assert.matches("handler_spec.lua:%d+: another task is in receive already", errors[3])
  end)

  it("exclude each other the other way round", function()
    local errors = {}
    scene.play({
      handler = function(ws)
        ws:on_message(function() end)
        errors[1] = select(2, pcall(function() ws:receive() end))
        errors[2] = select(2, pcall(function() ws:receive(0) end))
        errors[3] = select(2, pcall(function() for _ in ws:messages() do error "a message" end end))
      end,
    }, function(s) s:open():drop() end)
    for i = 1, 3 do
      assert.matches("handler_spec.lua:%d+: receive and on_message exclude each other: on_message is set", errors[i])
    end
  end)

  it("exclude each other with the message of a callback table too", function()
    local wrong
    scene.play({
      table = {
        open = function(ws) wrong = select(2, pcall(function() ws:receive() end)) end,
        message = function() end,
      },
    }, function(s) s:open():drop() end)
    assert.matches("receive and on_message exclude each other", wrong)
  end)
end)

describe("calls of one connection's on_message", function()
  it("never overlap, keep their order, and hold up nobody else", function()
    local running, most, order = 0, 0, {}
    scene.play({
      handler = function(ws)
        ws:on_message(function(message)
          if message == "quick" then return ws:send(message) end
          running = running + 1
          most = math.max(most, running)
          moonsocket.sleep(0.002)
          order[#order + 1] = message
          running = running - 1
        end)
      end,
    }, function(s)
      local slow, quick = s:open(), s:open()
      for i = 1, 5 do slow:send(peer.text(tostring(i))) end
      for _ = 1, 20 do
        quick:send(peer.text "quick")
        assert.equal("text quick", peer.describe(quick:read_frame()))
      end
      s.await("all of them", function() return #order == 5 end)
      slow:send(peer.text "6" .. peer.text "7" .. peer.close(1000))
      assert.equal(1000, s:outcome(slow, 1).code)
      quick:drop()
    end)
    assert.equal(1, most)
    assert.same({ "1", "2", "3", "4", "5", "6", "7" }, order)
  end)

  it("do not overlap with its other callbacks", function()
    local running, most, log = 0, 0, {}
    local function slow(name)
      return function()
        running = running + 1
        most = math.max(most, running)
        moonsocket.sleep(0.002)
        log[#log + 1] = name
        running = running - 1
      end
    end
    scene.play({
      handler = function(ws)
        ws:on_message(slow "message")
        ws:on_ping(slow "ping")
        ws:on_pong(slow "pong")
        ws:on_closing(slow "closing")
      end,
    }, function(s)
      s.on_close = slow "close"
      local p = s:open()
      p:send(peer.text "" .. peer.ping "" .. peer.pong "" .. peer.text "" .. peer.close(1000))
      assert.equal(1000, s:outcome(p).code)
      s.await("on_close", function() return #log == 6 end)
    end)
    assert.equal(1, most)
    assert.same({ "message", "ping", "pong", "message", "closing", "close" }, log)
  end)
end)

describe("every callback may wait:", function()
  local LARGE = ("x"):rep(16 * 1024 * 1024)

  local function waits(name, provoke, setup)
    it("on_" .. name, function()
      local waited
      scene.play({
        max_buffered = 2 * #LARGE, close_timeout = 60,
        handler = function(ws)
          ws:on_message(function() end)
          if name ~= "error" then quiet(ws) end
          ws["on_" .. name](ws, function()
            moonsocket.sleep(0.001)
            waited = true
          end)
          if setup then setup(ws) end
        end,
      }, function(s)
        local p = s:open()
        provoke(p, s)
        s.await("on_" .. name, function() return waited end)
        p:drop()
      end)
    end)
  end
  waits("message", function(p) p:send(peer.text "hi") end)
  waits("ping", function(p) p:send(peer.ping "hi") end)
  waits("pong", function(p) p:send(peer.pong "hi") end)
  waits("closing", function(p) p:send(peer.close(1000)) end)
  waits("error", function(p) p:send(peer.ping "hi") end, function(ws) ws:on_ping(error) end)
  waits("drain", function(p) p:read_frame() end, function(ws) ws:send(LARGE) end)

  it("on_close", function()
    local waited
    scene.play({}, function(s)
      s.on_close = function()
        moonsocket.sleep(0.001)
        waited = true
      end
      local p = s:open()
      p:send(peer.close(1000))
      s:outcome(p)
      s.await("on_close", function() return waited end)
    end)
  end)

  it("the server's on_error, timers, and the tasks of go", function()
    local log = {}
    local function slow(name)
      return function()
        moonsocket.sleep(0.001)
        log[#log + 1] = name
      end
    end
    scene.play({
      handler = function() error "oops" end,
    }, function(s)
      s.server:on_error(slow "on_error")
      s:outcome(s:open())
      moonsocket.after(0, slow "after")
      moonsocket.go(slow "go")
      local every
      every = moonsocket.every(0.001, function()
        every:cancel()
        slow "every" ()
      end)
      s.await("all", function() return #log == 4 end)
    end)
    table.sort(log)
    assert.same({ "after", "every", "go", "on_error" }, log)
  end)
end)

describe("setting a handler", function()
  it("returns the one before, and nil takes it away", function()
    local results, counts = {}, {}
    scene.play({
      handler = function(ws)
        for _, event in ipairs { "message", "closing", "ping", "pong", "drain", "error" } do
          local name = "on_" .. event
          local function first() counts.first = (counts.first or 0) + 1 end
          local function second() counts.second = (counts.second or 0) + 1 end
          results[event] = {
            n = select("#", ws[name](ws, first)), nothing = ws[name](ws, first), first = ws[name](ws, second) == first,
            second = ws[name](ws, nil) == second, taken = ws[name](ws, nil) == nil,
          }
        end
        ws:receive()
      end,
    }, function(s)
      local p = s:open()
      p:send(peer.ping "a" .. peer.pong "b" .. peer.text "c")
      assert.equal("pong a", peer.describe(p:read_frame()))
      p:drop()
    end)
    for event, result in pairs(results) do
      assert.equal("function", type(result.nothing), event)
      result.nothing = nil
      assert.same({ n = 1, first = true, second = true, taken = true }, result, event)
    end
    assert.same({}, counts)
  end)

  it("inside itself counts from the next event on", function()
    scene.play({
      handler = function(ws)
        local function on_message(message)
          ws:on_message(function(again) ws:send("second " .. again) end)
          ws:send("first " .. message)
        end
        ws:on_message(on_message)
      end,
    }, function(s)
      local p = s:open()
      p:send(peer.text "a" .. peer.text "b" .. peer.text "c")
      for _, wanted in ipairs { "text first a", "text second b", "text second c" } do
        assert.equal(wanted, peer.describe(p:read_frame()))
      end
      p:drop()
    end)
  end)
end)

describe("a function that is told of the end", function()
  -- What is told to functions with none, one ... of the parameters, with any number of them, and to one in C.
  local function takers(note)
    return {
      function() note() end,
      function(a) note(a) end,
      function(a, b) note(a, b) end,
      function(a, b, c) note(a, b, c) end,
      function(a, b, c, d) note(a, b, c, d) end,
      function(...) note(...) end,
      coroutine.wrap(note),
    }
  end

  local function recorder(told)
    return function(...)
      local values = {}
      for i, value in ipairs { ... } do
        values[i] = type(value) == "userdata" and value.state or type(value) == "table" and value.by or value
      end
      told[#told + 1] = values
    end
  end

  -- The first n of the values, for each n; a fourth parameter of ws's own function is nil.
  local function prefixes(values)
    local wanted = {}
    for i, n in ipairs { 0, 1, 2, 3, 4, 4, 4 } do wanted[i] = { table.unpack(values, 1, n) } end
    return wanted
  end

  it("sees as much of it as it has parameters: ws's own, the table's, the server's", function()
    local own, tables, servers = {}, {}, {}
    local of_own, of_server, of_table = takers(recorder(own)), takers(recorder(servers)), takers(recorder(tables))
    for i = 1, #of_own do
      local server = assert(moonsocket.serve("127.0.0.1:0", { close = of_table[i] }))
      server:on_close(of_server[i])
      local ws = assert(moonsocket.connect("ws://127.0.0.1:" .. server.port))
      ws:on_close(of_own[i])
      ws:close(4000, "bye")
      ws:wait_closed()
      server:shutdown()
    end
    assert.same(prefixes { 4000, "", "local" }, own) -- the answer gives no reason
    assert.same(prefixes { "closed", 4000, "bye", "peer" }, tables)
    assert.same(prefixes { "closed", 4000, "bye", "peer" }, servers)
  end)
end)

describe("local ws <close>", function()
  local function leaves(how, wanted, body)
    it(("closes with %d where its block is left %s"):format(wanted.sent, how), function()
      scene.play({
        handler = function(ws)
          quiet(ws)
          ws:on_message(function() end)
          local function block()
            local it <close> = ws
            return body(it)
          end
          pcall(block)
          ws.left = true
        end,
      }, function(s)
        local p = s:open()
        local frame = p:read_frame()
        assert.same({ "close", wanted.sent }, { frame.name, frame.code })
        p:send(peer.close(wanted.sent))
        p:read_all()
        p:drop()
        assert.same(wanted, s:told())
      end)
    end)
  end
  leaves("at its end", NORMAL, function() end)
  leaves("by return, after a wait", NORMAL, function() moonsocket.sleep(0.001) return 1 end)
  leaves("by an error", RAISED, function() error "oops" end)
  leaves("after a close of its own", OWN_CODE, function(ws) ws:close(4001) end)

  it("does nothing to a connection that is over", function()
    scene.play({
      handler = function(ws)
        local it <close> = ws
        it:receive()
      end,
    }, function(s)
      local p = s:open()
      p:send(peer.close(4000, "over"))
      assert.same({ 4000, "over" }, { s:outcome(p).code, s:told().reason })
    end)
  end)
end)
