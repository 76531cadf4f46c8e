-- testing.peer: what it sends is on the wire as it was told, what comes is what it returns, and nothing blocks.
local kit = require "spec.support.kit"
local moonsocket = require "moonsocket"
local program = require "spec.support.program"
local raw_server = require "spec.support.raw_server"
local testing = require "moonsocket.testing"

local MASK = "\0\0\0\0"

-- The bytes that a call puts on the wire.
local function sent_by(call)
  local bytes
  kit.against_raw(function(peer, connection)
    call(peer)
    peer:fin()
    bytes = connection:read_rest()
  end)
  return bytes
end

describe("a peer sends", function()
  local cases = {
    { "a text", function(p) return p:send_text "hello" end, "\x81\x85" .. MASK .. "hello" },
    { "text that is none", function(p) return p:send_text "\xff" end, "\x81\x81" .. MASK .. "\xff" },
    { "an empty frame", function(p) return p:send_frame {} end, "\x81\x80" .. MASK },
    { "an opcode by its name", function(p) return p:send_frame { opcode = "pong" } end, "\x8a\x80" .. MASK },
    { "an opcode by its number", function(p) return p:send_frame { opcode = 11 } end, "\x8b\x80" .. MASK },
    { "a fragment", function(p) return p:send_frame { fin = false, payload = "a" } end, "\x01\x81" .. MASK .. "a" },
    { "reserved bits", function(p) return p:send_frame { rsv = 5 } end, "\xd1\x80" .. MASK },
    { "a frame without a mask", function(p) return p:send_frame { masked = false, payload = "a" } end, "\x81\x01a" },
    { "a length of 16 bits", function(p) return p:send_frame { payload = ("x"):rep(126) } end,
      "\x81\xfe\0\x7e" .. MASK .. ("x"):rep(126) },
    { "a length of 64 bits", function(p) return p:send_frame { payload = ("x"):rep(65536) } end,
      "\x81\xff\0\0\0\0\0\1\0\0" .. MASK .. ("x"):rep(65536) },
    { "less than it announces", function(p) return p:send_frame { announced_length = 1000, payload = "a" } end,
      "\x81\xfe\x03\xe8" .. MASK .. "a" },
    { "more than it announces", function(p) return p:send_frame { announced_length = 0, payload = "a" } end,
      "\x81\x80" .. MASK .. "a" },
    { "the largest length", function(p) return p:send_frame { announced_length = math.maxinteger } end,
      "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff" .. MASK },
    { "bytes as they are", function(p) return p:send_raw "\0\1\2" end, "\0\1\2" },
    { "no bytes", function(p) return p:send_raw "" end, "" },
    { "an empty Close frame", function(p) return p:close() end, "\x88\x80" .. MASK },
    { "a Close frame with a code", function(p) return p:close(1000) end, "\x88\x82" .. MASK .. "\x03\xe8" },
    { "a Close frame with a code that may not be sent", function(p) return p:close(1006, "\xff") end,
      "\x88\x83" .. MASK .. "\x03\xee\xff" },
  }
  for _, case in ipairs(cases) do
    local name, call, bytes = table.unpack(case)
    it(name, function()
      local result
      assert.equal(bytes, sent_by(function(peer) result = call(peer) end))
      assert.is_true(result)
    end)
  end

  it("everything, however long the server takes", function()
    local much = ("0123456789abcdef"):rep(1 << 19)
    assert.is_true(much == sent_by(function(peer) peer:send_raw(much) end))
  end)
end)

