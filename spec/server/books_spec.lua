-- What a server knows of its connections, and what it can do to all of them.
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

local function empty_stats(changes)
  local stats = {
    opened = 0, open = 0, buffered = 0, messages_in = 0, messages_out = 0, bytes_in = 0, bytes_out = 0,
    closed = {}, closed_by = {}, refused = {}, requests = {},
  }
  for name, value in pairs(changes or {}) do stats[name] = value end
  return stats
end

-- The ids of server:connections(), in order.
local function ids(server)
  local list = {}
  for i, ws in ipairs(server:connections()) do list[i] = ws.id end
  table.sort(list)
  return list
end

-- What a peer gets next, in words.
local function next_frame(p) return peer.describe(assert(p:read_frame())) end

describe("server.count and server:connections", function()
  it("have what is open, from the 101 to the end of TCP", function()
    local handler_ws, seen_in_close = {}, nil
    local function handler(ws)
      handler_ws[#handler_ws + 1] = ws
      ws:on_message(function() ws:close(1000) end)
    end
    scene.play({ handler = handler }, function(s)
      s.on_close = function() seen_in_close = { s.server.count, #s.server:connections() } end
      assert.same({ 0, {} }, { s.server.count, s.server:connections() })
      s:connect():send("GET / HTTP/1.1\r\n")
      s:refusal("nonsense\r\n")
      assert.same({ 0, {} }, { s.server.count, s.server:connections() })

      local first, second = s:open(), s:open()
      assert.same({ 2, { s.records[1].id, s.records[2].id } }, { s.server.count, ids(s.server) })
      for _, ws in ipairs(s.server:connections()) do
        assert.is_true(rawequal(ws, handler_ws[1]) or rawequal(ws, handler_ws[2]))
      end

      first:send(peer.text("close me"))
      assert.equal("close 1000", next_frame(first))
      assert.equal("closing", handler_ws[1].state)
      assert.same({ 2, { s.records[1].id, s.records[2].id } }, { s.server.count, ids(s.server) })

      first:send(peer.close(1000))
      s:outcome(first, 1)
      assert.same({ 1, 1 }, seen_in_close)
      assert.same({ 1, { s.records[2].id } }, { s.server.count, ids(s.server) })
      second:reset()
      s:ending(2)
      assert.same({ 0, 0 }, seen_in_close)
      assert.same({ 0, {} }, { s.server.count, s.server:connections() })
      handler_ws = {}
    end)
  end)

  it("do not have what authorize has not let in yet", function()
    local asked, go_on = false, false
    local function authorize()
      asked = true
      scene.await("the spec", function() return go_on end)
      return true
    end
    scene.play({ authorize = authorize }, function(s)
      local p = s:connect()
      p:send(peer.request())
      s.await("authorize", function() return asked end)
      assert.same({ 0, {} }, { s.server.count, s.server:connections() })
      go_on = true
      assert.equal(101, p:read_response().status)
      assert.same({ 1, 1 }, { s.server.count, #s.server:connections() })
    end)
  end)

  it("are a copy: what is done to the list, or to those in it, changes neither", function()
    scene.play({}, function(s)
      local peers = { s:open(), s:open(), s:open() }
      local list = s.server:connections()
      for i, ws in ipairs(list) do
        list[i] = nil
        ws:terminate()
        collectgarbage()
      end
      for i, p in ipairs(peers) do
        assert.same({ {}, "reset" }, { p:read_all() })
        assert.equal("terminated", s:ending(i).reason)
      end
    end)
  end)
end)

describe("broadcast", function()
  it("reaches all that are open, and says how many", function()
    scene.play({}, function(s)
      assert.equal(0, s.server:broadcast("nobody there"))
      local peers = { s:open(), s:open(), s:open() }
      assert.equal(3, s.server:broadcast("to all"))
      assert.equal(3, s.server:broadcast("\xff\0", "binary"))
      assert.equal(3, s.server:broadcast("", "text"))
      for _, p in ipairs(peers) do
        assert.equal("text to all", next_frame(p))
        assert.equal("binary \xff\0", next_frame(p))
        assert.equal("text", next_frame(p))
      end
    end)
  end)

  it("passes over those that are opening or closing", function()
    scene.play({}, function(s)
      s:connect():send(peer.request():sub(1, -3))
      local closing, p = s:open(), s:open()
      s.await("both", function() return #s.records == 2 end)
      for _, ws in ipairs(s.server:connections()) do
        if ws.id == s.records[1].id then ws:close(4000) end
      end
      assert.equal(1, s.server:broadcast("hello"))
      assert.equal("text hello", next_frame(p))
      closing:send(peer.close(4000))
      assert.same({ "close 4000" }, s:outcome(closing, 1).wire)
    end)
  end)

  it("stands between the other messages of a connection where it was called", function()
    local function handler(ws)
      ws:on_message(function(message)
        ws:send("before")
        ws.server_of_spec:broadcast(message)
        ws:send("after")
      end)
    end
    scene.play({ handler = handler }, function(s)
      local p, other = s:open(), s:open()
      for _, ws in ipairs(s.server:connections()) do ws.server_of_spec = s.server end
      p:send(peer.text("amid"))
      assert.same({ "text before", "text amid", "text after" }, { next_frame(p), next_frame(p), next_frame(p) })
      assert.equal("text amid", next_frame(other))
    end)
  end)

  it("goes on behind a connection that it loses", function()
    scene.play({}, function(s)
      local first, gone, last = s:open(), s:open(), s:open()
      gone:reset()
      s.server:broadcast("hello") -- whether it is known already that one has gone
      assert.equal("text hello", next_frame(first))
      assert.equal("text hello", next_frame(last))
      assert.equal(1006, s:ending(2).code)
      assert.equal(2, s.server:broadcast("again"))
    end)
  end)

  -- Broadcasts until one connection's queue is full: its peer does not read. Returns the number reached then.
  local function overflow(s, reader)
    local message = ("x"):rep(100000)
    for _ = 1, 1000 do
      local reached = s.server:broadcast(message, "binary")
      assert.equal(message, assert(reader:read_frame()).payload)
      if reached < 2 then return reached end
    end
    return nil
  end

  for _, policy in ipairs { "drop", "wait" } do
    it(("leaves out a connection whose queue is full, and does not wait for it (%q)"):format(policy), function()
      scene.play({ max_buffered = 150000, on_overflow = policy, receive_buffer = 4096 }, function(s)
        local reader, stuck = s:open(), s:open()
        assert.equal(1, overflow(s, reader))
        assert.equal(2, s.server.count)
        assert.is_nil(s.records[2].code)
        stuck:reset()
        assert.equal(1006, s:ending(2).code)
      end)
    end)
  end

  it("closes a connection whose queue is full with 1008 unless told otherwise", function()
    scene.play({ max_buffered = 150000, receive_buffer = 4096, close_timeout = 0.05 }, function(s)
      local reader, stuck = s:open(), s:open()
      assert.equal(1, overflow(s, reader))
      local record = s:ending(2)
      assert.equal(1008, record.code)
      assert.matches("^send queue of %d+ bytes is over the limit of 150000$", record.reason)
      stuck:drop()
      assert.equal(1, s.server:broadcast("those who are left"))
      assert.equal("text those who are left", next_frame(reader))
    end)
  end)

  local wrong = {
    { {}, "bad argument #1" }, { { {} }, "bad argument #1" }, { { "\xff" }, "UTF%-8" },
    { { "a", "blob" }, "bad argument #2" }, { { "a", true }, '"binary"' },
  }
  for _, case in ipairs(wrong) do
    it("is not for " .. case[2]:gsub("%%", ""), function()
      scene.play({}, function(s)
        local p = s:open()
        local ok, message = pcall(function() s.server:broadcast(table.unpack(case[1])) end)
        assert.is_false(ok)
        assert.matches(case[2], message)
        assert.equal(1, s.server:broadcast("fine"))
        assert.equal("text fine", next_frame(p))
      end)
    end)
  end
end)

describe("stats", function()
  it("begin at nothing", function()
    scene.play({}, function(s) assert.same(empty_stats(), s.server:stats()) end)
  end)

  it("count messages and their bytes each way, control frames and heads aside", function()
    scene.play({}, function(s)
      local p = s:open()
      p:send(peer.text("12345") .. peer.binary(("x"):rep(70000)) .. peer.ping("this not") .. peer.pong("nor this"))
      p:send(peer.frame { payload = "in ", fin = false } .. peer.ping("") .. peer.frame { opcode = 0, payload = "two" })
      p:send(peer.text(""))
      for _ = 1, 6 do assert(p:read_frame()) end
      assert.equal(1, s.server:broadcast("to all"))
      assert.equal("text to all", next_frame(p))
      assert.same(empty_stats {
        opened = 1, open = 1, messages_in = 4, bytes_in = 5 + 70000 + 6,
        messages_out = 5, bytes_out = 5 + 70000 + 6 + 6,
      }, s.server:stats())
    end)
  end)

  it("count ends by code and by whom", function()
    local function handler(ws)
      ws:on_message(function(message)
        if message == "close" then ws:close(4001) elseif message == "raise" then error "no" else ws:terminate() end
      end)
      ws:on_error(function() end)
    end
    -- what the peer sends, and whether it closes its side of TCP then
    local ends = {
      { peer.close(1000) }, { peer.close(1000) }, { peer.close() }, { peer.close(4999, "bye") },
      { peer.frame { payload = "x", masked = false } }, { peer.text("\xff") }, { peer.text("raise") },
      { peer.text("close") .. peer.close(4001) }, { peer.text("terminate") }, { "", fin = true },
    }
    scene.play({ handler = handler }, function(s)
      for n, case in ipairs(ends) do
        local p = s:open()
        p:send(case[1])
        if case.fin then p:fin() end
        s:outcome(p, n)
      end
      s:open():reset()
      s:ending(#ends + 1)
      local open = s:open()
      local stats = s.server:stats()
      stats.messages_in, stats.bytes_in = 0, 0
      assert.same(empty_stats {
        opened = #ends + 2, open = 1,
        closed = { [1000] = 2, [1005] = 1, [4999] = 1, [1002] = 1, [1007] = 1, [1011] = 1, [4001] = 1, [1006] = 3 },
        closed_by = { peer = 4, ["local"] = 5, network = 2 },
      }, stats)
      open:drop()
    end)
  end)

  it("count refused handshakes by status, and those whose peer left as 0", function()
    scene.play({ handshake_timeout = 0.05, max_connections = 1 }, function(s)
      s:refusal("nonsense\r\n")
      s:refusal("nonsense\r\n")
      s:refusal("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
      s:refusal(peer.request("Origin: http://evil.example\r\n"))
      s:refusal("") -- says nothing: 408
      local left = { s:connect(), s:connect(), s:connect() }
      left[1]:send(peer.request():sub(1, 30))
      left[1]:drop()
      left[2]:send("GET")
      left[2]:reset()
      left[3]:drop()
      local p = s:open()
      s:refusal(peer.request())
      s.await("all of them", function()
        local n = 0
        for _, count in pairs(s.server:stats().refused) do n = n + count end
        return n == 9
      end)
      assert.same(empty_stats {
        opened = 1, open = 1, refused = { [400] = 2, [426] = 1, [403] = 1, [408] = 1, [503] = 1, [0] = 3 },
        requests = {},
      }, s.server:stats())
      p:drop()
    end)
  end)

  it("are each server's own, and a copy", function()
    scene.play({}, function(s)
      local other = assert(moonsocket.serve("127.0.0.1:0", function() end))
      s:open()
      local stats = s.server:stats()
      stats.opened, stats.closed[1000] = 99, 99
      local others = other:stats()
      other:shutdown()
      assert.same(empty_stats(), others)
      assert.same(empty_stats { opened = 1, open = 1 }, s.server:stats())
    end)
  end)
end)

describe("server:on_error", function()
  it("returns the function before, and takes nil for none", function()
    scene.play({}, function(s)
      local function first() end
      local function second() end
      assert.is_nil(s.server:on_error(first))
      assert.equal(first, s.server:on_error(second))
      assert.equal(second, s.server:on_error(nil))
      assert.is_nil(s.server:on_error(first))
      assert.has_error(function() s.server:on_error("print") end)
      assert.has_error(function() s.server:on_error({}) end)
    end)
  end)

  it("may wait, and the server goes on meanwhile", function()
    local told, go_on = {}, false
    local function handler(ws)
      ws:on_message(function(message)
        if message == "raise" then error("on purpose", 0) end
        ws:send(message)
      end)
    end
    scene.play({ handler = handler }, function(s)
      s.server:on_error(function(message)
        scene.await("the spec", function() return go_on end)
        told[#told + 1] = message
      end)
      local p, other = s:open(), s:open()
      p:send(peer.text("raise"))
      assert.equal(1011, s:outcome(p, 1).code)
      other:send(peer.text("hello"))
      assert.equal("text hello", next_frame(other))
      assert.same({}, told)
      go_on = true
      s.await("on_error", function() return told[1] end)
      assert.same({ "on purpose" }, told)
    end)
  end)
end)

describe("a server that has shut down", function()
  it("can still be asked, and has nothing left to do", function()
    scene.play({}, function(s)
      local server, address, port = s.server, s.server.address, s.server.port
      local first, second = s:open(), s:open()
      first:send(peer.text("hello"))
      assert.equal("text hello", next_frame(first))
      first:send(peer.close(1000))
      s:outcome(first, 1)
      s:refusal("nonsense\r\n")
      second:send(peer.close(1001)) -- the server's has gone out before it looks for this
      second:fin()
      assert.same({ 1, 0 }, { server:shutdown() })
      second:drop()

      assert.same({ address, port, 0, {} }, { server.address, server.port, server.count, server:connections() })
      assert.equal(0, server:broadcast("anybody?"))
      assert.same(empty_stats {
        opened = 2, messages_in = 1, messages_out = 1, bytes_in = 5, bytes_out = 5,
        closed = { [1000] = 1, [1001] = 1 }, closed_by = { peer = 1, ["local"] = 1 }, refused = { [400] = 1 },
        requests = {},
      }, server:stats())
      local function fn() end
      assert.is_nil(server:on_error(fn))
      assert.equal(fn, server:on_error(nil))
      assert.equal(("moonsocket.server %s (shut down)"):format(address), tostring(server))
      assert.is_nil(server.no_such_field)
      collectgarbage()
      assert.same({ 1, 0 }, { server:shutdown { code = 1012, drain = 0 } })
    end)
  end)

  it("has still the ws of its connections, which know how they ended", function()
    local kept
    scene.play({ handler = function(ws)
      kept = ws
      ws:on_message(function() end)
    end }, function(s)
      local p = s:open()
      p:send(peer.close(1000, "bye"))
      s:outcome(p)
      s.server:shutdown()
      collectgarbage()
      assert.same({ "closed", 1000, "bye" }, { kept.state, kept.close_code, kept.close_reason })
      assert.same({ nil, "closed", 1000 }, { kept:send("late") })
      kept = nil
    end)
  end)
end)
