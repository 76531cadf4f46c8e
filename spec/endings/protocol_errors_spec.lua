-- A peer that breaks the protocol: RFC 6455 sections 5.1, 5.2, 5.4, 5.5 and 8.1, and what we do then: section 7.1.7.
local subject = require "spec.support.subject"
local outcome = require "spec.support.outcome"
local handlers = require "spec.support.handlers"
local moonsocket = require "moonsocket"
local raw = require "raw"

local scene, peer, serving, tls = subject.scene, subject.peer, subject.serving(it), subject.tls

local echo = handlers.echo

-- A message is answered, then come these bytes, then a message that nobody may answer.
local function check_amid_messages(s, bytes, code, words)
  local p = s:open()
  p:send(peer.text("before") .. bytes .. peer.text("after") .. peer.close(1000))
  outcome.check_failed(s:outcome(p), code, words, { "text before" })
  assert.same({ "before" }, s.last.got)
end

-- The bytes are the first that come, with the handshake.
local function check_first(s, bytes, code, words)
  local p = s:open(nil, bytes)
  outcome.check_failed(s:outcome(p), code, words)
end

-- The bytes are all that comes: nothing is waited for.
local function check_alone(s, bytes, code, words)
  local p = s:open()
  p:send(bytes)
  outcome.check_failed(s:outcome(p), code, words)
end

local function check_dripped(s, bytes, code, words)
  local p = s:open()
  p:drip(bytes)
  outcome.check_failed(s:outcome(p), code, words)
end

local function frame(f) return peer.frame(f) end

-- A group of cases: the wrong frames (as for peer.frame), the words of the reason, and after how many bytes of the
-- frame it must have been found. before: bytes that come before the frame, where they are what makes it wrong.
local function breaks(name, words, head, frames, before)
  before = before or ""
  for i, wrong in ipairs(frames) do
    local bytes = frame(wrong)
    it(("%s (%d)"):format(name, i), function()
      scene.play({ handler = echo }, function(s)
        check_amid_messages(s, before .. bytes, 1002, words)
        check_first(s, before .. bytes, 1002, words)
        check_alone(s, before .. bytes:sub(1, head), 1002, words)
        check_dripped(s, before .. bytes:sub(1, 200), 1002, words)
      end)
    end)
  end
end

local opcodes = { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 }
local begun = frame { payload = "a message ", fin = false }

