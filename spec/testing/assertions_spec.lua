-- The assertions of moonsocket.testing: each holds and fails where it should, and says what was expected and what came.
local kit = require "spec.support.kit"
local moonsocket = require "moonsocket"
local testing = require "moonsocket.testing"

-- What a failing assertion says, as lines.
local function says(...)
  local ok, wrong = pcall(...)
  assert.is_false(ok)
  return tostring(wrong)
end

local function expected_and_got(expected, got)
  return ("Expected:\n%s\nGot:\n%s"):format(expected, got)
end

local function silent(ws) ws:on_message(function() end) end

describe("assert.closed_with", function()
  -- A peer that closes with 4001 "bored".
  local function bored(act)
    kit.play(function(peer)
      local ws = peer:ws()
      peer:close(4001, "bored")
      peer:leave()
      act(ws)
    end, silent)
  end

  it("holds for the code, a pattern of the reason, and fields", function()
    bored(function(ws)
      assert.closed_with(ws, 4001)
      assert.closed_with(ws, 4001, "bored")
      assert.closed_with(ws, 4001, "^b.*d$")
      assert.closed_with(ws, {})
      assert.closed_with(ws, { by = "peer" })
      assert.closed_with(ws, { code = 4001, reason = "bored", clean = true, by = "peer", sent = 4001, received = 4001 })
    end)
  end)

  local GOT = 'code 4001, reason "bored", clean, by peer, sent 4001, received 4001'

  local wrong = {
    ["another code"] = { { 1000 }, "code 1000" },
    ["another reason"] = { { 4001, "^bye$" }, 'code 4001, reason matching "^bye$"' },
    ["another by"] = { { { by = "local" } }, "by local" },
    ["not clean"] = { { { clean = false } }, "not clean" },
    ["nothing sent"] = { { { code = 4001, sent = false } }, "code 4001, sent nothing" },
    ["something else received"] = { { { received = 1000 } }, "received 1000" },
  }
  for name, case in pairs(wrong) do
    it("fails for " .. name, function()
      local arguments, expected = table.unpack(case)
      bored(function(ws)
        assert.equal(expected_and_got(expected, GOT), says(assert.closed_with, ws, table.unpack(arguments)))
        assert.not_closed_with(ws, table.unpack(arguments))
      end)
    end)
  end

  it("takes a reason that is no pattern for what it is, too", function()
    kit.play(function(peer)
      local ws = peer:ws()
      peer:close(1000, "see you (soon)")
      peer:leave()
      assert.closed_with(ws, 1000, "see you (soon)")
    end, silent)
  end)

  it("says that nothing was sent or received", function()
    kit.play(function(peer)
      local ws = peer:ws()
      peer:reset()
      assert.equal(expected_and_got("clean", 'code 1006, reason "connection reset by peer", not clean, by network, '
        .. "sent nothing, received nothing"), says(assert.closed_with, ws, { clean = true }))
      assert.closed_with(ws, { sent = false, received = false })
    end, silent)
  end)

  it("waits for the end, and says that there was none", function()
    kit.play(function(peer)
      local ws = peer:ws()
      kit.impatiently(0.02, function()
        assert.equal(expected_and_got("code 1000", "still open after 0.02 s"), says(assert.closed_with, ws, 1000))
      end)
      moonsocket.go(function() peer:reset() end)
      assert.closed_with(ws, 1006)
    end, silent)
  end)

  it("holds for a client of moonsocket's, too", function()
    kit.run(function()
      local server <close> = assert(testing.server(function(ws) ws:close(4000, "enough") end))
      assert.closed_with(assert(moonsocket.connect(server.url)), 4000, "enough")
    end)
  end)

  it("says the opposite where it is denied", function()
    bored(function(ws)
      assert.equal("Did not expect:\ncode 4001\nGot:\n" .. GOT, says(assert.not_closed_with, ws, 4001))
    end)
  end)

  it("says what is wrong with its arguments", function()
    bored(function(ws)
      assert.matches("^spec/testing/assertions_spec.lua:%d+: closed_with: a ws expected, got nil$",
        says(function() assert.closed_with(nil, 1000) end))
      for _, what in ipairs { "bye", "nil" } do
        assert.matches("closed_with: a close code or a table { code =, reason =, ... } expected, got " .. what .. "$",
          says(function() assert.closed_with(ws, what ~= "nil" and what or nil) end))
      end
      assert.matches("closed_with: unknown field 'reasn': code, reason, clean, by, sent or received expected$",
        says(function() assert.closed_with(ws, { reasn = "bye" }) end))
    end)
  end)
end)

