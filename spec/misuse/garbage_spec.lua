-- The garbage collector at every moment: in every callback, at every wait, in all its modes; and references dropped
-- wherever they may be. Nothing that is still needed goes, and nothing that is not needed stays.
local moonsocket = require "moonsocket"
local core = require "moonsocket.core"
local scene = require "spec.support.scene"
local peer = require "spec.support.peer"

local function collect()
  collectgarbage()
  collectgarbage()
end

-- Runs fn with the collector in a mode of its own, and puts it back.
local function in_mode(mode, fn)
  local restore = { collectgarbage(table.unpack(mode)) }
  local ok, wrong = pcall(fn)
  collectgarbage "generational" -- so that incremental takes its parameters anew
  collectgarbage("incremental", 200, 100, 13)
  assert.is_truthy(restore[1])
  if not ok then error(wrong, 0) end
end

-- A handler with every callback there is, each of which calls gc first: "/loop" is a plain loop.
local function greedy(ws, request, gc)
  gc()
  ws.user = setmetatable({ name = "ann" }, { __gc = gc })
  for _, event in ipairs { "ping", "pong", "drain", "error" } do ws["on_" .. event](ws, gc) end
  ws:on_closing(function(code, reason)
    gc()
    return code, reason
  end)
  if request.path == "/loop" then
    for message, kind in ws:messages() do
      gc()
      ws:send(message, kind)
    end
    return
  end
  ws:on_message(function(message, kind)
    gc()
    if #message % 2 == 0 then
      moonsocket.sleep(0)
      gc()
    end
    ws:send(message, kind)
  end)
end

local function open(s, path)
  local p = s:connect()
  p:send(peer.request(nil, path))
  assert.is_truthy(p:read_head():find "^HTTP/1%.1 101 ")
  return p
end