describe("a frame fails the connection with 1002 because", function()
  for name, opcode in pairs(opcodes) do
    breaks("its mask is wrong: " .. name, "mask", 2, {
      { opcode = opcode, masked = not peer.masks },
      { opcode = opcode, masked = not peer.masks, payload = "\x03\xe8" },
      { opcode = opcode, masked = not peer.masks, payload = ("p"):rep(125) },
    }, opcode == 0 and begun or nil)
  end
  breaks("its mask is wrong: a long one", "mask", 2, {
    { opcode = 2, masked = not peer.masks, payload = ("p"):rep(126) },
    { opcode = 2, masked = not peer.masks, payload = ("p"):rep(65536) },
  })

  for name, opcode in pairs(opcodes) do
    local frames = {}
    for bits = 1, 7 do frames[bits] = { opcode = opcode, rsv = bits, payload = "\x03\xe8" } end
    breaks("reserved bits are set: " .. name, "reserved bit", 2, frames, opcode == 0 and begun or nil)
  end

  for _, opcode in ipairs { 3, 4, 5, 6, 7, 11, 12, 13, 14, 15 } do
    breaks("of a reserved opcode: " .. opcode, "opcode", 2, {
      { opcode = opcode },
      { opcode = opcode, payload = "data" },
      { opcode = opcode, payload = "data", fin = false },
      { opcode = opcode, payload = ("d"):rep(126) },
    })
  end

  for _, name in ipairs { "close", "ping", "pong" } do
    local opcode = opcodes[name]
    breaks("a control frame is too long: " .. name, "125", 2, {
      { opcode = opcode, payload = "\x03\xe8" .. ("p"):rep(124) },
      { opcode = opcode, payload = "\x03\xe8" .. ("p"):rep(65536) },
      { opcode = opcode, length = 0x7fffffffffffffff },
      { opcode = opcode, payload = "\x03\xe8", size = 16 },
      { opcode = opcode, payload = "\x03\xe8", size = 64 },
    })
    breaks("a control frame is fragmented: " .. name, "fragment", 2, {
      { opcode = opcode, fin = false },
      { opcode = opcode, payload = "\x03\xe8", fin = false },
    })
    breaks("a control frame is fragmented amid a message: " .. name, "fragment", 2, {
      { opcode = opcode, payload = "\x03\xe8", fin = false },
    }, begun)
  end

  local unbegun = {
    { opcode = 0, payload = "of what?" },
    { opcode = 0, payload = "of what?", fin = false },
    { opcode = 0 },
    { opcode = 0, payload = ("?"):rep(70000) },
  }
  breaks("there is nothing to continue", "continu", 14, unbegun)
  breaks("there is nothing to continue behind a Pong", "continu", 14, unbegun, peer.pong("unasked"))

  breaks("a message begins inside another", "inside", 14, {
    { opcode = 1, payload = "new" },
    { opcode = 2, payload = "new" },
    { opcode = 1, payload = "new", fin = false },
    { opcode = 2, payload = "new", fin = false },
    { opcode = 1 },
  }, begun)
  breaks("a message begins inside another that has gone on", "inside", 14, { { opcode = 2, payload = "new" } },
    begun .. frame { opcode = 0, payload = "goes on ", fin = false } .. peer.pong("unasked"))
  breaks("a message begins inside an empty one", "inside", 14, { { payload = "new" } }, frame { fin = false })

  for _, opcode in ipairs { 1, 2 } do
    breaks("a length is not minimal in 16 bits, opcode " .. opcode, "length", 4, {
      { opcode = opcode, size = 16 },
      { opcode = opcode, size = 16, payload = "p" },
      { opcode = opcode, size = 16, payload = ("p"):rep(125) },
    })
    breaks("a length is not minimal in 64 bits, opcode " .. opcode, "length", 10, {
      { opcode = opcode, size = 64 },
      { opcode = opcode, size = 64, payload = ("p"):rep(125) },
      { opcode = opcode, size = 64, payload = ("p"):rep(126) },
      { opcode = opcode, size = 64, payload = ("p"):rep(65535) },
    })
    breaks("a length has the top bit set, opcode " .. opcode, "length", 10, {
      { opcode = opcode, length = math.mininteger },
      { opcode = opcode, length = -1 },
      { opcode = opcode, length = math.mininteger | 5, payload = "short" },
    })
  end
  breaks("a length of a continuation is not minimal", "length", 4, { { opcode = 0, size = 16, payload = "p" } }, begun)

  it("a complete message cannot be continued", function()
    scene.play({ handler = echo }, function(s)
      for _, message in ipairs { peer.text("done"), begun .. frame { opcode = 0 } } do
        local p = s:open()
        p:send(message .. frame { opcode = 0, payload = "more" })
        local actual = s:outcome(p)
        outcome.check_failed(actual, 1002, "continu", { actual.wire[1] })
        assert.equal(1, #s.last.got)
      end
    end)
  end)
end)

-- Text with its first bad byte. Unicode's table 3-7 says which they are.
local bad_texts = {
  { "a continuation byte alone", "\x80", 1 },
  { "the last continuation byte alone", "ok \xbf", 4 },
  { "a continuation byte too many", "\xc3\xa9\xa9", 3 },
  { "an overlong form of two bytes", "\xc0\x80", 1 },
  { "the last overlong form of two bytes", "\xc1\xbf", 1 },
  { "an overlong form of three bytes", "\xe0\x80\x80", 2 },
  { "the last overlong form of three bytes", "\xe0\x9f\xbf", 2 },
  { "an overlong form of four bytes", "\xf0\x80\x80\x80", 2 },
  { "the last overlong form of four bytes", "\xf0\x8f\xbf\xbf", 2 },
  { "the first surrogate", "\xed\xa0\x80", 2 },
  { "the last surrogate", "\xed\xbf\xbf", 2 },
  { "the first beyond U+10FFFF", "\xf4\x90\x80\x80", 2 },
  { "a form of four bytes that never occurs", "\xf5\x80\x80\x80", 1 },
  { "a form of five bytes", "\xf8\x88\x80\x80\x80", 1 },
  { "FE", "\xfe", 1 },
  { "FF", "ok \xff ok", 4 },
  { "a character of two bytes broken off", "\xc3(", 2 },
  { "a character of three bytes broken off", "\xe2(\xa1", 2 },
  { "a character of three bytes broken off later", "\xe2\x82(", 3 },
  { "a character of four bytes broken off", "\xf0\x9d(\xbc", 3 },
  { "a character of four bytes broken off later", "\xf0\x9d\x84(", 4 },
  { "a character inside another", "\xe2\x82\xe2\x82\xac", 3 },
  { "a bad byte behind much text", ("κόσμε "):rep(30) .. "\xf4\x90\x80\x80 edited", 332 },
  { "a bad byte amid ASCII", ("a"):rep(1000) .. "\xff" .. ("z"):rep(1000), 1001 },
}

describe("a text message fails the connection with 1007 because it has", function()
  for _, case in ipairs(bad_texts) do
    local name, text, at = case[1], case[2], case[3]
    local before, bad = text:sub(1, at - 1), text:sub(at, at)

    it(name, function()
      scene.play({ handler = echo }, function(s)
        check_amid_messages(s, peer.text(text), 1007, "UTF-8")
        check_first(s, peer.text(text), 1007, "UTF-8")
        if #text < 100 then check_dripped(s, peer.text(text), 1007, "UTF-8") end
      end)
    end)

    it(name .. ", found at the first bad byte of an unfinished frame", function()
      scene.play({ handler = echo }, function(s)
        local head = frame { payload = before .. bad, length = at + 1000 }
        check_alone(s, head, 1007, "UTF-8")
        check_alone(s, frame { payload = before .. bad, length = 0x10000 }, 1007, "UTF-8")
        local p = s:open()
        p:send(frame { payload = before .. bad, length = at + 1 }:sub(1, -2)) -- all but the bad byte
        p:send(frame { payload = before .. bad }:sub(-1)) -- the length has no part in the masking
        outcome.check_failed(s:outcome(p), 1007, "UTF-8")
      end)
    end)

    it(name .. ", found at the first bad byte and no sooner", function()
      scene.play({ handler = echo }, function(s)
        local p = s:open()
        p:send(frame { payload = before, fin = false } .. peer.ping("still there?"))
        assert.equal("pong still there?", peer.describe(p:read_frame()))
        p:send(frame { opcode = 0, payload = bad, fin = false })
        outcome.check_failed(s:outcome(p), 1007, "UTF-8")
      end)
    end)

    it(name .. ", in two fragments, cut anywhere", function()
      scene.play({ handler = echo }, function(s)
        local reach = math.min(4, #text - 1)
        for cut = math.max(1, at - reach), math.min(#text - 1, at + reach) do
          check_alone(s, frame { payload = text:sub(1, cut), fin = false }
            .. frame { opcode = 0, payload = text:sub(cut + 1) }, 1007, "UTF-8")
        end
      end)
    end)

    it(name .. ", but not a binary one", function()
      scene.play({ handler = echo }, function(s)
        local p = s:open()
        p:send(peer.binary(text) .. frame { opcode = 2, payload = before, fin = false }
          .. frame { opcode = 0, payload = text:sub(at) } .. peer.close(1000))
        assert.same(outcome.answered(1000, "", { "binary " .. text, "binary " .. text }), s:outcome(p))
      end)
    end)
  end

  local long = ("é"):rep(500)
  for _, cut in ipairs { "\xc3", "\xe2", "\xe2\x82", "\xf0", "\xf0\x9d", "\xf0\x9d\x84", long .. "\xf0\x9d" } do
    it(("its last character cut off after %d bytes of text"):format(#cut), function()
      scene.play({ handler = echo }, function(s)
        check_amid_messages(s, peer.text(cut), 1007, "UTF-8")
        check_amid_messages(s, frame { payload = cut, fin = false } .. frame { opcode = 0 }, 1007, "UTF-8")
        check_amid_messages(s, frame { payload = cut:sub(1, -2), fin = false }
          .. frame { opcode = 0, payload = cut:sub(-1) }, 1007, "UTF-8")
      end)
    end)
  end
end)

describe("text", function()
  it("comes through, whatever the characters and wherever it is cut", function()
    local text = "a\0\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}"
    scene.play({ handler = echo }, function(s)
      local p = s:open()
      p:drip(peer.text(text))
      assert.equal("text " .. text, peer.describe(p:read_frame()))
      for cut = 0, #text do
        p:send(frame { payload = text:sub(1, cut), fin = false } .. peer.ping() ..
          frame { opcode = 0, payload = text:sub(cut + 1) })
        assert.same({ "pong", "text " .. text }, { peer.describe(p:read_frame()), peer.describe(p:read_frame()) })
      end
      p:send(peer.close(1000))
      assert.same(outcome.answered(1000), s:outcome(p))
    end)
  end)
end)

describe("a failed connection", function()
  local wrong = { [1002] = frame { rsv = 4, payload = "wrong" }, [1007] = peer.text("\xff") }
  local words = { [1002] = "reserved", [1007] = "UTF-8" }

  for code, bytes in pairs(wrong) do
    it(("with %d is told to a loop of messages, which ends"):format(code), function()
      scene.play({ handler = handlers.echo_loop }, function(s) check_amid_messages(s, bytes, code, words[code]) end)
    end)

    it(("with %d waits for an answer that is on its way"):format(code), function()
      local function slow(ws, _, record)
        record.got = {}
        ws:on_message(function(message)
          record.got[#record.got + 1] = message
          moonsocket.sleep(0.005)
          ws:send(message)
        end)
      end
      scene.play({ handler = slow }, function(s) check_amid_messages(s, bytes, code, words[code]) end)
    end)

    serving(("with %d checks what nobody wants, too"):format(code), function()
      local told
      scene.play({ table = { close = function(_, ...) told = { ... } end } }, function(s)
        local p = s:open()
        p:send(peer.text("fine") .. bytes)
        local frames, how = p:read_all()
        p:drop()
        s.await("on_close", function() return told end)
        assert.same({ "fin", 1, code }, { how, #frames, frames[1].code })
        assert.same({ code, frames[1].reason, { clean = false, by = "local", sent = code } }, told)
      end)
    end)

    it(("with %d reads and drops what still comes, so that its Close frame arrives"):format(code), function()
      scene.play({ handler = echo }, function(s)
        local p, piece = s:open(), ("\0"):rep(1 << 18)
        p:send(bytes .. piece)
        local before = raw.resident()
        for _ = 1, 120 do p:send(piece) end
        collectgarbage()
        local grown = raw.resident() - before
        assert(tls or grown < 16 << 20, "what nobody looks at is kept") -- over TLS the peer's memory counts, too
        outcome.check_failed(s:outcome(p), code, words[code])
        assert.same({}, s.last.got)
      end)
    end)

    it(("with %d accepts no Close frame any more"):format(code), function()
      scene.play({ handler = echo }, function(s)
        local p = s:open()
        p:send(bytes)
        local close = p:read_frame()
        assert.equal(code, close.code)
        p:send(peer.close(code, "sorry"))
        local actual = s:outcome(p)
        actual.wire[1] = peer.describe(close)
        outcome.check_failed(actual, code, words[code])
      end)
    end)

    it(("with %d ends with a peer that sends FIN at once"):format(code), function()
      scene.play({ handler = echo }, function(s)
        local p = s:open()
        p:send(peer.text("before") .. bytes)
        p:fin()
        outcome.check_failed(s:outcome(p), code, words[code], { "text before" })
      end)
    end)

    it(("with %d ends with a peer that sends RST at once"):format(code), function()
      scene.play({ handler = echo }, function(s)
        local p = s:open()
        p:send(bytes)
        p:reset()
        local ending = s:ending()
        ending.info.error = nil -- whether the RST was noticed before the end is a matter of luck
        assert.equal(code, ending.code)
        assert.same({ clean = false, by = "local", sent = code }, ending.info)
      end)
    end)

    it(("with %d ends with a peer that never closes its side of TCP"):format(code), function()
      scene.play({ handler = echo, close_timeout = 0.05 }, function(s)
        local p = s:open()
        p:send(bytes)
        local frames, how = p:read_all()
        assert.same({ 1, code, "fin" }, { #frames, frames[1].code, how })
        local ending = s:ending() -- p is still there
        assert.same({ code, frames[1].reason }, { ending.code, ending.reason })
        assert.same({ clean = false, by = "local", sent = code }, ending.info)
      end)
    end)
  end
end)
