-- What a peer can do wrong, or wickedly, with compression: RSV1 where it may not be, data that is none, bombs, windows
-- that were not agreed on; connections that end in the middle; and pressure.
local deflate = require "deflate"
local handlers = require "spec.support.handlers"
local outcome = require "spec.support.outcome"
local peer = require "spec.support.peer"
local program = require "spec.support.program"
local raw = require "raw"
local scene = require "spec.support.scene"

local RSV1, KiB, MiB = 4, 1 << 10, 1 << 20
local OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
local TAKEOVER = { server_no_context_takeover = false, client_no_context_takeover = false }
local HELLO = "\xf2\x48\xcd\xc9\xc9\x07\x00"
local UNMASKED = "\0\0\0\0" -- a key that costs nothing

local function compressed(payload) return peer.frame { rsv = RSV1, payload = payload, key = UNMASKED } end

-- The bytes come in a compressed connection, behind a message that is answered: it fails with the code and the words.
local function check(compression, bytes, code, words, options)
  local settings = { compression = compression, handler = handlers.echo }
  for name, value in pairs(options or {}) do settings[name] = value end
  for _, dripped in ipairs { false, true } do
    scene.play(settings, function(s)
      local p = s:open(OFFER)
      local send = dripped and #bytes < 500 and p.drip or p.send
      send(p, compressed(HELLO) .. bytes)
      outcome.check_failed(s:outcome(p), code, words, { "text Hello" })
    end)
  end
end

describe("a reserved bit", function()
  local WHERE = "a reserved bit is set that is not compression's, or not on a message's first frame"
  local BEGUN = peer.frame { rsv = RSV1, payload = HELLO:sub(1, 2), fin = false }
  local wrong = {
    ["RSV1 on a continuation"] = BEGUN .. peer.frame { opcode = 0, rsv = RSV1, payload = HELLO:sub(3) },
    ["RSV1 on a continuation of a plain message"] =
      peer.frame { payload = "a", fin = false } .. peer.frame { opcode = 0, rsv = RSV1, payload = "b" },
    ["RSV1 on a Ping"] = peer.frame { opcode = 9, rsv = RSV1, payload = "p" },
    ["RSV1 on a Pong within a message"] = BEGUN .. peer.frame { opcode = 10, rsv = RSV1 },
    ["RSV1 on a Close"] = peer.frame { opcode = 8, rsv = RSV1, payload = "\x03\xe8" },
    ["RSV2"] = peer.frame { rsv = 2, payload = "a" },
    ["RSV3 beside RSV1"] = peer.frame { rsv = RSV1 | 1, payload = HELLO },
    ["RSV1 on a reserved opcode"] = peer.frame { opcode = 3, rsv = RSV1 },
  }
  for what, bytes in pairs(wrong) do
    it(what .. " fails a compressed connection", function() check(true, bytes, 1002, WHERE) end)
  end

  it("RSV1 where compression is off, or was not agreed on, fails it", function()
    for _, compression in ipairs { false, true } do
      scene.play({ compression = compression }, function(s)
        local p = s:open(compression and "" or OFFER)
        p:send(compressed(HELLO))
        outcome.check_failed(s:outcome(p), 1002, "a reserved bit is set, but no extension was agreed on")
      end)
    end
  end)
end)

describe("what cannot be inflated", function()
  local WORDS = "a compressed message cannot be inflated"
  local broken = {
    ["no block"] = "\x06", ["garbage"] = ("\xff"):rep(20), ["half a block"] = HELLO:sub(1, 4),
    ["a stored block that is cut"] = "\x00\x05\x00\xfa\xffHel",
    ["nothing that it could refer to"] = "\xf2\x00\x11\x00\x00",
    ["a message with the flush's bytes"] = HELLO .. "\0\0\xff\xff", ["zlib's head"] = "\x78\x9c" .. HELLO,
  }
  for what, payload in pairs(broken) do
    it(("fails the connection with 1007: %s"):format(what), function()
      check(true, compressed(payload), 1007, WORDS)
      check(true, peer.frame { rsv = RSV1, payload = payload, fin = false } .. peer.frame { opcode = 0 }, 1007, WORDS)
    end)
  end

  it("fails it though nobody wants the message", function()
    scene.play({ compression = true, table = { close = function() end } }, function(s)
      local p = s:open(OFFER)
      p:send(compressed(HELLO) .. compressed "\x06")
      local frames, tcp = p:read_all()
      assert.same({ "close 1007 " .. WORDS, "fin" }, { peer.describe(frames[1]), tcp })
    end)
  end)

  it("does not harm the messages of others", function()
    scene.play({ compression = true }, function(s)
      local good, bad = s:open(OFFER), s:open(OFFER)
      for _ = 1, 3 do
        good:send(peer.frame { rsv = RSV1, payload = HELLO:sub(1, 3), fin = false })
        bad:send(compressed "\xf2\x48\x06")
        bad:read_all()
        good:send(peer.frame { opcode = 0, payload = HELLO:sub(4) })
        assert.equal("Hello", good:read_frame().payload)
        bad = s:open(OFFER)
      end
    end)
  end)
end)

