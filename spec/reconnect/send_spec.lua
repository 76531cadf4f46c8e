-- client:send: what becomes of a message with and without a connection.
local moonsocket = require "moonsocket"
local raw_server = require "spec.support.raw_server"
local scene = require "spec.support.reconnect_scene"

local function expect(connection, ...)
  for _, wanted in ipairs { ... } do assert.equal(wanted, raw_server.describe(connection:read_frame())) end
end

describe("send while the connection is open", function()
  it("is ws:send", function()
    scene.play(function(s)
      local client = s:start()
      local connection = s:admit(client)
      local ours, theirs = { client:send "one" }, { client.ws:send "one" }
      assert.same({ true, theirs[2] / 2 }, ours) -- two frames of the same size wait for the end of the turn
      client:send("two", "binary")
      expect(connection, "text one", "text one", "binary two")
    end)
  end)

  it("tells of an overflow, and queues nothing", function()
    scene.play(function(s)
      local client = s:start { queue = 10, max_buffered = 10, on_overflow = "drop" }
      local connection = s:admit(client)
      client:send "one"
      client.ws:pause()
      local sent, why
      repeat
        sent, why = client:send(("x"):rep(1 << 20))
        assert.not_equal("queued", why)
      until not sent
      assert.equal("overflow", why)
      connection:drop()
    end)
  end)
end)

describe("send while there is no connection", function()
  it("is refused", function()
    scene.play(function(s)
      local client, log = s:start()
      assert.same({ nil, "down" }, { client:send "x" })
      s:admit(client):drop()
      s:down(log, 1)
      assert.same({ nil, "down" }, { client:send "x" })
    end)
  end)

  it("is refused where the connection is closing", function()
    scene.play(function(s)
      local client = s:start()
      local connection = s:admit(client)
      client.ws:close(4000)
      assert.same({ nil, "down" }, { client:send "x" })
      s:shake(connection)
    end)
  end)

  it("queues up to the bound, in order, behind what on_open sends", function()
    scene.play(function(s)
      local client
      client = s:start { queue = 3, on_open = function(ws)
        ws:send "first of all"
        client:send "four"
      end }
      assert.same({ true, "queued" }, { client:send "one" })
      assert.same({ true, "queued" }, { client:send("two", "binary") })
      local attempt = s.server:accept()
      attempt:read_request()
      assert.same({ true, "queued" }, { client:send "three" })
      assert.same({ nil, "overflow" }, { client:send "too many" })
      attempt:drop()
      local connection = s.server:accept()
      connection:upgrade()
      expect(connection, "text first of all", "text one", "binary two", "text three")
      client:send "five"
      expect(connection, "text five")
      connection:drop()
    end)
  end)

  it("has room again for what has been sent", function()
    scene.play(function(s)
      local client = s:start { queue = 1 }
      for _ = 1, 3 do
        assert.same({ true, "queued" }, { client:send "x" })
        assert.same({ nil, "overflow" }, { client:send "y" })
        local connection = s:admit(client)
        expect(connection, "text x")
        connection:drop()
        s.await("its end", function() return not client.ws end)
      end
    end)
  end)

  it("waits for the next connection where this one is closing", function()
    scene.play(function(s)
      local client = s:start { queue = 1 }
      local connection = s:admit(client)
      client.ws:close(4000)
      assert.same({ true, "queued" }, { client:send "later" })
      s:shake(connection)
      expect(s:admit(client), "text later")
    end)
  end)

  it("goes behind what is queued, though the connection is open", function()
    scene.play(function(s)
      local client, sent
      client = s:start { queue = 2, on_open = function() sent = { client:send "two" } end }
      client:send "one"
      expect(s:admit(client), "text one", "text two")
      assert.same({ true, "queued" }, sent)
    end)
  end)

  it("goes on with the next connection where one has ended in the middle of the queue", function()
    scene.play(function(s)
      local size, n = 1 << 22, 4 -- the sockets hold one or two of them
      local client = s:start { queue = n, on_open = function() end }
      for i = 1, n do client:send(tostring(i):rep(size)) end
      local connection = s:admit(client)
      assert.equal("1", connection:read_frame().payload:sub(1, 1))
      connection:drop()
      s.await("its end", function() return not client.ws end)
      connection = s:admit(client)
      local got = ""
      repeat got = got .. connection:read_frame().payload:sub(1, 1) until got:sub(-1) == tostring(n)
      assert.equal(("234"):sub(-#got), got)
    end)
  end)

  it("never overflows a connection", function()
    scene.play(function(s)
      local n = 20
      local client, log = s:start { queue = n, max_buffered = 100000 }
      for i = 1, n do assert.is_true((client:send(("x"):rep(1000000 - i)))) end
      local connection = s:admit(client)
      for i = 1, n do assert.equal(1000000 - i, #connection:read_frame().payload) end
      assert.same({ 1, 0 }, { #log.attempts, #log.downs })
    end)
  end)

  it("is checked as ws:send checks it", function()
    scene.play(function(s)
      local client = s:start { queue = 1 }
      for _, case in ipairs {
        { "a string expected, got table", {} }, { "a string expected, got nil" },
        { 'the kind of a message is "text" or "binary", not true', "x", true },
        { 'text is not valid UTF-8: send it as "binary"', "\xff" },
        { 'text is not valid UTF-8: send it as "binary"', "\xed\xa0\x80", "text" },
      } do
        local ok, wrong = pcall(function() client:send(case[2], case[3]) end)
        assert.is_false(ok)
        assert.matches("send_spec.lua:%d+: send: ", wrong)
        assert.is_truthy(wrong:find(case[1], 1, true), wrong)
      end
      assert.same({ true, "queued" }, { client:send("\xff", "binary") })
      expect(s:admit(client), "binary \xff")
    end)
  end)

  it("is a number too, as everywhere in Lua", function()
    scene.play(function(s)
      local client = s:start { queue = 1 }
      client:send(42)
      expect(s:admit(client), "text 42")
    end)
  end)
end)

it("messages of a stopped client are refused", function()
  local client = moonsocket.reconnect("ws://127.0.0.1:1/", { queue = 1 })
  client:send "x"
  client:stop()
  assert.same({ nil, "stopped" }, { client:send "y" })
end)
