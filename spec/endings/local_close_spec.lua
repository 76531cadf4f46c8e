-- Our own close(): RFC 6455 sections 1.4, 5.5.1, 7.1.1 and 7.1.2, with every answer a peer can give.
local subject = require "spec.support.subject"
local moonsocket = require "moonsocket"

local scene, peer, serving = subject.scene, subject.peer, subject.serving(it)

-- An echo that closes with 4000 when it is told to. It keeps what it got afterwards and what its sending came to.
local function take(ws, record, message)
  if message == "close" then return ws:close(4000, "enough") end
  record.got[#record.got + 1] = message
  record.sent[#record.sent + 1] = { ws:send(message) }
end

local function callbacks(ws, _, record)
  record.got, record.sent = {}, {}
  ws:on_message(function(message) take(ws, record, message) end)
end

local function loop(ws, _, record)
  record.got, record.sent = {}, {}
  for message in ws:messages() do take(ws, record, message) end
end

local styles = { on_message = callbacks, ["messages()"] = loop }

-- How it ends that we have closed with 4000: fields over those of an unclean end.
local function expected(fields)
  local all = { wire = { "close 4000 enough" }, tcp = "fin", code = 1006, clean = false, by = "local", sent = 4000 }
  for name, value in pairs(fields) do all[name] = value end
  return all
end

local function answered(code, reason)
  return expected { code = code, reason = reason, clean = true, received = code }
end

-- One connection that we close, and what act(p, s) does about it once it has our Close frame. Returns its outcome and
-- its record.
local function play(handler, act, options)
  local settings, actual, record = { handler = handler }, nil, nil
  for name, value in pairs(options or {}) do settings[name] = value end
  scene.play(settings, function(s)
    local p = s:open()
    p:send(peer.text "close")
    local close = peer.describe(p:read_frame())
    act(p, s)
    actual, record = s:outcome(p), s.last
    table.insert(actual.wire, 1, close)
  end)
  return actual, record
end

for name, handler in pairs(styles) do
  describe("close() in a handler with " .. name .. ", answered with", function()
    local answers = {
      { "the same code", peer.close(4000), answered(4000, "") },
      { "the same code and reason", peer.close(4000, "enough"), answered(4000, "enough") },
      { "another code", peer.close(1001, "as you like"), answered(1001, "as you like") },
      { "no code", peer.close(), answered(1005, "") },
      { "a Ping and a Pong first", peer.ping "there?" .. peer.pong "!" .. peer.close(4000), answered(4000, "") },
      { "data first", peer.text "one" .. peer.text "" .. peer.text "two" .. peer.close(4000, "now"),
        answered(4000, "now"), got = { "one", "", "two" } },
      { "fragments first", peer.frame { payload = "o", fin = false } .. peer.frame { opcode = 0, payload = "ne" }
        .. peer.close(4000), answered(4000, ""), got = { "one" } },
      { "half a message first", peer.frame { payload = "o", fin = false } .. peer.close(4000), answered(4000, "") },
      { "much data first", peer.text(("0123456789abcdef"):rep(20000)) .. peer.close(4000), answered(4000, ""),
        got = { ("0123456789abcdef"):rep(20000) } },
      { "a Close and data", peer.close(4000, "over") .. peer.text "late", answered(4000, "over") },
      { "a Close and garbage", peer.close(4000, "over") .. ("\xff"):rep(1000), answered(4000, "over") },
      { "a Close and another", peer.close(4000, "over") .. peer.close(1001, "again"), answered(4000, "over") },
      { "a Close and an invalid one", peer.close(4000, "over") .. peer.close(1006), answered(4000, "over") },
    }
    for _, case in ipairs(answers) do
      it(case[1], function()
        local actual, record = play(handler, function(p) p:send(case[2]) end)
        assert.same(case[3], actual)
        assert.same(case.got or {}, record.got)
        for _, sent in ipairs(record.sent) do assert.same({ nil, "closed", 4000 }, sent) end
      end)
    end

    it("the answer byte by byte", function()
      local actual, record = play(handler, function(p) p:drip(peer.text "one" .. peer.close(4000, "now")) end)
      assert.same(answered(4000, "now"), actual)
      assert.same({ "one" }, record.got)
    end)

    it("a Close and FIN", function()
      assert.same(answered(4000, "over"), (play(handler, function(p)
        p:send(peer.close(4000, "over"))
        p:fin()
      end)))
    end)

    it("FIN without a Close", function()
      local actual = play(handler, function(p) p:fin() end)
      assert.same(expected { reason = "connection closed by the peer before it answered our Close frame" }, actual)
    end)

    it("data and FIN", function()
      local actual, record = play(handler, function(p)
        p:send(peer.text "one" .. peer.text("cut off"):sub(1, -2))
        p:fin()
      end)
      assert.same(expected { reason = "connection closed by the peer before it answered our Close frame" }, actual)
      assert.same({ "one" }, record.got)
    end)

    serving("nothing at all, until close_timeout", function()
      local actual = play(handler, function() end, { close_timeout = 0.05 })
      assert.same(expected { reason = "closing handshake timed out after 0.05 s" }, actual)
    end)

    it("data without end, until close_timeout", function()
      local record
      scene.play({ handler = handler, close_timeout = 0.05 }, function(s)
        local p = s:open()
        p:send(peer.text "close")
        assert.equal("close 4000 enough", peer.describe(p:read_frame()))
        record = s.last
        s.await("on_close, whatever is sent", function()
          p:send(peer.text "more")
          return record.code
        end)
      end)
      assert.same({ 1006, "closing handshake timed out after 0.05 s" }, { record.code, record.reason })
      assert.same({ clean = false, by = "local", sent = 4000 }, record.info)
      assert.equal("more", record.got[1])
    end)

    it("RST", function()
      scene.play({ handler = handler }, function(s)
        local p = s:open()
        p:send(peer.text "close")
        assert.equal("close 4000 enough", peer.describe(p:read_frame()))
        p:reset()
        local ending = s:ending()
        assert.same({ 1006, "connection reset by peer" }, { ending.code, ending.reason })
        assert.same({ clean = false, by = "local", sent = 4000, error = "Connection reset by peer" }, ending.info)
      end)
    end)

    it("a Close and RST", function()
      scene.play({ handler = handler }, function(s)
        local p = s:open()
        p:send(peer.text "close")
        assert.equal("close 4000 enough", peer.describe(p:read_frame()))
        p:send(peer.close(4000, "over"))
        p:reset()
        local ending = s:ending()
        ending.info.error = nil -- whether the RST was noticed before the end is a matter of luck
        assert.same({ 4000, "over" }, { ending.code, ending.reason })
        assert.same({ clean = true, by = "local", sent = 4000, received = 4000 }, ending.info)
      end)
    end)

    it("a Close that crosses ours", function()
      for _, between in ipairs { "", peer.text "one" } do
        scene.play({ handler = handler }, function(s)
          local p = s:open()
          p:send(peer.text "close" .. between .. peer.close(1001, "me too"))
          assert.same(answered(1001, "me too"), s:outcome(p))
          assert.same({ between ~= "" and "one" or nil }, s.last.got)
        end)
      end
    end)

    it("a Close, but its side of TCP stays open", function()
      scene.play({ handler = handler, close_timeout = 0.05 }, function(s)
        local p = s:open()
        p:send(peer.text "close")
        assert.equal("close 4000 enough", peer.describe(p:read_frame()))
        p:send(peer.close(4000, "over"))
        assert.same({ nil, "fin" }, { p:read_frame() })
        local ending = s:ending() -- p is still there
        assert.same({ 4000, "over" }, { ending.code, ending.reason })
        assert.same({ clean = true, by = "local", sent = 4000, received = 4000 }, ending.info)
      end)
    end)

    it("a Close and data without end, until close_timeout", function()
      scene.play({ handler = handler, close_timeout = 0.05 }, function(s)
        local p = s:open()
        p:send(peer.text "close" .. peer.close(4000, "over"))
        assert.equal("close 4000 enough", peer.describe(p:read_frame()))
        s.await("on_close, whatever is sent", function()
          p:send(peer.text "more")
          return s.last.code
        end)
        assert.same({ 4000, "over" }, { s.last.code, s.last.reason })
        assert.same({ clean = true, by = "local", sent = 4000, received = 4000 }, s.last.info)
        assert.same({}, s.last.got)
      end)
    end)

    local garbage = {
      ["a frame whose mask is wrong"] = { peer.frame { payload = "bare", masked = not peer.masks }, "mask" },
      ["a reserved bit"] = { peer.frame { payload = "bit", rsv = 4 }, "reserved" },
      ["a reserved opcode"] = { peer.frame { opcode = 3 }, "opcode" },
      ["a continuation of nothing"] = { peer.frame { opcode = 0 }, "continu" },
      ["text that is not UTF-8"] = { peer.text "\xff", "UTF-8" },
      ["a message over the limit"] = { peer.text(("x"):rep(1001)), "message of 1001 bytes is over the limit of 1000" },
      ["a code that may not be on the wire"] = { peer.close(1006), "1006" },
      ["half a code"] = { peer.frame { opcode = 8, payload = "\x0f" }, "half" },
      ["a reason that is not UTF-8"] = { peer.close(4000, "\xff"), "UTF-8" },
      ["a Close in fragments"] = { peer.frame { opcode = 8, payload = "\x0f\xa0", fin = false }, "fragment" },
      ["a Close that is too long"] = { peer.close(4000, ("r"):rep(124)), "125" },
    }
    for wrong, case in pairs(garbage) do
      it(wrong .. ": no second Close is sent, and none is accepted", function()
        local actual, record = play(handler, function(p)
          p:send(peer.text "one" .. case[1] .. peer.text "two" .. peer.close(4000))
        end, { max_message = 1000 })
        assert(actual.reason:find(case[2], 1, true), ("%q does not say %q"):format(actual.reason, case[2]))
        assert.same(expected { reason = actual.reason }, actual)
        assert.same({ "one" }, record.got)
      end)
    end
  end)
end

-- What such a handler puts on the wire up to its Close frame, which the peer answers with the same payload. Returns
-- that and the record.
local function wire_of(handler, close, options)
  local settings, wire, record = { handler = handler }, {}, nil
  for name, value in pairs(options or {}) do settings[name] = value end
  scene.play(settings, function(s)
    local p = s:open()
    local frame
    repeat
      frame = assert(p:read_frame())
      wire[#wire + 1] = peer.describe(frame)
    until frame.name == "close"
    p:send(peer.frame { opcode = 8, payload = frame.payload })
    local actual = s:outcome(p)
    assert.same({
      wire = {}, tcp = "fin", code = frame.code, reason = frame.reason, clean = true, by = "local",
      sent = frame.code, received = frame.code,
    }, actual)
    record = s.last
  end)
  assert.same(close, wire[#wire])
  return wire, record
end

describe("close()", function()
  it("without a code sends 1000", function()
    wire_of(function(ws) ws:close() end, "close 1000")
    wire_of(function(ws) ws:close(nil, "bye") end, "close 1000 bye")
  end)

  for _, code in ipairs { 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999 } do
    it(("sends %d, with a reason and without"):format(code), function()
      wire_of(function(ws) ws:close(code) end, "close " .. code)
      wire_of(function(ws) ws:close(code, "why not ✓") end, ("close %d why not ✓"):format(code))
    end)
  end

  it("sends a reason of 123 bytes", function()
    wire_of(function(ws) ws:close(1000, ("€"):rep(41)) end, "close 1000 " .. ("€"):rep(41))
  end)

  local wrong = {
    ["a code that is a string"] = { { "normal" }, "number expected" },
    ["a code with a fraction"] = { { 1000.5 }, "integer" },
    ["a reason of 124 bytes"] = { { 1000, ("r"):rep(124) }, "123" },
    ["a reason that is not UTF-8"] = { { 1000, "cut off \xe2\x82" }, "UTF-8" },
    ["a reason that is a table"] = { { 1000, {} }, "string expected" },
  }
  for _, code in ipairs { 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535, 65536 + 1000, -1 } do
    wrong["code " .. code] = { { code }, tostring(code) }
  end
  for name, case in pairs(wrong) do
    it("refuses " .. name .. " and leaves the connection open", function()
      local told
      local function handler(ws)
        local ok, message = pcall(ws.close, ws, table.unpack(case[1]))
        told = { ok, message, ws.state }
        ws:on_message(function(text)
          ws:send(text)
          ws:close(4000)
        end)
      end
      scene.play({ handler = handler }, function(s)
        local p = s:open()
        p:send(peer.text "still there" .. peer.close(4000))
        assert.same({ "text still there", "close 4000" }, s:outcome(p).wire)
      end)
      assert.is_false(told[1])
      assert(told[2]:find(case[2], 1, true), ("%q does not say %q"):format(told[2], case[2]))
      assert.equal("open", told[3])
    end)
  end

  it("goes out behind what was sent in the same turn", function()
    local large = ("0123456789abcdef"):rep(20000)
    local wire = wire_of(function(ws)
      ws:send "one"
      ws:send("two", "binary")
      ws:send(large)
      ws:close(4000, "done")
    end, "close 4000 done")
    assert.same({ "text one", "binary two", "text " .. large, "close 4000 done" }, wire)
  end)

  it("is the last that is sent", function()
    local results
    local wire = wire_of(function(ws)
      results = { { ws:close(4000, "done") }, { ws:close(4001, "again") }, { ws:send "late" }, { ws:ping() }, ws.state }
    end, "close 4000 done")
    assert.same({ "close 4000 done" }, wire)
    local closed = { nil, "closed", 4000 }
    assert.same({ { true }, closed, closed, closed, "closing" }, results)
  end)

  it("answers no Ping any more, but tells of it", function()
    local pings = {}
    scene.play({ handler = function(ws)
      ws:on_ping(function(payload) pings[#pings + 1] = payload end)
      ws:close(4000)
    end }, function(s)
      local p = s:open()
      p:send(peer.ping "there?" .. peer.close(4000))
      assert.same({ "close 4000" }, s:outcome(p).wire)
      assert.same({ "there?" }, pings)
    end)
  end)

  serving("may stand in the first line of a handler: the 101 comes first", function()
    local first = {
      ["a function"] = { handler = function(ws) ws:close(4000, "enough") end },
      ["a function that then wants messages"] = { handler = function(ws, request, record)
        ws:close(4000, "enough")
        callbacks(ws, request, record)
      end },
      ["a function that then loops"] = { handler = function(ws, request, record)
        ws:close(4000, "enough")
        loop(ws, request, record)
      end },
    }
    for name, settings in pairs(first) do
      scene.play(settings, function(s)
        local p = s:open(nil, peer.text "glued" .. peer.close(4000, "fine"))
        assert.same(answered(4000, "fine"), s:outcome(p), name)
        if s.last.got then assert.same({ "glued" }, s.last.got, name) end
      end)
    end
  end)

  serving("may stand in a table of callbacks", function()
    local told = {}
    local table_of_callbacks = {
      open = function(ws) ws:close(4000, "enough") end,
      message = function(_, message) told[#told + 1] = message end,
      close = function(_, code, reason, info) told[#told + 1] = { code, reason, info } end,
    }
    scene.play({ table = table_of_callbacks }, function(s)
      local p = s:open()
      p:send(peer.text "one" .. peer.close(4000, "fine"))
      local frames, how = p:read_all()
      assert.same({ 1, "close 4000 enough", "fin" }, { #frames, peer.describe(frames[1]), how })
      p:drop()
      s.await("on_close", function() return #told == 2 end)
      local info = { clean = true, by = "local", sent = 4000, received = 4000 }
      assert.same({ "one", { 4000, "fine", info } }, told)
    end)
  end)

  it("comes too late once the peer has closed", function()
    local results = {}
    scene.play({ handler = function(ws, _, record)
      ws:on_message(function() end)
      record.close = function() results[#results + 1] = { ws:close(4000) } end
    end }, function(s)
      local p = s:open()
      s.on_close = function() s.last.close() end
      p:send(peer.close(4001, "first"))
      assert.equal("close 4001", peer.describe(p:read_frame()))
      s.last.close()
      local actual = s:outcome(p)
      assert.same({ {}, 4001, "first", "peer" }, { actual.wire, actual.code, actual.reason, actual.by })
      s.last.close()
      s.last.close, s.on_close = nil, nil
    end)
    local closed = { nil, "closed", 4001 }
    assert.same({ closed, closed, closed }, results)
  end)

  it("can be waited for", function()
    local told
    wire_of(function(ws)
      ws:close(4000, "enough")
      told = { ws:wait_closed() }
    end, "close 4000 enough")
    assert.same({ 4000, "enough", { clean = true, by = "local", sent = 4000, received = 4000 } }, told)
  end)
end)

-- What happens in which order on a connection that gets these bytes, with a handler that takes a while over each
-- message and closes when told to. style: of the handler.
local function order(style, bytes)
  local log = {}
  local function work(ws, message)
    log[#log + 1] = "begin " .. message
    if message == "close" then ws:close(4000) end
    moonsocket.sleep(0.002)
    log[#log + 1] = "end " .. message
  end
  local slow = {
    on_message = function(ws) ws:on_message(function(message) work(ws, message) end) end,
    ["messages()"] = function(ws)
      for message in ws:messages() do work(ws, message) end
    end,
  }
  scene.play({ handler = slow[style] }, function(s)
    s.on_close = function() log[#log + 1] = "on_close" end
    local p = s:open()
    p:send(bytes)
    s:outcome(p)
  end)
  return log
end

describe("on_close comes last:", function()
  local two = { "begin one", "end one", "begin two", "end two", "on_close" }

  it("behind messages that came before the peer's Close", function()
    assert.same(two, order("on_message", peer.text "one" .. peer.text "two" .. peer.close(1000)))
  end)

  it("behind messages that came before a protocol error", function()
    assert.same(two, order("on_message", peer.text "one" .. peer.text "two" .. peer.frame { rsv = 1 }))
  end)

  -- A loop may never ask for a message again: its last one does not hold up the end.
  it("behind messages that a loop has been given", function()
    for _, last in ipairs { peer.close(1000), peer.frame { rsv = 1 } } do
      local log = order("messages()", peer.text "one" .. peer.text "two" .. last)
      assert.same({ "begin one", "end one", "begin two" }, { table.unpack(log, 1, 3) })
    end
  end)

  for style in pairs(styles) do
    it("behind messages that came after our own Close, with a slow " .. style, function()
      local log = order(style, peer.text "close" .. peer.text "one" .. peer.text "two" .. peer.close(4000))
      assert.same({ "begin close", "end close", "begin one", "end one", "begin two" }, { table.unpack(log, 1, 5) })
    end)
  end

  it("not behind those for which the closing handshake has waited in vain", function()
    for _, never in ipairs { "a callback that does not return", "a loop that does not go on" } do
      local got = {}
      local function work(ws, message)
        got[#got + 1] = message
        ws:close(4000)
        ws:wait_closed()
      end
      local function handler(ws)
        if never:find "callback" then return ws:on_message(function(message) work(ws, message) end) end
        for message in ws:messages() do work(ws, message) end
      end
      scene.play({ handler = handler, close_timeout = 0.03 }, function(s)
        local p = s:open()
        p:send(peer.text "close" .. peer.text "one" .. peer.close(4000, "fine"))
        local actual = s:outcome(p)
        assert.same({ { "close 4000" }, "fin", 4000, "fine", true },
          { actual.wire, actual.tcp, actual.code, actual.reason, actual.clean }, never)
        assert.same({ "close" }, got, never)
      end)
    end
  end)
end)