describe("a peer that refers further back than the agreed window", function()
  for _, takeover in ipairs { true, false } do
    it(("fails with 1007 (takeover: %s)"):format(takeover), function()
      local compression = { client_max_window_bits = 9, client_no_context_takeover = not takeover }
      local noise, parts = 1, {}
      for i = 1, 3000 do
        noise = (noise * 1103515245 + 12345) % 2147483648
        parts[i] = string.char(noise >> 16 & 63)
      end
      local text = table.concat(parts)
      check(compression, compressed(deflate.compressor(15, 9)(text .. text)), 1007, "cannot be inflated")
      if takeover then
        local compress = deflate.compressor(15, 9)
        compress "Hello"
        check(compression, compressed(compress(text)) .. compressed(compress(text)), 1007, "cannot be inflated",
          { handler = function(ws, _, record)
            record.got = {}
            ws:on_message(function(message) if message == "Hello" then ws:send(message) end end)
          end })
      end
    end)
  end
end)

describe("the limit of a message", function()
  it("counts what is inflated, to the byte", function()
    for _, size in ipairs { 1, 4095, 4096, 4097, 100000 } do
      local compress = deflate.compressor
      scene.play({ compression = true, max_message = size, handler = handlers.echo }, function(s)
        local p = s:open(OFFER)
        p:send(compressed(compress()("\0", size)))
        p:read_frame()
        assert.equal(size, #s.last.got[1])
        p:send(peer.frame { opcode = 2, rsv = RSV1, payload = compress()("\0", size + 1), key = UNMASKED })
        local words = ("message of at least %d bytes is over the limit of %d"):format(size + 1, size)
        outcome.check_failed(s:outcome(p), 1009, words)
      end)
    end
  end)

  it("does not count the bytes on the wire: what does not get smaller may be longer there", function()
    scene.play({ compression = true, max_message = 1000, handler = handlers.echo }, function(s)
      local p = s:open(OFFER)
      local payload = deflate.compressor(15, 0)(("\xc3\xa4"):rep(500))
      assert.is_true(#payload > 1000)
      p:send(compressed(payload))
      p:read_frame()
      assert.same({ ("\xc3\xa4"):rep(500) }, s.last.got)
    end)
  end)

  -- The server is a process of its own, so that its memory is its own.
  it("cuts a bomb of 1 GiB while it unfolds: 1009, and less than 4 MiB more memory", function()
    local compress, flush = deflate.compressor(15, 9), "\0\0\xff\xff"
    local first, each = compress(("\0"):rep(MiB)), compress(("\0"):rep(MiB)) -- the third would be the same again
    local bomb = first .. (flush .. each):rep(KiB - 1)
    assert.is_true(#bomb < 1.1 * MiB)
    local server = [[
      local moonsocket = require "moonsocket"
      local server = assert(moonsocket.serve("127.0.0.1:0", { message = function(ws, message) ws:send(message) end,
        close = function(_, code, reason) print("closed", code, reason) end }, { compression = true }))
      print("port", server.port)
      moonsocket.run()
    ]]
    program.run(function(run)
      local port = tonumber((run:await "^port\t(%d+)"))
      local function throw(payload)
        local p = peer.open({ port = port }, OFFER)
        p:send(peer.frame { opcode = 2, rsv = RSV1, payload = payload, key = UNMASKED })
        local frame = p:read_frame()
        p:drop()
        return frame
      end
      assert.equal(100 * KiB, #deflate.inflater()(throw(deflate.compressor()("\0", 100 * KiB)).payload))
      run:await "^closed"
      local before = raw.resident(run.pid)
      for _ = 1, 3 do
        assert.equal("close 1009 message of at least 1048577 bytes is over the limit of 1048576",
          peer.describe(throw(bomb)))
        assert.equal("1009", (run:await "^closed\t(%d+)"))
      end
      local grown = raw.resident(run.pid) - before
      -- memcheck and the sanitizers, which are preloaded, keep books of all memory, and keep what was freed
      assert.is_true(grown < 4 * MiB or os.getenv "LD_PRELOAD" ~= nil, ("%d bytes more"):format(grown))
      run:stop()
    end, "-e", server)
  end)
end)

describe("a compressed connection that ends in the middle of a message", function()
  local function leave(p, code)
    p:send(peer.close(code))
    p:read_all()
    p:drop()
  end
  local ends = {
    ["by FIN"] = function(_, p) p:fin() end,
    ["by RST"] = function(_, p) p:reset() end,
    ["by our close"] = function(ws, p)
      ws:close(4000)
      leave(p, 4000)
    end,
    ["by our terminate"] = function(ws) ws:terminate() end,
    ["by a Close among the fragments"] = function(_, p) leave(p, 1000) end,
  }
  for how, finish in pairs(ends) do
    for _, compression in ipairs { true, TAKEOVER } do
      it(("%s leaves nothing behind (takeover: %s)"):format(how, compression ~= true), function()
        scene.play({ compression = compression, handler = function(ws, _, record)
          record.ws = ws
          handlers.echo(ws, nil, record)
        end }, function(s)
          local p = s:open(OFFER)
          p:send(compressed(HELLO) .. peer.frame { rsv = RSV1, payload = HELLO:sub(1, 4), fin = false })
          assert.equal("Hello", p:read_frame().payload)
          finish(s.last.ws, p)
          assert.same({ "Hello" }, s.last.got)
          s.last.ws = nil
          s:ending()
          -- what it held serves the next
          local q = s:open(OFFER)
          q:send(compressed(HELLO))
          assert.equal("Hello", q:read_frame().payload)
        end)
      end)
    end
  end
end)

describe("a Lua state that is closed in the middle of compressed messages", function()
  for _, takeover in ipairs { true, false } do
    it(("leaves nothing behind (takeover: %s)"):format(takeover), function()
      local script = ([[
        local moonsocket = require "moonsocket"
        local peer = require "spec.support.peer"
        local compression = { server_no_context_takeover = %s, client_no_context_takeover = %s, threshold = 1 }
        local server = assert(moonsocket.serve("127.0.0.1:0", {
          message = function(ws, message) ws:send(message) end,
          close = function(_, code, reason) print("ended", code, reason) end,
        }, { compression = compression }))
        local ws = assert(moonsocket.connect("ws://127.0.0.1:" .. server.port, { compression = compression }))
        ws:send "from our own client"
        print(ws:receive())
        p = peer.open(server, %q)
        p:send(peer.frame { rsv = 4, payload = "\xf2\x48\xcd\xc9\xc9\x07\x00" }
          .. peer.frame { rsv = 4, payload = "\xf2\x48\xcd", fin = false } .. peer.ping "there?")
        print(p:read_frame().rsv, p:read_frame().payload)
      ]]):format(not takeover, not takeover, OFFER)
      program.run(function(run)
        run:await "^from our own client\ttext$"
        run:await "^4\tthere%?$"
        for _ = 1, 2 do run:await "^ended\t1006\tthe Lua state was closed$" end
        assert.equal(0, run:finish())
      end, "-e", script)
    end)
  end
end)

describe("a message that is dropped under pressure", function()
  it("is missing whole: those behind it can be inflated", function()
    local LARGE = 64 * KiB
    local function noisy(seed)
      local parts = {}
      for i = 1, LARGE / 8 do
        seed = (seed * 1103515245 + 12345) % 2147483648
        parts[i] = ("%08x"):format(seed)
      end
      return table.concat(parts)
    end
    local compression = { server_no_context_takeover = false }
    scene.play({ compression = compression, on_overflow = "drop", max_buffered = LARGE, receive_buffer = 4 * KiB,
      handler = function(ws)
        local sent = {}
        ws:on_message(function(message)
          if message == "how many?" then return ws:send(table.concat(sent, " ")) end
          for i = 1, 400 do
            if ws:send(noisy(i)) then sent[#sent + 1] = i end
          end
        end)
      end }, function(s)
      local p = s:open(OFFER)
      p:send(peer.text "go")
      local inflate, got = deflate.inflater(), {}
      p:send(peer.text "how many?")
      while true do
        local frame = assert(p:read_frame())
        local message = frame.rsv == RSV1 and inflate(frame.payload) or frame.payload
        if #message ~= LARGE then
          local expected = {}
          for n in message:gmatch "%d+" do expected[#expected + 1] = tonumber(n) end
          assert.is_true(#expected > 0 and #expected < 400)
          assert.equal(#expected, #got)
          for i, n in ipairs(expected) do assert.is_true(noisy(n) == got[i]) end
          break
        end
        got[#got + 1] = message
      end
    end)
  end)
end)
