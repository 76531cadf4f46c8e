-- ws:reader: one message in parts as they come, its own limit, what is wrong with it, and what is left of it.
local core = require "moonsocket.core"
local deflate = require "deflate"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local roles = require "spec.support.roles"
local scene = require "spec.support.scene"

-- The first fragment of a message, or one that goes on.
local function begin(side, payload, opcode)
  return side.frame { opcode = opcode or 1, fin = false, payload = payload }
end

-- A message, and its reader.
local function read_all(ws)
  local reader, parts = assert(ws:reader()), {}
  for bytes in reader do parts[#parts + 1] = bytes end
  return table.concat(parts), reader
end

-- Reads up to a Close frame, answers it, and leaves.
local function leave(p, side)
  local frame
  repeat frame = assert(p:read_frame()) until frame.name == "close"
  p:send(side.close(frame.code))
  p:read_all()
  p:drop()
  return frame
end

for name, play in pairs(roles) do
  describe("a reader of a " .. name, function()
    it("takes a message as it comes, and then the next", function()
      play({}, function(ws, p, side)
        p:send(begin(side, "one "))
        local reader = assert(ws:reader())
        assert.same({ "text", false }, { reader.kind, reader.complete })
        assert.equal("one ", reader:read())
        assert.same({ nil, "timeout" }, { reader:read(0.001) })
        p:send(side.frame { opcode = 9, payload = "" } .. side.frame { opcode = 0, payload = "two" })
        assert.equal("two", reader:read())
        assert.same({ n = 1 }, table.pack(reader:read()))
        assert.is_true(reader.complete)
        assert.same({ n = 1 }, table.pack(reader:read()))
        p:send(side.binary "\0\xff" .. side.text "")
        local bytes, second = read_all(ws)
        assert.same({ "\0\xff", "binary", true }, { bytes, second.kind, second.complete })
        assert.equal("", (read_all(ws)))
      end)
    end)

    it("inflates what is compressed", function()
      play({ compression = true }, function(ws, p, side)
        local long = ("The same words come again. "):rep(10000)
        for _ = 1, 2 do
          local payload = deflate.compressor()(long)
          p:send(side.frame { opcode = 1, rsv = 4, fin = false, payload = payload:sub(1, 100) }
            .. side.frame { opcode = 0, payload = payload:sub(101) } .. side.text "plain")
          local bytes, reader = read_all(ws)
          assert.is_true(bytes == long and reader.complete)
          assert.equal("plain", ws:receive())
        end
      end)
    end)

    it("finds text that is not UTF-8 across fragments", function()
      for rest, why in pairs {
        ["\xff"] = "a text message is not valid UTF-8", [""] = "a text message ends inside a UTF-8 character",
      } do
        play({}, function(ws, p, side, told)
          p:send(begin(side, "a\xe2\x82") .. side.frame { opcode = 0, payload = rest })
          local reader = ws:reader()
          assert.equal("a\xe2\x82", reader:read())
          moonsocket.go(leave, p, side)
          assert.same({ nil, "closed", 1007, why }, { reader:read() })
          assert.equal(1007, told().code)
          assert.is_false(reader.complete)
        end)
      end
    end)

    it("takes more than max_message, unless it has a limit of its own", function()
      play({ max_message = 10 }, function(ws, p, side, told)
        p:send(begin(side, ("x"):rep(100), 2) .. side.frame { opcode = 0, payload = "" })
        assert.equal(100, #read_all(ws))
        p:send(side.text(("x"):rep(51)))
        local reader = ws:reader(nil, 50)
        moonsocket.go(leave, p, side)
        assert.same({ nil, "closed", 1009, "message of 51 bytes is over the limit of 50" }, { reader:read() })
        assert.equal("local", told().by)
      end)
    end)

    it("ends with the connection, and says how, in the middle of a message", function()
      for code, act in pairs {
        [4000] = function(p, side)
          p:send(side.close(4000, "enough"))
          p:read_all()
          p:drop()
        end,
        [1006] = function(p) p:reset() end,
      } do
        play({}, function(ws, p, side, told)
          p:send(begin(side, "half a"))
          local reader = ws:reader()
          assert.equal("half a", reader:read())
          moonsocket.go(act, p, side)
          local result = table.pack(reader:read())
          assert.same({ n = 4, nil, "closed", code, told().reason }, result)
          assert.same(result, table.pack(reader:read(0)))
          assert.is_false(reader.complete)
          assert.same(result, table.pack(ws:reader()))
        end)
      end
    end)

    it("passes over what is left of a message where the next one is asked for, or it is closed or collected", function()
      local ways = {
        function(ws) return ws:receive() end,
        function(ws) return (read_all(ws)) end,
        function(ws, reader)
          reader:close()
          return ws:receive()
        end,
        function(ws, reader)
          do local left <close> = reader end -- luacheck: ignore 211
          return (read_all(ws))
        end,
        function(ws)
          return (ws:messages()(ws))
        end,
      }
      for _, next_of in ipairs(ways) do
        play({}, function(ws, p, side)
          p:send(begin(side, "half a"))
          local reader = ws:reader()
          assert.equal("half a", reader:read())
          p:send(side.ping "seen" .. begin(side, " message", 0) .. side.frame { opcode = 0 }
            .. side.text "next")
          assert.equal("pong seen", p.describe(p:read_frame())) -- so the rest has come, too, and is held
          assert.equal("next", next_of(ws, reader))
          assert.has_error(function() reader:read() end, "read: the rest of this message has been passed over: the "
            .. "reader was closed, or the next message was asked for")
        end)
      end
    end)
  end)
end

describe("a reader", function()
  it("that is collected lets the rest of its message pass", function()
    roles.server({}, function(ws, p, side)
      p:send(begin(side, "half a") .. side.frame { opcode = 0 } .. side.text "next")
      assert.equal("half a", ws:reader():read())
      collectgarbage()
      collectgarbage()
      p:send(side.ping "seen")
      assert.equal("next", ws:receive())
      assert.equal("pong seen", p.describe(p:read_frame()))
    end)
  end)

  it("that was never read from lets its whole message pass", function()
    roles.server({}, function(ws, p, side)
      p:send(begin(side, "half a") .. side.frame { opcode = 0 } .. side.text "next")
      assert.equal("text", ws:reader().kind)
      assert.equal("next", ws:receive())
    end)
  end)

  it("is not in the way of the peer's Close where nobody wants messages any more", function()
    roles.server({}, function(ws, p, side, told)
      p:send(begin(side, "half a"))
      local reader = ws:reader()
      assert.equal("half a", reader:read())
      core.discard(ws)
      p:send(begin(side, " message", 0) .. side.close(4000))
      p:read_all()
      p:drop()
      assert.equal(4000, told().code)
      assert.is_false(reader.complete)
    end)
  end)

  it("keeps what it has not read, in a table of callbacks without one for messages, too", function()
    local first, rest, go_on
    scene.play({ table = { open = function(ws)
      local reader = ws:reader()
      first = reader:read()
      scene.await("the rest", function() return go_on end)
      rest = reader:read()
      reader:close()
    end } }, function(s)
      local p = s:open()
      p:send(begin(peer, "half a"))
      scene.await("the first part", function() return first end)
      p:send(peer.ping "seen" .. peer.frame { opcode = 0, payload = " message" })
      assert.equal("pong seen", p.describe(p:read_frame()))
      go_on = true
      scene.await("the rest", function() return rest end)
      assert.same({ "half a", " message" }, { first, rest })
      p:drop()
    end)
  end)

  it("does not read what is not asked for", function()
    roles.server({}, function(ws, p, side)
      local payload = ("x"):rep(1 << 24)
      local sent = false
      moonsocket.go(function()
        p:send(side.frame { opcode = 2, payload = payload })
        sent = true
      end)
      local reader = ws:reader()
      assert.is_truthy(reader:read())
      moonsocket.sleep(0.02)
      assert.is_false(sent)
      local n = 0
      for bytes in reader do n = n + #bytes end
      assert.is_true(n > 1 << 23 and reader.complete)
      scene.await("the peer", function() return sent end)
    end)
  end)

  it("goes on with a message that receive has begun to wait for", function()
    roles.server({}, function(ws, p, side)
      p:send(begin(side, "one "))
      assert.same({ nil, "timeout" }, { ws:receive(0.02) })
      local reader = ws:reader()
      assert.equal("text", reader.kind)
      p:send(side.frame { opcode = 0, payload = "two" })
      local parts = {}
      for bytes in reader do parts[#parts + 1] = bytes end
      assert.equal("one two", table.concat(parts))
    end)
  end)

  it("waits for a message no longer than it was told", function()
    roles.server({}, function(ws, p, side)
      assert.same({ nil, "timeout" }, { ws:reader(0) })
      assert.same({ nil, "timeout" }, { ws:reader(0.002) })
      p:send(side.text "late")
      assert.equal("late", (read_all(ws)))
    end)
  end)

  it("tells what follows the peer's last message, though the peer shut down writing", function()
    roles.server({}, function(ws, p, side, told)
      p:send(side.text "question")
      p:fin()
      moonsocket.go(function()
        local question = read_all(ws)
        moonsocket.sleep(0.01)
        ws:send(question .. " answered")
      end)
      assert.equal("question answered", p:read_frame().payload)
      p:drop()
      assert.equal(1006, told().code)
    end)
  end)

  it("and on_message exclude each other", function()
    roles.server({}, function(ws, p, side)
      p:send(begin(side, "half a"))
      local got
      local reader = ws:reader()
      moonsocket.go(function()
        assert.has_error(function() ws:on_message(print) end,
          "on_message and receive exclude each other: a task is in receive")
        assert.has_error(function() ws:reader() end,
          "another task is in receive already: a message can have one receiver only")
        assert.has_error(function() reader:close() end, "close: another task is in read")
        p:send(begin(side, " message", 0))
      end)
      assert.equal("half a", reader:read())
      assert.equal(" message", reader:read())
      ws:on_message(function(message) got = message end)
      assert.has_error(function() ws:reader() end,
        "reader and on_message exclude each other: on_message is set, so messages go there")
      p:send(side.frame { opcode = 0, payload = "." } .. side.text "whole")
      scene.await("the message", function() return got end)
      assert.equal("whole", got)
    end)
  end)

  it("refuses what is no time, nor a limit", function()
    roles.server({}, function(ws, p, side)
      assert.has_error(function() ws:reader "x" end, "bad argument #1 to 'reader' (number expected, got string)")
      assert.has_error(function() ws:reader(1, 0) end, "bad argument #2 to 'reader' (bytes expected, 1 or more)")
      p:send(side.text "x")
      local reader = ws:reader()
      assert.has_error(function() reader:read(-1) end, "bad argument #1 to 'read' (seconds expected, 0 or more)")
      assert.is_nil(reader.other)
    end)
  end)

  it("works at top level", function()
    local server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
      local writer <close> = ws:writer "binary"
      for _ = 1, 4 do writer:write(("x"):rep(1 << 20)) end
      writer:close()
      ws:wait_closed()
    end))
    local ws = assert(moonsocket.connect("ws://127.0.0.1:" .. server.port))
    assert.equal(1 << 22, #read_all(ws))
    ws:close()
    assert.equal(1000, ws:wait_closed())
    server:shutdown()
  end)
end)