describe("a peer receives", function()
  it("frames as they are", function()
    kit.against_raw(function(peer, connection)
      connection:send "\x01\x02he\x80\x03llo\x89\x00\xf3\x01x\x82\x84\1\2\3\4abcd\x88\x05\x0f\xa0bye\x88\x00"
      local got = {}
      for i = 1, 7 do
        got[i] = peer:receive_frame()
        assert.equal(got[i].opcode == 3 and 7 or 0, got[i].rsv)
      end
      local names, payloads = {}, {}
      for i, frame in ipairs(got) do names[i], payloads[i] = frame.name or frame.opcode, frame.payload end
      assert.same({ "text", "continuation", "ping", 3, "binary", "close", "close" }, names)
      assert.same({ "he", "llo", "", "x", "abcd", "\x0f\xa0bye", "" }, payloads)
      assert.same({ false, true }, { got[1].fin, got[2].fin })
      assert.same({ false, true }, { got[1].masked, got[5].masked })
      assert.same({ 4000, "bye" }, { got[6].code, got[6].reason })
      assert.same({}, { got[7].code, got[7].reason })
    end)
  end)

  it("frames that come byte by byte, of every length", function()
    kit.against_raw(function(peer, connection)
      for _, length in ipairs { 0, 1, 125, 126, 1000 } do
        local payload = ("x"):rep(length)
        moonsocket.go(function() connection:drip(connection.binary(payload)) end)
        assert.equal(payload, peer:receive_frame().payload)
      end
      local large = ("x"):rep(70000)
      connection:send(connection.binary(large))
      assert.is_true(large == peer:receive_frame().payload)
    end)
  end)

  it("messages, and answers pings and the Close frame as a client does", function()
    kit.against_raw(function(peer, connection)
      connection:send "\x01\x02he\x89\x01p\x80\x03llo\x8a\x00\x82\x01\0\x88\x05\x0f\xa0bye"
      assert.same({ "hello", "text" }, { peer:receive() })
      assert.same({ "\0", "binary" }, { peer:receive() })
      assert.same({ nil, "closed", 4000, "bye" }, { peer:receive() })
      peer:fin()
      assert.equal("\x8a\x81" .. MASK .. "p\x88\x82" .. MASK .. "\x0f\xa0", connection:read_rest())
    end)
  end)

  it("a Close frame without a code as 1005, and answers none that answers its own", function()
    kit.against_raw(function(peer, connection)
      peer:close(1000)
      connection:send "\x88\x00"
      assert.same({ nil, "closed", 1005, "" }, { peer:receive() })
      peer:fin()
      assert.equal("\x88\x82" .. MASK .. "\x03\xe8", connection:read_rest())
    end)
  end)

  it("bytes", function()
    kit.against_raw(function(peer, connection)
      connection:send "abc"
      assert.equal("abc", peer:receive_raw())
      connection:send "\x81\x03abc"
      connection:send "rest"
      assert.equal("abc", peer:receive_frame().payload)
      moonsocket.sleep(0)
      assert.equal("rest", peer:receive_raw())
    end)
  end)

  it("bytes that came before it asked, and before it has said a word", function()
    kit.run(function()
      local listener = raw_server.listen()
      local connection
      moonsocket.go(function()
        connection = listener:accept()
        connection:send "who are you?"
      end)
      local peer <close> = assert(testing.peer(listener.url, { handshake = false }))
      assert.eventually(function() return connection end)
      for _ = 1, 5 do moonsocket.sleep(0) end
      assert.equal("who are you?", peer:receive_raw())
      connection:drop()
      listener:stop()
    end)
  end)

  it("the end of TCP, again and again", function()
    kit.against_raw(function(peer, connection)
      connection:send "\x81"
      connection:fin()
      for _ = 1, 2 do
        assert.same({ nil, "fin" }, { peer:receive_frame() })
        assert.same({ nil, "fin" }, { peer:receive() })
      end
      assert.equal("\x81", peer:receive_raw())
      assert.same({ nil, "fin" }, { peer:receive_raw() })
      assert.equal("fin", peer:leave())
    end)
  end)

  it("a reset, again and again", function()
    kit.against_raw(function(peer, connection)
      connection:reset()
      for _ = 1, 2 do assert.same({ nil, "reset" }, { peer:receive_frame() }) end
    end)
  end)

  it("nothing within the time it has, and later what came meanwhile", function()
    kit.against_raw(function(peer, connection)
      for _, method in ipairs { "receive", "receive_frame", "receive_raw" } do
        assert.same({ nil, "timeout" }, { peer[method](peer, 0) })
        assert.same({ nil, "timeout" }, { peer[method](peer, 0.001) })
      end
      kit.impatiently(0.001, function() assert.same({ nil, "timeout" }, { peer:receive() }) end)
      connection:send "\x02\x01a\x80\x01"
      assert.same({ nil, "timeout" }, { peer:receive(0) })
      connection:send "b"
      assert.same({ "ab", "binary" }, { peer:receive() })
    end)
  end)

  it("nothing within the time it has, though bytes keep coming", function()
    kit.against_raw(function(peer, connection)
      local enough
      moonsocket.go(function()
        connection:send "\x82\x7e\xff\xff"
        while not enough and connection:send "x" do moonsocket.sleep(0.001) end
      end)
      assert.same({ nil, "timeout" }, { peer:receive_frame(0.02) })
      enough = true
    end)
  end)

  it("no frame that announces what no frame can have", function()
    kit.against_raw(function(peer, connection)
      connection:send "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xffabc"
      assert.same({ nil, "timeout" }, { peer:receive_frame(0.01) })
    end)
  end)

  it("while others run, and at top level by running the loop", function()
    local server <close> = assert(testing.server(function(ws)
      for message in ws:messages() do ws:send(message) end
    end))
    local peer <close> = assert(testing.peer(server.url))
    peer:send_text "hello"
    assert.same({ "hello", "text" }, { peer:receive() })
    peer:fin()
    assert.equal("fin", peer:leave())
  end)
end)