-- n messages of all sizes over each kind of handler, with control frames between them.
local function converse(n, gc)
  local function handler(ws, request) return greedy(ws, request, gc) end
  scene.play({ handler = handler, ping_interval = 0.02 }, function(s)
    s.on_close = function(ws)
      gc()
      assert.equal("ann", ws.user.name)
    end
    for _, path in ipairs { "/", "/loop" } do
      local p = open(s, path)
      for i = 1, n do
        local payload = ("x"):rep(i % 50 == 0 and 70000 or i)
        p:send(peer.ping "?" .. peer.text(payload) .. peer.pong "")
        local frame
        repeat frame = assert(p:read_frame()) until frame.name ~= "ping" and frame.name ~= "pong"
        assert.equal("text", frame.name)
        assert.equal(#payload, #frame.payload)
      end
      p:send(peer.close(4000, "enough"))
      local outcome = s:outcome(p, #s.records)
      assert.same({ 4000, "enough", true }, { outcome.code, outcome.reason, outcome.clean })
    end
  end)
end

describe("an echo of some hundred messages survives", function()
  local function step() collectgarbage "step" end

  it("a full collection in every callback", function() converse(100, function() collectgarbage() end) end)
  it("a generational collector, with a young collection in every callback", function()
    in_mode({ "generational", 5, 10 }, function() converse(150, step) end)
  end)
  it("a generational collector left alone", function()
    in_mode({ "generational", 1, 1 }, function() converse(150, function() end) end)
  end)
  it("an incremental collector that never pauses, with a step in every callback", function()
    in_mode({ "incremental", 1, 1000, 4 }, function() converse(150, step) end)
  end)
  it("a collector that is stopped", function()
    in_mode({ "stop" }, function() converse(150, function() end) end)
    collectgarbage "restart"
  end)
end)

describe("the last reference", function()
  -- A connection whose handler, start(ws), keeps nothing; the collector finds nothing else either. p: its peer.
  local function play(start, act, options)
    local settings = options or {}
    settings.handler = function(ws) return start(ws) end
    scene.play(settings, function(s)
      local p = s:open()
      collect()
      act(s, p)
    end)
  end

  it("to a ws with on_message may go: the registry holds it while it is open", function()
    play(function(ws)
      local weak = setmetatable({ ws = ws }, { __mode = "v" })
      ws:on_message(function(message)
        collect()
        weak.ws:send(message .. " to " .. tostring(weak.ws.id == nil))
      end)
    end, function(s, p)
      for _ = 1, 3 do
        collect()
        p:send(peer.text "hi")
        assert.equal("text hi to false", peer.describe(p:read_frame()))
      end
      p:send(peer.close(1000))
      assert.equal(1000, s:outcome(p).code)
    end)
  end)

  for name, bytes in pairs {
    message = peer.text "hi", ping = peer.ping "hi", pong = peer.pong "hi", closing = peer.close(1000),
  } do
    it(("may be dropped in on_%s, whose own function goes as well"):format(name), function()
      local called
      play(function(ws)
        ws:on_message(function() end)
        ws["on_" .. name](ws, function()
          assert.is_function(ws["on_" .. name](ws, nil))
          ws = nil
          collect()
          called = true
        end)
      end, function(s, p)
        p:send(bytes)
        s.await("the callback", function() return called end)
        p:send(peer.close(1000))
        assert.equal(1000, s:outcome(p).code)
      end)
    end)
  end

  it("may be dropped by terminate and close in every callback, with a collection right after", function()
    for _, ending in ipairs { "terminate", "close" } do
      for name, bytes in pairs { message = peer.text "hi", ping = peer.ping "hi", pong = peer.pong "hi" } do
        play(function(ws)
          ws:on_message(function() end)
          ws["on_" .. name](ws, function()
            ws[ending](ws)
            ws = nil
            collect()
          end)
        end, function(s, p)
          p:send(bytes)
          p:send(peer.close(1000))
          p:read_all()
          p:drop()
          assert.equal(ending == "close" and 1000 or 1006, s:ending().code)
        end)
      end
    end
  end)

  it("to a ws may go in on_close, and nothing of it stays", function()
    local finalized
    play(function(ws)
      ws.user = setmetatable({}, { __gc = function() finalized = true end })
      ws:on_message(function() end)
    end, function(s, p)
      s.on_close = collect
      p:send(peer.close(1000))
      assert.equal(1000, s:outcome(p).code)
    end)
    collect()
    assert.is_true(finalized)
  end)

  it("to a task that waits may go: it is woken all the same", function()
    local woken, started = {}, 0
    local function wait(name, fn, ...)
      moonsocket.go(function(...)
        started = started + 1
        fn(...)
        woken[#woken + 1] = name
      end, ...)
    end
    play(function(ws) ws:receive() end, function(s, p)
      wait("wait_closed", function(ws) ws:wait_closed() end, s.server:connections()[1])
      wait("sleep", moonsocket.sleep, 0.01)
      wait("wait", moonsocket.wait, p.fd, "r")
      s.await("all of them", function() return started == 3 end)
      collect()
      p:send(peer.close(1000))
      assert.equal(1000, s:outcome(p).code)
      s.await("the tasks", function()
        collect()
        return #woken == 3
      end)
    end)
    table.sort(woken)
    assert.same({ "sleep", "wait", "wait_closed" }, woken)
  end)

  it("to a timer and to a signal's handle may go: they go on, until they are cancelled", function()
    local held = core.held()
    local ticks, done, weak = 0, false, setmetatable({}, { __mode = "v" })
    weak.after = moonsocket.after(0.01, function() done = true end)
    weak.every = moonsocket.every(0.001, function()
      collect()
      ticks = ticks + 1
      if done and ticks >= 3 then
        weak.every:cancel()
        weak.signal:cancel()
      end
    end)
    weak.signal = moonsocket.on_signal("USR2", print)
    collect()
    moonsocket.run { signals = false }
    assert.is_true(done and ticks >= 3)
    collect()
    assert.same({}, weak)
    assert.equal(held, core.held())
  end)

  it("to a timer may go in its own callback", function()
    local calls = 0
    local timer
    timer = moonsocket.every(0.001, function()
      calls = calls + 1
      timer:cancel()
      timer:cancel()
      timer = nil
      collect()
      moonsocket.sleep(0.005)
      collect()
    end)
    moonsocket.run { signals = false }
    assert.equal(1, calls)
  end)

  it("to a server may go: it serves until its end", function()
    local weak = setmetatable({}, { __mode = "v" })
    weak.server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
      collect()
      ws:on_message(function(message) ws:send(message) end)
    end))
    local to = { port = weak.server.port }
    moonsocket.go(function()
      for _ = 1, 2 do
        collect()
        local p = peer.open(to)
        p:send(peer.text "still there")
        assert.equal("still there", p:read_frame().payload)
        p:drop()
      end
      weak.server:shutdown { drain = 0 }
    end)
    moonsocket.run { signals = false }
    collect()
    assert.is_nil(weak.server)
  end)

  it("to a request may go, and it comes again", function()
    local seen
    play(function(ws)
      local weak = setmetatable({ ws.request, ws.request.headers, ws.request.cookies }, { __mode = "v" })
      ws.request.note = "mine"
      collect()
      seen = { weak[1] == nil, ws.request.headers.host, ws.request.note, ws.request == ws.request }
      ws:receive()
    end, function() end)
    assert.same({ true, "localhost", "mine", true }, seen)
  end)

  it("that a finalizer brings back is to a connection that is over", function()
    local brought = {}
    play(function(ws)
      local holder = setmetatable({ ws = ws, request = ws.request }, {
        __gc = function(self) brought.ws, brought.request = self.ws, self.request end,
      })
      ws:on_close(function() holder.over = true end)
      ws.user = holder
      ws:receive()
    end, function(s, p)
      p:send(peer.close(4000))
      p:read_all()
      p:drop()
      s.await("the end", function() return s.server.count == 0 end)
      s.records = {}
      collect()
      s.await("the finalizer", function()
        collect()
        return brought.ws
      end)
      local ws = brought.ws
      assert.same({ nil, "closed", 4000 }, { ws:send "x" })
      assert.same({ 4000, "closed" }, { ws.close_code, ws.state })
      assert.same({ nil, "closed", 4000, "" }, { ws:receive() }) -- the text is gone
      assert.equal("/", brought.request.path)
      assert.equal("localhost", brought.request.headers.host)
      assert.matches("^moonsocket.websocket %d+ %(closed%)$", tostring(ws))
      for message in ws:messages() do error(message) end
      brought.ws, brought.request = nil, nil
    end)
  end)
end)