describe("assert.received", function()
  it("holds for the next message", function()
    kit.play(function(peer)
      peer:send_text "hello"
      peer:send_frame { opcode = "binary", payload = "\0" }
      peer:send_text "bye"
      assert.received(peer, "hello")
      assert.received(peer, "\0", "binary")
      assert.not_received(peer, "hello")
    end)
  end)

  it("fails for another message or kind, and for none", function()
    kit.play(function(peer)
      for _ = 1, 2 do peer:send_text "hello" end
      assert.equal(expected_and_got('"bye"', 'text "hello"'), says(assert.received, peer, "bye"))
      assert.equal(expected_and_got('binary "hello"', 'text "hello"'), says(assert.received, peer, "hello", "binary"))
      kit.impatiently(0.02, function()
        assert.equal(expected_and_got('"bye"', "nothing (timeout)"), says(assert.received, peer, "bye"))
      end)
      peer:ws():close(4000, "enough")
      assert.equal(expected_and_got('"bye"', 'a Close frame with code 4000, reason "enough"'),
        says(assert.received, peer, "bye"))
      assert.equal(expected_and_got('"bye"', "nothing (fin)"), says(assert.received, peer, "bye"))
      peer:drop()
      assert.equal(expected_and_got('"bye"', "nothing (closed)"), says(assert.received, peer, "bye"))
    end)
  end)

  it("holds for a client of moonsocket's, too", function()
    kit.run(function()
      local server <close> = assert(testing.server(function(ws)
        ws:send "hello"
        ws:close(4000, "enough")
      end))
      local ws = assert(moonsocket.connect(server.url))
      assert.received(ws, "hello", "text")
      assert.received_close(ws, 4000, "enough")
    end)
  end)

  it("says what is wrong with its arguments", function()
    kit.play(function(peer)
      assert.matches("^spec/testing/assertions_spec.lua:%d+: received: a message expected, got nil$",
        says(function() assert.received(peer) end))
      assert.matches("received: a peer or a ws expected, got nil$", says(function() assert.received(nil, "a") end))
    end)
  end)
end)

describe("assert.received_close", function()
  local function said_and_closed(act)
    kit.play(act, function(ws)
      ws:send "one"
      ws:send "two"
      ws:close(4000, "enough")
    end)
  end

  it("holds for a Close frame, whatever comes before it", function()
    said_and_closed(function(peer) assert.received_close(peer) end)
    said_and_closed(function(peer) assert.received_close(peer, 4000) end)
    said_and_closed(function(peer) assert.received_close(peer, 4000, "^eno") end)
  end)

  it("fails for another code or reason, and for none", function()
    local got = 'a Close frame with code 4000, reason "enough"'
    said_and_closed(function(peer)
      assert.equal(expected_and_got("a Close frame with code 1000", got), says(assert.received_close, peer, 1000))
    end)
    said_and_closed(function(peer)
      assert.equal(expected_and_got('a Close frame with code 4000, reason matching "bye"', got),
        says(assert.received_close, peer, 4000, "bye"))
    end)
    kit.play(function(peer)
      peer:ws():terminate()
      assert.equal(expected_and_got("a Close frame", "nothing (reset)"), says(assert.received_close, peer))
    end)
  end)

  it("says what is wrong with its arguments", function()
    assert.matches("received_close: a peer or a ws expected, got 1000$",
      says(function() assert.received_close(1000) end))
    kit.play(function(peer)
      assert.matches("received_close: a close code expected, got enough$",
        says(function() assert.received_close(peer, "enough") end))
    end)
  end)
end)

describe("assert.eventually", function()
  it("waits until it is true, and others run meanwhile", function()
    kit.run(function()
      local done
      moonsocket.go(function()
        moonsocket.sleep(0.01)
        done = true
      end)
      assert.eventually(function() return done end)
    end)
    local done
    moonsocket.go(function() done = 1 end)
    assert.eventually(function() return done end) -- at top level
  end)

  it("fails when the time is up", function()
    kit.impatiently(0.02, function()
      assert.equal(expected_and_got("a condition that comes true", "nil, for 0.02 s"),
        says(assert.eventually, function() end))
      assert.equal(expected_and_got("an empty room", "false, for 0.02 s"),
        says(assert.eventually, function() return false end, "an empty room"))
      assert.not_eventually(function() return false end)
    end)
  end)

  it("lets an error of the condition through", function()
    assert.matches("a mistake", says(assert.eventually, function() error "a mistake" end))
    assert.matches("eventually: a function expected, got true$", says(function() assert.eventually(true) end))
  end)
end)

describe("moonsocket.testing", function()
  it("can be used without luassert", function()
    local loaded, searchers = {}, package.searchers
    for _, name in ipairs { "luassert", "say", "moonsocket.testing", "moonsocket.testing.assertions" } do
      loaded[name] = package.loaded[name]
      package.loaded[name] = nil
    end
    package.searchers = { function(name)
      if name == "luassert" or name == "say" then return "not here" end
      for i = 2, #searchers do
        local loader, extra = searchers[i](name)
        if type(loader) == "function" then return loader, extra end
      end
    end }
    local ok, kit_without = pcall(require, "moonsocket.testing")
    package.searchers = searchers
    for name, module in pairs(loaded) do package.loaded[name] = module end
    assert.is_true(ok, kit_without)
    assert.is_function(kit_without.peer)
  end)
end)
