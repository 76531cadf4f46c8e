-- ws:writer: a message in fragments (RFC 6455 section 5.4), what may pass it, what becomes of one not ended.
local deflate = require "deflate"
local moonsocket = require "moonsocket"
local roles = require "spec.support.roles"
local scene = require "spec.support.scene"

-- What came, joined: kind, payload, and how many frames that were.
local function read_message(p)
  local first = assert(p:read_frame())
  local frame, parts = first, {}
  while true do
    if frame.opcode < 8 then parts[#parts + 1] = frame.payload end
    if frame.fin and frame.opcode < 8 then return first, table.concat(parts), #parts end
    frame = assert(p:read_frame())
  end
end

-- Answers our Close frame, and reads up to the end of TCP.
local function answer_close(p, side)
  local frame = assert(p:read_frame())
  assert.equal("close", frame.name)
  p:send(side.close(frame.code))
  p:read_all()
  p:drop()
  return frame
end

for name, play in pairs(roles) do
  describe("a writer of a " .. name, function()
    it("sends what is written as fragments of one message", function()
      play({}, function(ws, p)
        local writer = ws:writer()
        assert.is_true(writer:write "one ")
        assert.is_true(writer:write "")
        assert.is_true(writer:write "two")
        assert.is_true(writer:close())
        local first, text, frames = read_message(p)
        assert.same({ "text", "one two", 3, false }, { first.name, text, frames, first.fin })
        assert.is_true(ws:send "next")
        assert.equal("next", p:read_frame().payload)
      end)
    end)

    it("sends an empty message where nothing was written", function()
      play({}, function(ws, p)
        assert.is_true(ws:writer("binary"):close())
        local frame = p:read_frame()
        assert.same({ "binary", true, "" }, { frame.name, frame.fin, frame.payload })
      end)
    end)

    it("compresses what it sends, with fragments of its own before and behind whole messages", function()
      play({ compression = true }, function(ws, p)
        local inflate = deflate.inflater()
        for round = 1, 3 do
          local writer = ws:writer()
          local long = ("round %d, "):format(round):rep(1000)
          writer:write(long)
          writer:write "x"
          writer:write(long)
          writer:close()
          local first, payload = read_message(p)
          assert.equal(4, first.rsv)
          assert.is_true(#payload < 1000)
          assert.equal(long .. "x" .. long, inflate(payload))
          ws:send(long)
          assert.equal(long, inflate(p:read_frame().payload))
        end
      end)
    end)

    it("leaves an empty message uncompressed", function()
      play({ compression = true }, function(ws, p)
        ws:writer():close()
        local frame = p:read_frame()
        assert.same({ 0, "", true }, { frame.rsv, frame.payload, frame.fin })
      end)
    end)

    it("lets control frames pass, and no other message", function()
      play({}, function(ws, p, side)
        local writer = ws:writer()
        writer:write "a"
        assert.same({ nil, "writing" }, { ws:send "no" })
        assert.same({ nil, "writing" }, { ws:writer() })
        ws:ping "mine"
        p:send(side.ping "yours")
        assert.equal("text unfinished a", p.describe(p:read_frame()))
        assert.equal("ping mine", p.describe(p:read_frame()))
        assert.equal("pong yours", p.describe(p:read_frame()))
        writer:close()
        assert.equal("continuation", p.describe(p:read_frame()))
        assert.is_true(ws:send "yes")
      end)
    end)

    it("fails the connection with 1011 where an error leaves it open", function()
      play({}, function(ws, p, side, told)
        assert.has_error(function()
          local writer <close> = ws:writer()
          writer:write "half a"
          error "a mistake"
        end)
        assert.equal("text unfinished half a", p.describe(p:read_frame()))
        local why = "an error came up inside a message that was being sent in fragments"
        assert.equal(why, answer_close(p, side).reason)
        local told_it = told()
        assert.same({ 1011, 1011, "local" }, { told_it.code, told_it.sent, told_it.by })
        assert.same({ nil, "closed", 1011 }, { ws:send "no" })
      end)
    end)

    it("fails the connection with 1011 where the collector finds it open", function()
      play({}, function(ws, p, side, told)
        ws:writer():write "half a"
        collectgarbage()
        collectgarbage()
        assert.equal("text unfinished half a", p.describe(p:read_frame()))
        assert.equal("a message that was being sent in fragments was never closed", answer_close(p, side).reason)
        assert.equal(1011, told().code)
      end)
    end)

    it("that was given up before anything was sent does no harm", function()
      play({}, function(ws, p)
        pcall(function()
          local writer <close> = ws:writer() -- luacheck: ignore 211
          error "a mistake"
        end)
        assert.is_truthy(ws:writer())
        collectgarbage()
        collectgarbage()
        assert.is_true(ws:send "whole")
        assert.equal("text whole", p.describe(p:read_frame()))
      end)
    end)

    it("is told where the connection ends in the middle", function()
      play({}, function(ws, p, side, told)
        local writer = ws:writer()
        writer:write "half a"
        p:send(side.close(4000, "enough"))
        p:read_all()
        p:drop()
        assert.same({ 4000, "enough", "peer" }, { told().code, told().reason, told().by })
        assert.same({ nil, "closed", 4000 }, { writer:write "more" })
        assert.same({ nil, "closed", 4000 }, { writer:close() })
        assert.has_error(function() writer:write "more" end, "write: the writer has been closed")
      end)
    end)
  end)
end

describe("a writer", function()
  -- Without TLS, whose peer keeps what it has not read, backpressure is the kernel's.
  for _, name in ipairs { "server", "client" } do
    it("waits while the output is full, in a " .. name, function()
      roles[name]({ max_buffered = 100000 }, function(ws, p)
        local piece, written, over = ("x"):rep(1 << 20), 0, false
        moonsocket.go(function()
          local writer <close> = ws:writer "binary"
          for _ = 1, 16 do
            assert(writer:write(piece))
            written = written + 1
          end
          over = true
        end)
        scene.await("output that is stuck", function() return ws.buffered > 0 end)
        moonsocket.sleep(0.01)
        assert.is_true(written < 16 and ws.buffered <= 100000)
        local _, payload = read_message(p)
        assert.is_true(over and payload == piece:rep(16))
      end)
    end)
  end

  it("that waits is told of the end of the connection", function()
    roles.server({}, function(ws, p, _, told)
      local result
      moonsocket.go(function()
        local writer = ws:writer "binary"
        result = table.pack(writer:write(("x"):rep(1 << 26)))
      end)
      scene.await("output that is stuck", function() return ws.buffered > 0 end)
      p:reset()
      assert.equal(1006, told().code)
      scene.await("the task", function() return result end)
      assert.same({ n = 3, nil, "closed", 1006 }, result)
    end)
  end)

  it("has one task in write at a time", function()
    roles.server({}, function(ws, p)
      local writer, done = ws:writer "binary", false
      moonsocket.go(function() done = writer:write(("x"):rep(1 << 24)) end)
      scene.await("output that is stuck", function() return ws.buffered > 0 end)
      assert.has_error(function() writer:write "y" end, "write: another task is in write")
      assert.has_error(function() writer:close() end, "close: another task is in write")
      moonsocket.go(function()
        scene.await("the write", function() return done end)
        writer:close()
      end)
      local _, payload = read_message(p)
      assert.equal(1 << 24, #payload)
    end)
  end)

  it("takes a text's characters apart, but no text that is not UTF-8", function()
    roles.server({}, function(ws, p)
      local writer = ws:writer()
      writer:write "\xe2"
      assert.has_error(function() writer:write "\xff" end,
        "bad argument #1 to 'write' (text is not valid UTF-8: write it as \"binary\")")
      writer:write "\x82\xac"
      writer:close()
      local _, text = read_message(p)
      assert.equal("\xe2\x82\xac", text)
    end)
  end)

  it("does not end a text inside a character", function()
    roles.server({}, function(ws, p, side, told)
      local writer = ws:writer()
      writer:write "\xe2"
      assert.has_error(function() writer:close() end, "close: the text ends inside a UTF-8 character")
      p:read_frame()
      answer_close(p, side)
      assert.equal(1011, told().code)
    end)
  end)

  it("is not ended by 1000: closed normally in the middle the connection says 1011", function()
    roles.server({}, function(ws, p, side, told)
      local writer = ws:writer()
      writer:write "half a"
      assert.is_true(ws:close())
      p:read_frame()
      assert.equal(1011, answer_close(p, side).code)
      assert.equal("closed inside a message that was being sent in fragments", told().reason)
      assert.is_truthy(writer)
    end)
  end)

  it("leaves other codes as they are", function()
    roles.server({}, function(ws, p, side, told)
      local writer = ws:writer()
      writer:write "half a"
      ws:close(4001, "enough")
      p:read_frame()
      answer_close(p, side)
      assert.equal(4001, told().code)
      assert.is_truthy(writer)
    end)
  end)

  it("refuses what is no kind, nor a string", function()
    roles.server({}, function(ws)
      assert.has_error(function() ws:writer "txt" end,
        "bad argument #1 to 'writer' (the kind of a message is \"text\" or \"binary\", not txt)")
      local writer = ws:writer()
      assert.has_error(function() writer:write {} end, "bad argument #1 to 'write' (string expected, got table)")
      writer:close()
      assert.is_true(writer:close())
    end)
  end)

  it("does not write in a coroutine of somebody else's", function()
    roles.server({}, function(ws)
      local writer = ws:writer()
      local ok, wrong = coroutine.resume(coroutine.create(function() writer:write "x" end))
      assert.is_false(ok)
      assert.is_truthy(wrong:find("write cannot wait in a coroutine that moonsocket did not start", 1, true), wrong)
      assert.is_true(writer:write "x")
      writer:close()
    end)
  end)

  it("works at top level", function()
    local got
    local server = assert(moonsocket.serve("127.0.0.1:0", function(ws) got = #ws:receive() end,
      { max_message = 1 << 24 }))
    local ws = assert(moonsocket.connect("ws://127.0.0.1:" .. server.port))
    local writer = ws:writer "binary"
    for _ = 1, 4 do assert.is_true(writer:write(("x"):rep(1 << 20))) end
    assert.is_true(writer:close())
    ws:wait_closed()
    assert.equal(1 << 22, got)
    server:shutdown()
  end)
end)
