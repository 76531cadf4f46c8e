-- A Close frame of the peer and what we do about it: RFC 6455 sections 5.5.1, 7.1 and 7.4.
local subject = require "spec.support.subject"
local outcome = require "spec.support.outcome"
local handlers = require "spec.support.handlers"
local moonsocket = require "moonsocket"

local scene, peer, serving = subject.scene, subject.peer, subject.serving(it)

local echo = handlers.echo

-- An echo that is ready only after a while: until then nothing may be lost.
local function late_echo(ws, request, record)
  moonsocket.sleep(0.01)
  echo(ws, request, record)
end

local styles = { on_message = echo, ["messages()"] = handlers.echo_loop, ["a handler that waits first"] = late_echo }

-- One connection that gets these bytes after the handshake, and its outcome.
local function play(bytes, options)
  local actual
  scene.play(options or {}, function(s)
    local p = s:open()
    p:send(bytes)
    actual = s:outcome(p)
  end)
  return actual
end

describe("a Close frame of the peer", function()
  for _, code in ipairs { 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999 } do
    it(("with %d is answered with %d, whether it has a reason or not"):format(code, code), function()
      assert.same(outcome.answered(code, "why not"), play(peer.close(code, "why not")))
      assert.same(outcome.answered(code), play(peer.close(code)))
    end)
  end

  it("without a code is answered without one and told as 1005", function()
    assert.same(outcome.answered(), play(peer.close()))
  end)

  local reasons = {
    ["of one byte"] = "x",
    ["of 123 bytes"] = ("r"):rep(123),
    ["of 123 bytes in characters of four, three, two and one"] = ("𝄞"):rep(29) .. "€" .. "é" .. "é",
    ["with characters of two bytes"] = "\u{80}é\u{7ff}",
    ["with characters of three bytes"] = "\u{800}€\u{d7ff}\u{e000}\u{ffff}",
    ["with characters of four bytes"] = "\u{10000}𝄞\u{10ffff}",
    ["with a NUL inside"] = "a\0b",
  }
  for name, reason in pairs(reasons) do
    it("hands over a reason " .. name, function()
      assert(#reason <= 123)
      assert.same(outcome.answered(1000, reason), play(peer.close(1000, reason)))
    end)
  end

  it("may come byte by byte", function()
    scene.play({}, function(s)
      for code, reason in pairs { [1000] = "ünder way", [1001] = "", [4000] = ("€"):rep(41) } do
        local p = s:open()
        p:drip(peer.close(code, reason))
        assert.same(outcome.answered(code, reason), s:outcome(p))
      end
      local p = s:open()
      p:drip(peer.close())
      assert.same(outcome.answered(), s:outcome(p))
    end)
  end)

  it("may come in two pieces, cut anywhere", function()
    local frame = peer.close(1000, "cut")
    scene.play({}, function(s)
      for at = 1, #frame - 1 do
        local p = s:open()
        p:send(peer.text("first") .. frame:sub(1, at))
        assert.equal("first", p:read_frame().payload) -- all that came with it has been read by now
        p:send(frame:sub(at + 1))
        assert.same(outcome.answered(1000, "cut"), s:outcome(p))
      end
    end)
  end)

  for name, handler in pairs(styles) do
    describe("with " .. name, function()
      it("may be glued to the handshake", function()
        scene.play({ handler = handler }, function(s)
          local p = s:open(nil, peer.close(1001, "just looking"))
          assert.same(outcome.answered(1001, "just looking"), s:outcome(p))
        end)
      end)

      it("may be glued to the handshake and a message, which comes first", function()
        scene.play({ handler = handler }, function(s)
          local p = s:open(nil, peer.text("hello") .. peer.close(1000, "bye"))
          assert.same(outcome.answered(1000, "bye", { "text hello" }), s:outcome(p))
          assert.same({ "hello" }, s.last.got)
        end)
      end)

      serving("may come byte by byte with the handshake and a message", function()
        scene.play({ handler = handler }, function(s)
          local p = s:connect()
          p:drip(peer.request() .. peer.text("hello") .. peer.close(1000, "bye"))
          p:read_head()
          assert.same(outcome.answered(1000, "bye", { "text hello" }), s:outcome(p))
        end)
      end)

      it("may be glued to messages: they come first and their echoes go out", function()
        local bytes = peer.text("one") .. peer.binary("\xff") .. peer.text("") .. peer.close(1000, "bye")
        scene.play({ handler = handler }, function(s)
          local p = s:open()
          p:send(bytes)
          assert.same(outcome.answered(1000, "bye", { "text one", "binary \xff", "text" }), s:outcome(p))
          assert.same({ "one", "\xff", "" }, s.last.got)
        end)
      end)

      it("may be glued to a message in fragments with a Ping inside", function()
        scene.play({ handler = handler }, function(s)
          local p = s:open()
          p:send(peer.frame { payload = "in ", fin = false } .. peer.ping("?")
            .. peer.frame { opcode = 0, payload = "pieces" } .. peer.close(1000))
          assert.same(outcome.answered(1000, "", { "pong ?", "text in pieces" }), s:outcome(p))
        end)
      end)

      it("may be glued to a large message", function()
        local large = ("0123456789abcdef"):rep(20000)
        scene.play({ handler = handler }, function(s)
          local p = s:open()
          p:send(peer.binary(large) .. peer.close(1000))
          assert.same(outcome.answered(1000, "", { "binary " .. large }), s:outcome(p))
        end)
      end)
    end)
  end

  it("between fragments ends the connection without the rest of the message", function()
    local beginnings = {
      peer.frame { payload = "half a mess", fin = false },
      peer.frame { payload = "", fin = false },
      peer.frame { opcode = 2, payload = "\xff", fin = false },
      peer.frame { payload = "half a character \xe2\x82", fin = false },
      peer.frame { payload = "a", fin = false } .. peer.frame { opcode = 0, payload = "b", fin = false },
    }
    scene.play({ handler = echo }, function(s)
      for _, beginning in ipairs(beginnings) do
        local p = s:open()
        p:send(beginning .. peer.close(1000, "enough"))
        assert.same(outcome.answered(1000, "enough"), s:outcome(p))
        assert.same({}, s.last.got)
      end
    end)
  end)

  local behind = {
    data = peer.text("too late"),
    ["half a frame"] = peer.frame { payload = "too", length = 100 },
    garbage = ("\xff"):rep(1000),
    ["much data"] = peer.frame { opcode = 2, payload = ("\0"):rep(1000000), key = "\0\0\0\0" },
    ["a second Close"] = peer.close(1001, "again"),
    ["an invalid Close"] = peer.close(1005, "\xff"),
    ["a Ping"] = peer.ping("anybody?"),
  }
  for name, bytes in pairs(behind) do
    it("counts alone, whatever follows: " .. name, function()
      scene.play({ handler = echo }, function(s)
        local p = s:open()
        p:send(peer.close(1000, "over") .. bytes)
        assert.same(outcome.answered(1000, "over"), s:outcome(p))
        assert.same({}, s.last.got)
      end)
    end)

    it("counts alone, whatever follows the answer: " .. name, function()
      scene.play({ handler = echo }, function(s)
        local p = s:open()
        p:send(peer.close(1000, "over"))
        assert.equal("close 1000", peer.describe(p:read_frame()))
        p:send(bytes)
        local expected = outcome.answered(1000, "over")
        expected.wire = {} -- the answer has been read already
        assert.same(expected, s:outcome(p))
        assert.same({}, s.last.got)
      end)
    end)
  end

  it("may be followed by FIN", function()
    scene.play({ handler = echo }, function(s)
      local p = s:open()
      p:send(peer.text("hi") .. peer.close(1000, "over"))
      p:fin()
      assert.same(outcome.answered(1000, "over", { "text hi" }), s:outcome(p))
    end)
  end)

  it("may be followed by RST", function()
    scene.play({ handler = echo }, function(s)
      local p = s:open()
      p:send(peer.text("hi") .. peer.close(1000, "over"))
      p:reset()
      local ending = s:ending()
      ending.info.clean, ending.info.error = nil, nil -- whether the answer left before the RST came is a matter of luck
      assert.same({ 1000, "over" }, { ending.code, ending.reason })
      assert.same({ by = "peer", sent = 1000, received = 1000 }, ending.info)
      assert.same({ "hi" }, ending.got)
    end)
  end)

  it("ends a connection whose peer then never closes its side of TCP", function()
    scene.play({ close_timeout = 0.05 }, function(s)
      local p = s:open()
      p:send(peer.close(1000, "over"))
      local frames, how = p:read_all()
      assert.same({ "close 1000", "fin" }, { peer.describe(frames[1]), how })
      local ending = s:ending() -- p is still there
      assert.same({ 1000, "over" }, { ending.code, ending.reason })
      assert.same({ clean = true, by = "peer", sent = 1000, received = 1000 }, ending.info)
    end)
  end)

  it("makes further sending impossible", function()
    local results
    local function handler(ws, _, record)
      record.ws_closed = function() results = { ws.state, ws:send("late") } end
      ws:on_message(function() end)
    end
    scene.play({ handler = handler }, function(s)
      local p = s:open()
      p:send(peer.close(4001, "over"))
      assert.equal("close 4001", peer.describe(p:read_frame()))
      s.last.ws_closed()
      assert.same({ "closing", nil, "closed", 4001 }, results)
      s.last.ws_closed = nil
      assert.same({}, s:outcome(p).wire)
    end)
  end)
end)

describe("a Close frame that breaks the protocol", function()
  local function check(bytes, code, words)
    scene.play({ handler = echo }, function(s)
      local p = s:open()
      p:send(peer.text("before") .. bytes .. peer.text("after") .. peer.close(1000))
      outcome.check_failed(s:outcome(p), code, words, { "text before" })
      assert.same({ "before" }, s.last.got)
    end)
  end

  for _, code in ipairs { 0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65535 } do
    it(("carries %d, which may not be on the wire"):format(code), function()
      check(peer.close(code, "why not"), 1002, tostring(code))
      check(peer.close(code), 1002, tostring(code))
    end)
  end

  it("carries half a code", function()
    check(peer.frame { opcode = 8, payload = "\x03" }, 1002, "Close")
  end)

  it("is longer than 125 bytes", function()
    check(peer.close(1000, ("r"):rep(124)), 1002, "125")
    check(peer.close(1000, ("r"):rep(70000)), 1002, "125")
  end)

  it("is fragmented", function()
    check(peer.frame { opcode = 8, payload = "\x03\xe8", fin = false }, 1002, "fragment")
    check(peer.frame { opcode = 8, payload = "\x03\xe8by", fin = false } .. peer.frame { opcode = 0, payload = "e" },
      1002, "fragment")
    check(peer.frame { opcode = 8, fin = false }, 1002, "fragment")
  end)

  it("has a length that is not in the shortest form", function()
    check(peer.frame { opcode = 8, payload = "\x03\xe8", size = 16 }, 1002, "125")
    check(peer.frame { opcode = 8, payload = "\x03\xe8", size = 64 }, 1002, "125")
  end)

  it(peer.masks and "is not masked" or "is masked", function()
    check(peer.frame { opcode = 8, payload = "\x03\xe8", masked = not peer.masks }, 1002, "mask")
  end)

  local bad_text = {
    ["a byte that never occurs"] = "\xff",
    ["a continuation byte alone"] = "ok \x80",
    ["a character that is cut off"] = "ok \xe2\x82",
    ["a character that is cut off by another"] = "\xe2\x82 ok",
    ["an overlong form"] = "\xc0\xaf",
    ["a surrogate"] = "\xed\xa0\x80",
    ["a character beyond U+10FFFF"] = "\xf4\x90\x80\x80",
    ["its last byte wrong"] = ("r"):rep(122) .. "\xc3",
  }
  for name, text in pairs(bad_text) do
    it("has a reason that is not UTF-8: " .. name, function()
      check(peer.close(1000, text), 1007, "UTF-8")
    end)
  end

  it("comes byte by byte", function()
    scene.play({}, function(s)
      local p = s:open()
      p:drip(peer.close(1006, "dripped"))
      outcome.check_failed(s:outcome(p), 1002, "1006")
      p = s:open()
      p:drip(peer.close(1000, "dripped \xe2\x82"))
      outcome.check_failed(s:outcome(p), 1007, "UTF-8")
    end)
  end)

  it("comes with the handshake", function()
    scene.play({}, function(s)
      local p = s:open(nil, peer.close(1015))
      outcome.check_failed(s:outcome(p), 1002, "1015")
    end)
  end)

  it("comes amid fragments", function()
    check(peer.frame { payload = "a", fin = false } .. peer.close(1006), 1002, "1006")
  end)
end)
