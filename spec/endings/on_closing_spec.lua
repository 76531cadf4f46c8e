-- on_closing: what the application may still do before the peer's Close is answered (RFC 6455 section 5.5.1).
local subject = require "spec.support.subject"
local outcome = require "spec.support.outcome"
local moonsocket = require "moonsocket"

local scene, peer, serving = subject.scene, subject.peer, subject.serving(it)

-- An echo with this on_closing(ws, code, reason); record.calls and record.errors tell what happened.
local function with(closing)
  return function(ws, _, record)
    record.calls, record.errors = {}, {}
    ws:on_message(function(message, kind) ws:send(message, kind) end)
    ws:on_error(function(message) record.errors[#record.errors + 1] = message end)
    ws:on_closing(function(code, reason)
      record.calls[#record.calls + 1] = { code, reason }
      return closing(ws, code, reason)
    end)
  end
end

-- One connection that gets these bytes: its outcome and its record.
local function play(closing, bytes, options)
  local settings, actual, record = { handler = with(closing) }, nil, nil
  for name, value in pairs(options or {}) do settings[name] = value end
  scene.play(settings, function(s)
    local p = s:open()
    p:send(bytes)
    actual, record = s:outcome(p), s.last
  end)
  return actual, record
end

-- A Close with `code` and "bye" of the peer that was answered with the frame `answer`.
local function answered(code, answer, sent)
  local expected = outcome.answered(code, code and "bye")
  expected.wire, expected.sent = { answer }, sent or expected.sent
  return expected
end

-- The answer after an error in on_closing: 1011 with words. The peer's Close still came first.
local function check_raised(actual, record, words)
  local last = actual.wire[#actual.wire]
  assert(last:match "^close 1011 .", last)
  assert.same(answered(1000, last, 1011), actual)
  assert.equal(1, #record.errors)
  assert(record.errors[1]:find(words, 1, true), ("%q does not say %q"):format(record.errors[1], words))
end

describe("on_closing", function()
  local answers = {
    { "nothing", "close 1000", returns = {} },
    { "another code", "close 4001", sent = 4001, returns = { 4001 } },
    { "another code and a reason", "close 4001 see you", sent = 4001, returns = { 4001, "see you" } },
    { "what it was told", "close 1000 bye", returns = { 1000, "bye" } },
    { "123 bytes", "close 1000 " .. ("€"):rep(41), returns = { 1000, ("€"):rep(41) } },
  }
  for _, case in ipairs(answers) do
    it("may return " .. case[1], function()
      local actual, record = play(function() return table.unpack(case.returns) end, peer.close(1000, "bye"))
      assert.same(answered(1000, case[2], case.sent), actual)
      assert.same({ { 1000, "bye" } }, record.calls)
    end)
  end

  it("is told 1005 of an empty Close, which it may answer with a code", function()
    local actual, record = play(function() end, peer.close())
    assert.same(answered(nil, "close"), actual)
    assert.same({ { 1005, "" } }, record.calls)
    assert.same(answered(nil, "close 4001 see you", 4001), (play(function() return 4001, "see you" end, peer.close())))
  end)

  it("is called behind the messages that came before, when no more can be sent", function()
    local state, sent
    local actual = play(function(ws)
      state, sent = ws.state, { ws:send "last words" }
    end, peer.text("hello") .. peer.close(1000, "bye"))
    assert.same(outcome.answered(1000, "bye", { "text hello" }), actual)
    assert.equal("closing", state)
    assert.same({ nil, "closed", 1000 }, sent)
  end)

  it("may close by itself: that is the answer", function()
    local closed, again
    local actual = play(function(ws)
      closed = ws:close(4002, "mine")
      again = { ws:close(4003) }
      return 4004
    end, peer.close(1000, "bye"))
    assert.same(answered(1000, "close 4002 mine", 4002), actual)
    assert.is_true(closed)
    assert.same({ nil, "closed", 4002 }, again)
  end)

  it("is not called for the answer to our own Close", function()
    scene.play({ handler = with(function() end) }, function(s)
      local p = s:open()
      for ws in pairs(s.boxes) do ws:close(4000) end
      assert.equal("close 4000", peer.describe(p:read_frame()))
      p:send(peer.close(4000))
      local actual = s:outcome(p)
      assert.same({ 4000, "local", true }, { actual.code, actual.by, actual.clean })
      assert.same({}, s.last.calls)
    end)
  end)

  it("is not called for a Close that breaks the protocol, nor for a second one", function()
    local actual, record = play(function() end, peer.close(1005))
    outcome.check_failed(actual, 1002, "1005")
    assert.same({}, record.calls)
    actual, record = play(function() end, peer.close(1000, "bye") .. peer.close(1001))
    assert.same(answered(1000, "close 1000"), actual)
    assert.equal(1, #record.calls)
  end)

  serving("may stand in a table of callbacks", function()
    local told = {}
    local callbacks = {
      closing = function(ws, code, reason)
        told.closing = { ws.state, code, reason }
        return 4001, "table"
      end,
      close = function(_, code, reason, info) told.close = { code, reason, info } end,
    }
    scene.play({ table = callbacks }, function(s)
      local p = s:open()
      p:send(peer.close(1000, "bye"))
      local frames, how = p:read_all()
      assert.same({ "close 4001 table", "fin" }, { peer.describe(frames[1]), how })
      p:drop()
      s.await("on_close", function() return told.close end)
      assert.same({ "closing", 1000, "bye" }, told.closing)
      assert.same({ 1000, "bye", { clean = true, by = "peer", sent = 4001, received = 1000 } }, told.close)
    end)
  end)
end)

describe("on_closing that fails", function()
  it("by an error is answered with 1011, which does not hide the peer's Close", function()
    local actual, record = play(function() error "no" end, peer.close(1000, "bye"))
    check_raised(actual, record, "no")
  end)

  it("by an error after waiting, too", function()
    local actual, record = play(function()
      moonsocket.sleep(0.005)
      error "no"
    end, peer.close(1000, "bye"))
    check_raised(actual, record, "no")
  end)

  for _, code in ipairs { 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, -1, 65536 + 1000 } do
    it("returns a code that may not be sent: " .. code, function()
      local actual, record = play(function() return code end, peer.close(1000, "bye"))
      check_raised(actual, record, tostring(code))
    end)
  end

  local wrong = {
    ["a code that is a string"] = { { "normal" }, "number expected" },
    ["a code with a fraction"] = { { 1000.5 }, "integer" },
    ["a reason of 124 bytes"] = { { 1000, ("r"):rep(124) }, "123" },
    ["a reason that is not UTF-8"] = { { 1000, "\xff" }, "UTF-8" },
    ["a reason that is a table"] = { { 1000, {} }, "string expected" },
  }
  for name, case in pairs(wrong) do
    it("returns " .. name, function()
      local actual, record = play(function() return table.unpack(case[1]) end, peer.close(1000, "bye"))
      check_raised(actual, record, case[2])
    end)
  end
end)

describe("on_closing that waits", function()
  it("holds the answer back", function()
    local again
    local actual, record = play(function(ws)
      moonsocket.sleep(0.005)
      again = { ws.state, ws:send("late") }
      return 4001, "done"
    end, peer.close(1000, "bye"))
    assert.same(answered(1000, "close 4001 done", 4001), actual)
    assert.same({ "closing", nil, "closed", 1000 }, again)
    assert.equal(1, #record.calls)
  end)

  it("may be overtaken by a close() of another task, which is the answer", function()
    scene.play({ handler = with(function()
      moonsocket.sleep(0.01)
      return 4001
    end) }, function(s)
      local p = s:open()
      p:send(peer.close(1000, "bye"))
      s.await("on_closing", function() return #s.last.calls == 1 end)
      for ws in pairs(s.boxes) do assert.is_true(ws:close(4002, "mine")) end
      assert.same(answered(1000, "close 4002 mine", 4002), s:outcome(p))
    end)
  end)

  it("for longer than close_timeout is not waited for: the peer gets its own code", function()
    local late
    local actual, record = play(function(ws)
      moonsocket.sleep(0.15)
      late = { ws.state, ws:send("late") }
      return 4001, "too late"
    end, peer.close(1000, "bye"), { close_timeout = 0.05 })
    assert.same(answered(1000, "close 1000"), actual)
    assert.equal(1, #record.calls)
    assert.same({}, record.errors)
    assert.same({ nil, "closed", 1000 }, { table.unpack(late, 2, 4) })
  end)

  it("hears nothing of what the peer sends meanwhile", function()
    scene.play({ handler = with(function() moonsocket.sleep(0.01) end) }, function(s)
      local p = s:open()
      p:send(peer.close(1000, "bye") .. peer.text("glued") .. ("\xff"):rep(100))
      p:send(peer.text("later"))
      assert.same(answered(1000, "close 1000"), s:outcome(p))
    end)
  end)

  it("still answers a peer that has sent FIN", function()
    scene.play({ handler = with(function()
      moonsocket.sleep(0.01)
      return 4001
    end) }, function(s)
      local p = s:open()
      p:send(peer.close(1000, "bye"))
      p:fin()
      assert.same(answered(1000, "close 4001", 4001), s:outcome(p))
    end)
  end)

  it("and a RST meanwhile: the peer's Close is told, and that it was not answered", function()
    scene.play({ handler = with(function() moonsocket.sleep(0.02) end) }, function(s)
      local p = s:open()
      p:send(peer.close(4007, "bye"))
      s.await("on_closing", function() return #s.last.calls == 1 end)
      p:reset()
      local ending = s:ending()
      assert.same({ 4007, "bye" }, { ending.code, ending.reason })
      assert.same({ clean = false, by = "peer", received = 4007, error = "Connection reset by peer" }, ending.info)
    end)
  end)

  it("and terminate() inside: the peer's Close is told, and that it was not answered", function()
    scene.play({ handler = with(function(ws) ws:terminate() end) }, function(s)
      local p = s:open()
      p:send(peer.close(4007, "bye"))
      local expected = { wire = {}, tcp = "reset", code = 4007, reason = "bye", clean = false, by = "peer",
        received = 4007 }
      assert.same(expected, s:outcome(p))
    end)
  end)
end)
