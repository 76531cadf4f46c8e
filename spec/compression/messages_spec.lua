-- Compressed messages on the wire, as a server and as a client send and take them (RFC 7692 sections 6 and 7.2).
local client_scene = require "spec.support.client_scene"
local deflate = require "deflate"
local handlers = require "spec.support.handlers"
local peer = require "spec.support.peer"
local raw_server = require "spec.support.raw_server"
local scene = require "spec.support.scene"

local RSV1 = 4
local LONG = ("The same words come again and again. "):rep(100)

-- Words, each of which comes but once.
local function words_of(seed)
  local words = {}
  for n = 1, 200 do words[n] = ("%x"):format(n * seed * 7919 % 65537) end
  return table.concat(words, " ")
end

local function extensions(header) return header and ("Sec-WebSocket-Extensions: %s\r\n"):format(header) or "" end

-- A role: play(option, header, act(ws, p, side, record)): ws is ours, p the raw peer, side what it makes frames with.
-- header: the peer's extensions, or nil.
local function as_server(compression, header, act)
  local function handler(ws, _, record)
    record.ws = ws
    handlers.echo(ws, nil, record)
  end
  scene.play({ compression = compression, handler = handler }, function(s)
    local p = s:open(extensions(header))
    s.await("the handler", function() return s.last and s.last.ws end)
    act(s.last.ws, p, peer, s.last)
    s.last.ws = nil
  end)
end

local function as_client(compression, header, act)
  client_scene.play(function(s)
    local job = s:answer(function(connection) connection:upgrade(extensions(header)) end)
    local ws, record = s:connect { compression = compression }
    s:join(job)
    assert(ws, record)
    handlers.echo(ws, nil, record)
    act(ws, job.connection, raw_server, record)
    ws:terminate()
  end)
end

local TAKEOVER = { server_no_context_takeover = false, client_no_context_takeover = false }
local NO_TAKEOVER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

-- One echo: sends what was compressed, reads what came back; returns the frame.
local function exchange(p, side, payload, opcode)
  p:send(side.frame { opcode = opcode or 1, rsv = RSV1, payload = payload })
  return (assert(p:read_frame()))
end

