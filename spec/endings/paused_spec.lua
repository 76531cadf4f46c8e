-- A peer that leaves while we are not reading: after pause, while a callback waits, before anybody wants its messages.
local moonsocket = require "moonsocket"
local subject = require "spec.support.subject"

local scene, peer, serving = subject.scene, subject.peer, subject.serving(it)

local RESET = {
  code = 1006, reason = "connection reset by peer", error = "Connection reset by peer",
  clean = false, by = "network",
}
local LEFT = {
  code = 1006, reason = "connection closed by the peer without a Close frame", clean = false, by = "network",
}
local TWO = peer.text "one" .. peer.text "two"

-- One connection whose handler's side is start(ws, log, wait): it logs what it sees, and wait() returns once the spec
-- has called release(). Its on_close is logged too: the order of the log is what these specs are about.
local function play(start, act, options)
  local log, released = {}, false
  local settings = { ping_interval = 0, close_timeout = 60 }
  for name, value in pairs(options or {}) do settings[name] = value end
  local function wait()
    scene.await("the release", function() return released end)
  end
  function settings.handler(ws) start(ws, log, wait) end
  local function release() released = true end
  scene.play(settings, function(s)
    function s.on_close(_, code) log[#log + 1] = "close " .. code end
    local ok, wrong = xpcall(act, debug.traceback, s, s:open(), log, release)
    release()
    assert(ok, wrong)
  end)
end

-- What happens on this machine alone has been noticed after a few turns, if it is noticed at all.
local function turns()
  for _ = 1, 20 do moonsocket.sleep(0) end
end

local function logging(ws, log)
  ws:on_message(function(message) log[#log + 1] = message end)
end

describe("while reading is paused", function()
  local function pausing(ws, log, wait)
    logging(ws, log)
    ws:pause()
    wait()
    log[#log + 1] = ws:resume() and "resumed" or "resumed too late"
  end

  it("a RST is noticed at once", function()
    play(pausing, function(s, p, log, release)
      p:reset()
      assert.same(RESET, s:told())
      release()
      scene.await("the handler", function() return #log == 2 end)
      assert.same({ "close 1006", "resumed too late" }, log)
    end)
  end)

  it("a RST is noticed at once, and takes along what was not read", function()
    play(pausing, function(s, p, log)
      p:send(TWO)
      turns()
      p:reset()
      assert.same(RESET, s:told())
      assert.same({ "close 1006" }, log)
    end)
  end)

  local function left_while_paused(bytes, expected, outcome)
    play(pausing, function(s, p, log, release)
      p:send(bytes)
      p:fin()
      turns()
      assert.same({}, log)
      release()
      assert.same(outcome, s:outcome(p))
      assert.same(expected, log)
    end)
  end

  local function with_wire(told, ...)
    local outcome = { wire = { ... }, tcp = "fin" }
    for name, value in pairs(told) do outcome[name] = value end
    return outcome
  end

  it("a FIN is the end after resume", function()
    left_while_paused("", { "resumed", "close 1006" }, with_wire(LEFT))
  end)

  it("a FIN is the end after the messages that came before it", function()
    left_while_paused(TWO, { "resumed", "one", "two", "close 1006" }, with_wire(LEFT))
  end)

  it("a Close frame is answered after resume, after the messages that came before it", function()
    local closed = { code = 4000, reason = "bye", clean = true, by = "peer", sent = 4000, received = 4000 }
    left_while_paused(TWO .. peer.close(4000, "bye"), { "resumed", "one", "two", "close 4000" },
      with_wire(closed, "close 4000"))
  end)

  it("a FIN does not keep the loop busy", function()
    play(pausing, function(s, p, _, release)
      p:fin()
      turns()
      local before = os.clock()
      moonsocket.sleep(0.1)
      assert.is_true(os.clock() - before < 0.05, "the processor was busy")
      release()
      assert.same(with_wire(LEFT), s:outcome(p))
    end)
  end)

  serving("a peer gone from a Unix socket is the same", function()
    local path = os.tmpname()
    os.remove(path)
    play(pausing, function(s, p, log, release)
      p:send(TWO)
      p:drop()
      turns()
      assert.same({}, log)
      release()
      assert.same(LEFT, s:told())
      assert.same({ "resumed", "one", "two", "close 1006" }, log)
    end, { address = "unix:" .. path })
  end)

  -- Pauses at the first message; the others have been received by then.
  local function pausing_at_first(ws, log, wait)
    ws:on_message(function(message)
      log[#log + 1] = message
      if message == "one" then
        ws:pause()
        moonsocket.go(function()
          wait()
          ws:resume()
        end)
      end
    end)
  end

  it("messages that we have already are kept, and delivered before the end", function()
    play(pausing_at_first, function(s, p, log, release)
      p:send(TWO .. peer.text "three")
      p:fin()
      turns()
      assert.same({ "one" }, log)
      release()
      assert.same(with_wire(LEFT), s:outcome(p))
      assert.same({ "one", "two", "three", "close 1006" }, log)
    end)
  end)

  it("a RST ends it at once all the same", function()
    play(pausing_at_first, function(s, p, log)
      p:send(TWO .. peer.text "three")
      scene.await("the first message", function() return log[1] end)
      p:reset()
      assert.same(RESET, s:told())
      assert.same({ "one", "close 1006" }, log)
    end)
  end)
end)

describe("while a callback waits", function()
  local function waiting(ws, log, wait)
    ws:on_message(function(message)
      log[#log + 1] = message
      wait()
      local sent, why, code = ws:send(message)
      log[#log + 1] = sent and message .. " answered" or ("%s %s %s"):format(message, why, code)
    end)
  end

  it("a RST is the end right after it", function()
    play(waiting, function(s, p, log, release)
      p:send(TWO)
      scene.await("on_message", function() return log[1] end)
      p:reset()
      turns()
      assert.same({ "one" }, log)
      release()
      assert.same(RESET, s:told())
      assert.same({ "one", "one closed 1006", "close 1006" }, log)
    end)
  end)

  it("a RST is the end after close_timeout if it hangs", function()
    play(waiting, function(s, p, log, release)
      p:send(TWO)
      scene.await("on_message", function() return log[1] end)
      p:reset()
      assert.same(RESET, s:told())
      assert.same({ "one", "close 1006" }, log)
      release()
      scene.await("its return", function() return log[3] end)
      assert.same({ "one", "close 1006", "one closed 1006" }, log)
    end, { close_timeout = 0.05 })
  end)

  it("a FIN is the end after it, and after the messages behind it", function()
    play(waiting, function(s, p, log, release)
      p:send(TWO)
      scene.await("on_message", function() return log[1] end)
      p:fin()
      turns()
      assert.same({ "one" }, log)
      release()
      local outcome = s:outcome(p)
      assert.same({ { "text one", "text two" }, "fin", 1006, LEFT.reason },
        { outcome.wire, outcome.tcp, outcome.code, outcome.reason })
      assert.same({ "one", "one answered", "two", "two answered", "close 1006" }, log)
    end)
  end)

  it("a RST is the end right after it, whichever callback it is", function()
    local function start(ws, log, wait)
      ws:on_ping(function(payload)
        log[#log + 1] = payload
        wait()
        log[#log + 1] = "waited"
      end)
      logging(ws, log)
    end
    play(start, function(s, p, log, release)
      p:send(peer.ping "you?" .. TWO)
      scene.await("on_ping", function() return log[1] end)
      p:reset()
      turns()
      release()
      assert.same(RESET, s:told())
      assert.same({ "you?", "waited", "close 1006" }, log)
    end)
  end)

  local function closing_elsewhere(ws, log, wait)
    waiting(ws, log, wait)
    scene.await("on_message", function() return log[1] end)
    ws:close(4000, "enough")
  end

  it("a close from elsewhere is carried out at once, and told after it", function()
    play(closing_elsewhere, function(s, p, log, release)
      p:send(peer.text "one")
      assert.equal("close 4000 enough", peer.describe(p:read_frame()))
      p:send(peer.close(4000))
      p:fin()
      assert.same({ nil, "fin" }, { p:read_frame() })
      turns()
      assert.same({ "one" }, log)
      release()
      assert.same({
        code = 4000, reason = "", clean = true, by = "local", sent = 4000, received = 4000,
      }, s:told())
      assert.same({ "one", "one closed 4000", "close 4000" }, log)
    end)
  end)

  it("a close from elsewhere is told after close_timeout if it hangs", function()
    play(closing_elsewhere, function(s, p, log)
      p:send(TWO)
      assert.equal("close 4000 enough", peer.describe(p:read_frame()))
      p:send(peer.close(4000, "indeed"))
      assert.same({
        code = 4000, reason = "indeed", clean = true, by = "local", sent = 4000, received = 4000,
        wire = {}, tcp = "fin",
      }, s:outcome(p))
      assert.same({ "one", "close 4000" }, log)
    end, { close_timeout = 0.05 })
  end)
end)

describe("while a plain loop is at work on a message", function()
  local function looping(ws, log, wait)
    for message in ws:messages() do
      log[#log + 1] = message
      wait()
      local sent, why, code = ws:send(message)
      log[#log + 1] = sent and message .. " answered" or ("%s %s %s"):format(message, why, code)
    end
    log[#log + 1] = "over " .. ws.close_code
  end

  it("a FIN is the end after it: the answer still goes out", function()
    play(looping, function(s, p, log, release)
      p:send(peer.text "one")
      scene.await("the message", function() return log[1] end)
      p:fin()
      turns()
      assert.same({ "one" }, log)
      release()
      local outcome = s:outcome(p)
      assert.same({ { "text one" }, "fin", 1006, LEFT.reason },
        { outcome.wire, outcome.tcp, outcome.code, outcome.reason })
      assert.same({ "one", "one answered", "over 1006", "close 1006" }, log)
    end)
  end)

  it("a FIN behind more messages too", function()
    play(looping, function(s, p, log, release)
      p:send(TWO)
      p:fin()
      turns()
      assert.same({ "one" }, log)
      release()
      assert.same({ "text one", "text two" }, s:outcome(p).wire)
      assert.same({ "one", "one answered", "two", "two answered", "over 1006", "close 1006" }, log)
    end)
  end)

  it("a RST is noticed at once", function()
    play(looping, function(s, p, log, release)
      p:send(TWO)
      scene.await("the message", function() return log[1] end)
      p:reset()
      assert.same(RESET, s:told())
      assert.same({ "one", "close 1006" }, log)
      release()
      scene.await("the loop's end", function() return #log == 4 end)
      assert.same({ "one", "close 1006", "one closed 1006", "over 1006" }, log)
    end)
  end)
end)

describe("while nobody wants messages yet", function()
  local function not_ready(ws, log, wait)
    wait()
    logging(ws, log)
  end
  local consumers = {
    on_message = not_ready,
    receive = function(ws, log, wait)
      wait()
      local message = ws:receive()
      while message do
        log[#log + 1] = message
        message = ws:receive()
      end
    end,
    messages = function(ws, log, wait)
      wait()
      for message in ws:messages() do log[#log + 1] = message end
    end,
  }

  for name, start in pairs(consumers) do
    it("a FIN is the end after they were delivered to " .. name, function()
      play(start, function(s, p, log, release)
        p:send(TWO)
        p:fin()
        turns()
        assert.same({}, log)
        release()
        local outcome = s:outcome(p)
        assert.same({ {}, "fin", 1006, LEFT.reason }, { outcome.wire, outcome.tcp, outcome.code, outcome.reason })
        assert.same({ "one", "two", "close 1006" }, log)
      end)
    end)

    it("a Close frame is answered after they were delivered to " .. name, function()
      play(start, function(s, p, log, release)
        p:send(TWO .. peer.close(4000))
        turns()
        assert.same({}, log)
        release()
        local outcome = s:outcome(p)
        assert.same({ { "close 4000" }, "fin", 4000, true },
          { outcome.wire, outcome.tcp, outcome.code, outcome.clean })
        assert.same({ "one", "two", "close 4000" }, log)
      end)
    end)
  end

  it("a FIN behind no message is the end at once", function()
    play(not_ready, function(s, p, log)
      p:fin()
      local outcome = s:outcome(p)
      assert.same({ {}, "fin", 1006, LEFT.reason }, { outcome.wire, outcome.tcp, outcome.code, outcome.reason })
      assert.same({ "close 1006" }, log)
    end)
  end)

  it("a Close frame behind no message is answered at once", function()
    play(not_ready, function(s, p, log)
      p:send(peer.close(4000))
      assert.same({ "close 4000" }, s:outcome(p).wire)
      assert.same({ "close 4000" }, log)
    end)
  end)

  for name, bytes in pairs { ["behind messages"] = TWO, ["behind none"] = "" } do
    it(("a RST %s is noticed at once"):format(name), function()
      play(not_ready, function(s, p, log)
        p:send(bytes)
        turns()
        p:reset()
        assert.same(RESET, s:told())
        assert.same({ "close 1006" }, log)
      end)
    end)
  end

  serving("a handler that returns without wanting them closes with 1000, whether the peer is gone or not", function()
    play(function(_, _, wait) wait() end, function(s, p, log, release)
      p:send(TWO)
      p:fin()
      turns()
      release()
      assert.same({
        code = 1006, reason = "connection closed by the peer before it answered our Close frame",
        clean = false, by = "local", sent = 1000, wire = { "close 1000" }, tcp = "fin",
      }, s:outcome(p))
      assert.same({ "close 1006" }, log)
    end)
  end)
end)

describe("pause, then close:", function()
  -- The peer's messages are there before close is called.
  local function pausing(ws, log, wait)
    logging(ws, log)
    ws:pause()
    wait()
    ws:close(1000, "done")
  end

  local function closing(act, options)
    play(pausing, function(s, p, log, release)
      p:send(TWO)
      turns()
      assert.same({}, log)
      release()
      assert.equal("close 1000 done", peer.describe(p:read_frame()))
      act(s, p, log)
    end, options)
  end

  it("reading resumes for the closing handshake", function()
    closing(function(s, p, log)
      p:send(peer.close(1000, "agreed"))
      assert.same({
        code = 1000, reason = "agreed", clean = true, by = "local", sent = 1000, received = 1000,
        wire = {}, tcp = "fin",
      }, s:outcome(p))
      assert.same({ "one", "two", "close 1000" }, log)
    end)
  end)

  it("messages come up to the peer's Close", function()
    closing(function(s, p, log)
      p:send(peer.text "three" .. peer.close(1000) .. peer.text "four")
      assert.is_true(s:outcome(p).clean)
      assert.same({ "one", "two", "three", "close 1000" }, log)
    end)
  end)

  it("a FIN instead of an answer", function()
    closing(function(s, p, log)
      p:fin()
      assert.same({
        code = 1006, reason = "connection closed by the peer before it answered our Close frame",
        clean = false, by = "local", sent = 1000, wire = {}, tcp = "fin",
      }, s:outcome(p))
      assert.same({ "one", "two", "close 1006" }, log)
    end)
  end)

  it("a RST instead of an answer", function()
    closing(function(s, p)
      p:reset()
      assert.same({
        code = 1006, reason = RESET.reason, error = RESET.error, clean = false, by = "local", sent = 1000,
      }, s:told())
    end)
  end)

  it("no answer at all", function()
    closing(function(s)
      assert.same({
        code = 1006, reason = "closing handshake timed out after 0.05 s", clean = false, by = "local", sent = 1000,
      }, s:told())
    end, { close_timeout = 0.05 })
  end)

  it("terminate instead", function()
    play(function(ws, log, wait)
      logging(ws, log)
      ws:pause()
      wait()
      ws:terminate()
    end, function(s, p, log, release)
      p:send(TWO)
      turns()
      release()
      assert.same({
        code = 1006, reason = "terminated", clean = false, by = "local", wire = {}, tcp = "reset",
      }, s:outcome(p))
      assert.same({ "close 1006" }, log)
    end)
  end)

  serving("the server's shutdown instead", function()
    play(function(ws, log)
      logging(ws, log)
      ws:pause()
    end, function(s, p)
      p:send(TWO)
      turns()
      moonsocket.go(function() s.server:shutdown() end)
      assert.equal("close 1001", peer.describe(p:read_frame()))
      p:send(peer.close(1001))
      local outcome = s:outcome(p)
      assert.same({ 1001, true }, { outcome.code, outcome.clean })
    end)
  end)
end)