describe("a peer leaves", function()
  local ways = {
    fin = "fin", cut_off = "fin", drop = "fin", reset = "reset",
  }
  for method, tcp in pairs(ways) do
    it("by " .. method .. ", behind what it sent", function()
      kit.against_raw(function(peer, connection)
        peer:send_text "bye"
        peer[method](peer)
        assert.equal("bye", connection:read_frame().payload)
        assert.same({ nil, tcp }, { connection:read_frame() })
      end)
    end)
  end

  it("by half: what comes is still received", function()
    for _, method in ipairs { "fin", "cut_off" } do
      kit.against_raw(function(peer, connection)
        peer[method](peer)
        assert.same({ nil, "fin" }, { connection:read_frame() })
        connection:send "\x81\x01a"
        assert.equal("a", peer:receive())
      end)
    end
  end)

  it("only once: then nothing is sent or received, and no call is an error", function()
    for _, method in ipairs { "drop", "reset" } do
      kit.play(function(peer)
        peer[method](peer)
        for _ = 1, 2 do
          assert.same({ nil, "closed" }, { peer:send_text "hello" })
          assert.same({ nil, "closed" }, { peer:receive() })
        end
        peer:fin()
        peer:cut_off()
        peer:reset()
        peer:drop()
        assert.equal("closed", peer:leave())
      end)
    end
  end)

  it("by vanishing: it stays connected, and reads and sends nothing", function()
    kit.play(function(peer, server)
      local ws = peer:ws()
      peer:vanish()
      ws:send "are you there?"
      for _, method in ipairs { "receive", "receive_frame", "receive_raw", "close" } do
        assert.same({ nil, "vanished" }, { peer[method](peer) })
      end
      assert.same({ nil, "vanished" }, { peer:send_text "no" })
      assert.equal("vanished", peer:leave())
      local other <close> = assert(testing.peer(server.url))
      other:send_text "is it still there?"
      assert.received(other, "is it still there?")
      assert.equal(2, server.count)
    end)
  end)

  it("as soon as its block does", function()
    kit.run(function()
      local server <close> = assert(testing.server(function(ws) ws:on_message(function() end) end))
      local ws
      do
        local peer <close> = assert(testing.peer(server.url))
        ws = peer:ws()
      end
      assert.equal(1006, (ws:wait_closed()))
    end)
  end)

  it("as soon as the collector takes it, also within a callback of its own connection", function()
    kit.run(function()
      local server <close> = assert(testing.server(function(ws)
        ws:on_message(function(message) ws:send(message) end)
      end))
      local ws
      do
        local peer = assert(testing.peer(server.url))
        ws = peer:ws()
        peer:send_text "hello"
        peer:receive() -- what follows runs in the transport's call
      end
      collectgarbage()
      collectgarbage()
      assert.equal(1006, (ws:wait_closed()))
    end)
  end)

  it("under a task that is receiving", function()
    for _, method in ipairs { "drop", "reset" } do
      kit.play(function(peer)
        local got
        moonsocket.go(function() got = table.pack(peer:receive()) end)
        moonsocket.sleep(0)
        peer[method](peer)
        assert.same({ nil, "closed", n = 2 }, got)
      end)
    end
  end)

  it("under a task that is receiving, which the collector cannot take it from", function()
    kit.play(function(_, server)
      local got
      moonsocket.go(function() got = assert(testing.peer(server.url)):receive() end)
      assert.eventually(function() return server.count == 2 end)
      collectgarbage()
      collectgarbage()
      for _, ws in ipairs(server:connections()) do ws:send "still there?" end
      assert.eventually(function() return got == "still there?" end)
      collectgarbage()
    end)
  end)
end)