for name, role in pairs { server = as_server, client = as_client } do
  describe("a " .. name, function()
    it("takes a compressed message and compresses the answer", function()
      role(true, NO_TAKEOVER, function(_, p, side, record)
        local compress, inflate = deflate.compressor(), deflate.inflater()
        local frame = exchange(p, side, compress(LONG), 2)
        assert.same({ "binary", RSV1, true }, { frame.name, frame.rsv, frame.fin })
        assert.is_true(#frame.payload < 100)
        assert.equal(LONG, inflate(frame.payload))
        assert.same({ LONG }, record.got)
      end)
    end)

    it("sends what is short as it is", function()
      role({ threshold = 10 }, NO_TAKEOVER, function(ws, p)
        for _, message in ipairs { "", "a", ("a"):rep(9) } do
          ws:send(message)
          local frame = p:read_frame()
          assert.same({ message, 0 }, { frame.payload, frame.rsv })
        end
        ws:send(("a"):rep(10))
        assert.equal(RSV1, p:read_frame().rsv)
      end)
    end)

    it("compresses by itself only from 1 KiB on", function()
      role(true, NO_TAKEOVER, function(ws, p)
        ws:send(("a"):rep(1023))
        assert.equal(0, p:read_frame().rsv)
        ws:send(("a"):rep(1024))
        assert.equal(RSV1, p:read_frame().rsv)
      end)
    end)

    it("takes no context over if that was agreed on", function()
      role({ threshold = 1 }, NO_TAKEOVER, function(_, p, side, record)
        local first
        for _ = 1, 3 do
          local frame = exchange(p, side, deflate.compressor()(LONG))
          assert.equal(LONG, deflate.inflater()(frame.payload))
          first = first or frame.payload
          assert.equal(first, frame.payload)
        end
        assert.same({ LONG, LONG, LONG }, record.got)
      end)
    end)

    it("takes the context over if that was agreed on", function()
      role({ threshold = 1, server_no_context_takeover = false, client_no_context_takeover = false },
        "permessage-deflate", function(_, p, side, record)
          local compress, inflate, sizes = deflate.compressor(), deflate.inflater(), {}
          for i = 1, 3 do
            local frame = exchange(p, side, compress(words_of(1)))
            assert.equal(words_of(1), inflate(frame.payload))
            sizes[i] = #frame.payload
            p:send(side.text "plain, which changes no context")
            assert.equal("plain, which changes no context", inflate(p:read_frame().payload))
          end
          assert.is_true(sizes[2] < sizes[1] / 5 and sizes[3] < sizes[1] / 5)
          assert.equal(6, #record.got)
        end)
    end)

    it("takes fragments, with control frames among them, empty ones and an empty message", function()
      role(TAKEOVER, "permessage-deflate", function(_, p, side, record)
        local compress = deflate.compressor()
        local payload = compress(LONG)
        for i = 1, #payload do
          p:send(side.frame { opcode = i == 1 and 1 or 0, rsv = i == 1 and RSV1 or 0, fin = false,
            payload = payload:sub(i, i) } .. side.frame { opcode = 0, fin = false } .. side.ping(tostring(i)))
          assert.equal("pong " .. i, peer.describe(p:read_frame()))
        end
        p:send(side.frame { opcode = 0 } .. side.frame { rsv = RSV1, payload = "\0" } .. side.frame { rsv = RSV1 })
        assert.equal(LONG, deflate.inflater()(p:read_frame().payload))
        assert.same({ "text", "text" }, { peer.describe(p:read_frame()), peer.describe(p:read_frame()) })
        assert.same({ LONG, "", "" }, record.got)
      end)
    end)

    it("takes stored blocks, and final ones, behind which the context lives on", function()
      role(TAKEOVER, "permessage-deflate", function(_, p, side, record)
        local stored = deflate.compressor(15, 0)
        exchange(p, side, stored(LONG))
        exchange(p, side, deflate.compressor()("final", 1, true) .. "\0")
        exchange(p, side, deflate.compressor()("twice ", 1, true) .. deflate.compressor()("final", 1, true))
        exchange(p, side, "\xf2\x48\xcd\xc9\xc9\x07\x00")
        exchange(p, side, "\xf3\x00\x11\x00\x00") -- refers to the message before
        exchange(p, side, "\xf2\x00\x11\x00\x00") -- and to the one before the final block
        assert.same({ LONG, "final", "twice final", "Hello", "Hello", "Hello" }, record.got)
      end)
    end)

    it("takes text whose characters are cut by fragments, and fails for what is no UTF-8", function()
      role(true, NO_TAKEOVER, function(_, p, side, record)
        local payload = deflate.compressor()(("日本"):rep(20))
        for i = 1, #payload - 1 do
          p:send(side.frame { rsv = RSV1, payload = payload:sub(1, i), fin = false }
            .. side.frame { opcode = 0, payload = payload:sub(i + 1) })
          assert.equal(("日本"):rep(20), p:read_frame().payload)
        end
        assert.equal(#payload - 1, #record.got)
        p:send(side.frame { rsv = RSV1, payload = deflate.compressor()(("x"):rep(5000) .. "\xff") })
        assert.equal("close 1007 a text message is not valid UTF-8", peer.describe(p:read_frame()))
      end)
    end)

    for bits = 8, 15 do
      it(("keeps to a window of %d bits, its own and the peer's"):format(bits), function()
        local agreed = ("permessage-deflate; server_max_window_bits=%d; client_max_window_bits=%d"):format(bits, bits)
        role({ threshold = 1, server_no_context_takeover = false, client_no_context_takeover = false }, agreed,
          function(ws, p, side)
            local compress, inflate = deflate.compressor(math.max(bits, 9)), deflate.inflater(bits)
            assert.truthy(ws.extensions:find("server_max_window_bits=" .. bits, 1, true))
            for i = 1, 20 do
              local frame = exchange(p, side, compress(words_of(i)))
              assert.equal(RSV1, frame.rsv)
              assert.equal(words_of(i), inflate(frame.payload))
            end
          end)
      end)
    end

    it("neither sends nor takes anything compressed where nothing was agreed on", function()
      role(true, nil, function(ws, p, side)
        assert.equal("", ws.extensions)
        ws:send(LONG)
        local frame = p:read_frame()
        assert.same({ 0, LONG }, { frame.rsv, frame.payload })
        p:send(side.frame { rsv = RSV1, payload = deflate.compressor()(LONG) })
        assert.equal("close 1002 a reserved bit is set, but no extension was agreed on", peer.describe(p:read_frame()))
      end)
    end)
  end)
end
