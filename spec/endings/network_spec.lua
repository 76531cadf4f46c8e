-- FIN and RST at every position of a connection (RFC 6455 section 7.1.5: without a Close frame the code is 1006).
local moonsocket = require "moonsocket"
local subject = require "spec.support.subject"

local scene, peer, serving = subject.scene, subject.peer, subject.serving(it)

local function fin_outcome(wire)
  return {
    code = 1006, reason = "connection closed by the peer without a Close frame",
    clean = false, by = "network", wire = wire or {}, tcp = "fin",
  }
end

local RESET = {
  code = 1006, reason = "connection reset by peer", error = "Connection reset by peer",
  clean = false, by = "network",
}

-- ---- positions: name -> the bytes sent before the end, and what the server answers to them

local positions = {}

local function position(name, bytes, wire)
  positions[#positions + 1] = { name = name, bytes = bytes, wire = wire }
end

-- After each of the bytes from first to last.
local function inside(name, bytes, first, last)
  for i = first, last do position(("%s, after byte %d"):format(name, i), bytes:sub(1, i)) end
end

local FRAGMENT = peer.frame { fin = false, payload = "half a mess" }
local LARGE = peer.frame { opcode = 2, payload = ("x"):rep(65536) }
local CLOSE = peer.close(1000, "bye")
local MASK = peer.masks and 4 or 0

position("before the first frame", "")
position("after an answered message", peer.text "hi", { "text hi" })
inside("in the shortest header", peer.text "hello", 1, 2 + MASK)
inside("in a payload", peer.text "hello", 3 + MASK, 6 + MASK)
inside("in a longer header", peer.text(("x"):rep(200)), 1, 4 + MASK)
inside("in the longest header", LARGE, 1, 10 + MASK)
position("in the middle of a large payload", LARGE:sub(1, 40000))
position("before the last byte of a large payload", LARGE:sub(1, -2))
position("between fragments", FRAGMENT)
position("in the header of the last fragment", FRAGMENT .. peer.frame { opcode = 0, payload = "age" }:sub(1, 1))
position("in the payload of the last fragment", FRAGMENT .. peer.frame { opcode = 0, payload = "age" }:sub(1, -2))
position("behind a ping between fragments", FRAGMENT .. peer.ping "here?", { "pong here?" })
inside("in a ping", peer.ping "here?", 1, 6 + MASK)
inside("in a Close frame", CLOSE, 1, #CLOSE - 1)

describe("a FIN without a Close frame", function()
  for _, at in ipairs(positions) do
    it(at.name, function()
      scene.play({}, function(s)
        local p = s:open()
        p:send(at.bytes)
        p:fin()
        assert.same(fin_outcome(at.wire), s:outcome(p))
      end)
    end)
  end

  serving("from a peer that closes its whole socket, over a Unix socket too", function()
    local path = os.tmpname()
    os.remove(path)
    for _, address in ipairs { "127.0.0.1:0", "unix:" .. path } do
      scene.play({ address = address }, function(s)
        local p = s:open()
        p:drop()
        local expected = fin_outcome()
        expected.wire, expected.tcp = nil, nil
        assert.same(expected, s:told())
      end)
    end
  end)
end)

describe("a RST", function()
  for _, at in ipairs(positions) do
    it(at.name, function()
      scene.play({}, function(s)
        local p = s:open()
        p:send(at.bytes)
        for _, expected in ipairs(at.wire or {}) do assert.equal(expected, peer.describe(p:read_frame())) end
        p:reset()
        assert.same(RESET, s:told())
      end)
    end)
  end

  it("with our answers on their way", function()
    scene.play({}, function(s)
      local p = s:open()
      for _ = 1, 50 do p:send(peer.text(("x"):rep(2000))) end
      p:read_frame()
      p:reset()
      assert.same(RESET, s:told())
    end)
  end)
end)

describe("a peer that has closed its half only", function()
  local MESSAGES = peer.text "one" .. peer.ping "p" .. peer.binary "two" .. peer.text "three"
  local ANSWERS = { "text one", "pong p", "binary two", "text three" }

  it("still gets every answer", function()
    scene.play({}, function(s)
      local p = s:open()
      p:send(MESSAGES)
      p:fin()
      assert.same(fin_outcome(ANSWERS), s:outcome(p))
    end)
  end)

  it("still gets them when all came in one piece with the handshake", function()
    scene.play({}, function(s)
      local p = s:open(nil, MESSAGES)
      p:fin()
      assert.same(fin_outcome(ANSWERS), s:outcome(p))
    end)
  end)

  serving("still gets them over a Unix socket", function()
    local path = os.tmpname()
    os.remove(path)
    scene.play({ address = "unix:" .. path }, function(s)
      local p = s:open()
      p:send(MESSAGES)
      p:fin()
      assert.same(fin_outcome(ANSWERS), s:outcome(p))
    end)
  end)

  it("still gets those to whole messages when it left inside another", function()
    scene.play({}, function(s)
      local p = s:open()
      p:send(MESSAGES .. peer.text "cut off":sub(1, -2))
      p:fin()
      assert.same(fin_outcome(ANSWERS), s:outcome(p))
    end)
  end)

  it("still gets an answer that is larger than the kernel's buffers", function()
    local answer = ("0123456789abcdef"):rep(512 * 1024)
    local function handler(ws)
      ws:on_message(function() ws:send(answer) end)
    end
    scene.play({ handler = handler }, function(s)
      local p = s:open()
      p:send(peer.text "all of it")
      p:fin()
      assert.same(fin_outcome { "text " .. answer }, s:outcome(p))
    end)
  end)

  -- What the handlers below wait for: that the peer's FIN has come, and something on another connection since.
  local function slow_styles(released)
    return {
      ["an on_message"] = function(ws)
        ws:on_message(function(message, kind)
          scene.await("the release", released)
          ws:send(message, kind)
        end)
      end,
      ["a plain loop"] = function(ws)
        for message, kind in ws:messages() do
          scene.await("the release", released)
          ws:send(message, kind)
        end
      end,
    }
  end
  for name in pairs(slow_styles()) do
    it("still gets the answers of " .. name .. " that waits first", function()
      local released = false
      local handler = slow_styles(function() return released end)[name]
      scene.play({ handler = handler, close_timeout = 0.05 }, function(s)
        local p = s:open()
        p:send(peer.text "one" .. peer.binary "two" .. peer.text "three")
        p:fin()
        moonsocket.sleep(0.1) -- longer than close_timeout: nothing may be cut short by it
        assert.is_nil(s.records[1].code)
        released = true
        assert.same(fin_outcome { "text one", "binary two", "text three" }, s:outcome(p))
      end)
    end)
  end

  it("ends the plain loop after its last message", function()
    local seen = {}
    local function handler(ws)
      for message in ws:messages() do seen[#seen + 1] = message end
      seen[#seen + 1] = ws.close_code
    end
    scene.play({ handler = handler }, function(s)
      local p = s:open()
      p:send(peer.text "one" .. peer.text "two")
      p:fin()
      assert.same(fin_outcome(), s:outcome(p))
      assert.same({ "one", "two", 1006 }, seen)
    end)
  end)
end)