describe("a peer that is still there when the program ends", function()
  local PRELUDE = [[
    local moonsocket, testing = require "moonsocket", require "moonsocket.testing"
    local server = assert(testing.server { close = function(_, code, reason) print("closed", code, reason) end })
    local peer = assert(testing.peer(server.url))
  ]]
  local CLOSED = "closed\t1006\tthe Lua state was closed"

  -- The lines of a program.
  local function said(text)
    local lines
    program.run(function(p)
      assert.equal(0, p:finish(), table.concat(p.lines, "\n"))
      lines = p.lines
    end, "-e", PRELUDE .. text)
    return lines
  end

  it("goes without a word", function() assert.same({ CLOSED }, said "") end)

  it("is taken from the tasks that receive or connect", function()
    kit.with_full_queue(function(url)
      assert.same({ CLOSED }, said(([[
        moonsocket.go(function() print(peer:receive()) end)
        moonsocket.go(function() print(testing.peer(%q)) end)
        moonsocket.sleep(0)
      ]]):format(url)))
    end)
  end)

  it("is seen by a finalizer that runs after its own", function()
    local lines = said [[
      setmetatable({}, { __gc = function() print(pcall(peer.send_text, peer, "hello")) end })
      local late = assert(testing.peer(server.url)) -- finalizers run in the reverse order
      setmetatable({}, { __gc = function() print(pcall(peer.fin, late)) end })
      local first = setmetatable({}, { __gc = function(self) print(pcall(self.peer.fin, self.peer)) end })
      first.peer = assert(testing.peer(server.url))
    ]]
    table.sort(lines)
    assert.equal(6, #lines, table.concat(lines, "\n"))
    for i = 1, 3 do assert.equal(CLOSED, lines[i]) end
    assert.matches("^false\t.*the peer has been collected: only a finalizer %(__gc%) can still see it$", lines[4])
    assert.same({ "true", "true\ttrue" }, { lines[5], lines[6] })
  end)
end)

describe("a mistake in a call of the peer is an error at the caller's line:", function()
  local OPCODE = "send_frame: option 'opcode': \"text\", \"binary\", \"continuation\", \"close\", \"ping\", \"pong\" "
    .. "or a number up to 15 expected, got "
  local mistakes = {
    { "send_raw: a string expected, got nil", function(p) p:send_raw() end },
    { "send_text: a string expected, got number", function(p) p:send_text(1) end },
    { "send_frame: unknown option 'opcod': is 'opcode' meant?", function(p) p:send_frame { opcod = 1 } end },
    { OPCODE .. "hello", function(p) p:send_frame { opcode = "hello" } end },
    { OPCODE .. "16", function(p) p:send_frame { opcode = 16 } end },
    { OPCODE .. "-1", function(p) p:send_frame { opcode = -1 } end },
    { "send_frame: option 'rsv': an integer from 0 to 7 expected, got 8", function(p) p:send_frame { rsv = 8 } end },
    { "send_frame: option 'fin': a boolean expected, got 1", function(p) p:send_frame { fin = 1 } end },
    { "send_frame: option 'payload': a string expected, got 1", function(p) p:send_frame { payload = 1 } end },
    { "send_frame: a table of options expected, got a string", function(p) p:send_frame "hello" end },
    { "send_frame: option 'announced_length': an integer from 0 to 9223372036854775807 expected, got -1",
      function(p) p:send_frame { announced_length = -1 } end },
    { "close: a code from 0 to 65535 expected, got 65536", function(p) p:close(65536) end },
    { "close: a code from 0 to 65535 expected, got bye", function(p) p:close "bye" end },
    { "close: the reason is a string behind a code", function(p) p:close(nil, "bye") end },
    { "close: the reason is a string behind a code", function(p) p:close(1000, 1) end },
    { "receive: seconds, 0 or more, expected, got -1", function(p) p:receive(-1) end },
    { "receive_frame: seconds, 0 or more, expected, got soon", function(p) p:receive_frame "soon" end },
    { "receive_raw: seconds, 0 or more, expected, got true", function(p) p:receive_raw(true) end },
    { "leave: seconds, 0 or more, expected, got -1", function(p) p:leave(-1) end },
    { "peer: a URL begins with ws://, wss:// or ws+unix:", function() testing.peer "localhost" end },
    { "peer: unknown option 'header': is 'headers' meant?", function()
      testing.peer("ws://localhost", { header = {} })
    end },
    { "peer: option 'handshake': a boolean expected, got no", function()
      testing.peer("ws://localhost", { handshake = "no" })
    end },
    { "peer: option 'tls': unknown field 'c': ", function() testing.peer("wss://localhost", { tls = { c = "" } }) end },
    { "peer: there are both a header 'Authorization' and a user in the URL", function()
      testing.peer("ws://ann@localhost", { headers = { Authorization = "none" } })
    end },
  }
  for _, mistake in ipairs(mistakes) do
    local why, call = table.unpack(mistake)
    it(why, function()
      kit.play(function(peer)
        local ok, wrong = pcall(call, peer)
        assert.is_false(ok)
        local line, message = wrong:match "spec/testing/peer_spec%.lua:(%d+): (.*)$"
        assert.is_truthy(message, wrong)
        assert.equal(why, message:sub(1, #why))
        local info = debug.getinfo(call, "S")
        line = tonumber(line)
        assert.is_true(line >= info.linedefined and line <= info.lastlinedefined, wrong)
      end)
    end)
  end

  it("a second task in receive", function()
    kit.play(function(peer)
      moonsocket.go(function() peer:receive() end)
      moonsocket.sleep(0)
      assert.has_error(function() peer:receive() end)
    end)
  end)
end)
