-- What limits an opening handshake: the number of connections, the size of the head, and time.
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

describe("max_connections", function()
  it("refuses one more with 503 until a place is free again", function()
    scene.play({ max_connections = 2 }, function(s)
      local first = s:open()
      s:open()
      for _ = 1, 2 do
        local response = s:refusal(peer.request())
        assert.equal(503, response.status)
        assert.matches("all the connections it may have", response.body)
      end
      first:send(peer.close(1000))
      assert.same({ "close 1000" }, s:outcome(first, 1).wire)
      s:open()
      assert.equal(503, s:refusal(peer.request()).status)
      s.await("the books", function() return s.server:stats().refused[503] == 3 end)
      assert.same({ 3, 2 }, { s.server:stats().opened, s.server.count })
    end)
  end)

  it("counts a connection until its end, the closing handshake included", function()
    scene.play({ max_connections = 1, handler = function(ws) ws:close(1000) end }, function(s)
      local p = s:open()
      assert.equal("close 1000", peer.describe(p:read_frame()))
      assert.equal(503, s:refusal(peer.request()).status)
      p:send(peer.close(1000))
      s:outcome(p)
      s:open()
    end)
  end)

  it("counts neither those who only ask nor those who are refused", function()
    scene.play({ max_connections = 1 }, function(s)
      for _ = 1, 3 do s:connect():send("GET / HTTP/1.1\r\n") end
      local refused = s:connect()
      refused:send(peer.request("Host: again\r\n"))
      assert.equal(400, refused:read_response().status)
      s:open()
    end)
  end)

  it("is kept where authorize waits: the place may have gone meanwhile", function()
    local asked, go_on = 0, false
    local function authorize()
      asked = asked + 1
      scene.await("the spec", function() return go_on end)
      return true
    end
    scene.play({ max_connections = 2, authorize = authorize }, function(s)
      local peers, statuses = {}, {}
      for i = 1, 5 do
        peers[i] = s:connect()
        peers[i]:send(peer.request())
      end
      s.await("all handshakes", function() return asked == 5 end)
      go_on = true
      for i, p in ipairs(peers) do statuses[i] = p:read_response().status end
      table.sort(statuses)
      assert.same({ 101, 101, 503, 503, 503 }, statuses)
      assert.equal(2, s.server.count)
    end)
  end)
end)

describe("max_head", function()
  -- A handshake of so many bytes.
  local function sized(bytes)
    local padding = bytes - #peer.request("X-Padding: \r\n")
    return peer.request("X-Padding: " .. ("x"):rep(padding) .. "\r\n")
  end

  for _, limit in ipairs { 256, 8192 } do
    it(("lets a head of %d bytes in, and not one of a byte more"):format(limit), function()
      scene.play({ max_head = limit }, function(s)
        local p = s:connect()
        p:send(sized(limit))
        assert.equal(101, p:read_response().status)
        p:send(peer.text("hello"))
        assert.equal("text hello", peer.describe(assert(p:read_frame())))
        local response = s:refusal(sized(limit + 1))
        assert.equal(431, response.status)
        assert.matches("too large", response.body)
      end)
    end)
  end

  it("is 8 KiB unless told otherwise", function()
    scene.play({}, function(s)
      local p = s:connect()
      p:send(sized(8192))
      assert.equal(101, p:read_response().status)
      assert.equal(431, s:refusal(sized(8193)).status)
    end)
  end)

  it("does not count what follows the head", function()
    scene.play({ max_head = 256 }, function(s)
      local p = s:connect()
      p:send(sized(256) .. peer.text(("x"):rep(1000)))
      assert.equal(101, p:read_response().status)
      assert.equal(1000, #assert(p:read_frame()).payload)
    end)
  end)

  it("refuses a head that does not end as soon as it is over the limit", function()
    scene.play({ max_head = 1000 }, function(s)
      local p = s:connect()
      p:send("GET /" .. ("x"):rep(994))
      moonsocket.sleep(0.002)
      p:send("x")
      assert.equal(431, p:read_response().status)
      assert.same({ "", "fin" }, { p:read_rest() })
    end)
  end)

  it("goes with a limit of 64 headers", function()
    scene.play({}, function(s)
      local p = s:connect()
      p:send(peer.request(("X: y\r\n"):rep(59)))
      assert.equal(101, p:read_response().status)
      local response = s:refusal(peer.request(("X: y\r\n"):rep(60)))
      assert.equal(431, response.status)
      assert.matches("64 headers", response.body)
    end)
  end)
end)

describe("handshake_timeout", function()
  local function assert_late(p)
    local response = assert(p:read_response())
    assert.equal(408, response.status)
    assert.matches("took too long", response.body)
    assert.same({ "", "fin" }, { p:read_rest() })
  end

  it("ends the wait for a peer that sends nothing", function()
    scene.play({ handshake_timeout = 0.01 }, function(s) assert_late(s:connect()) end)
  end)

  it("ends the wait for the rest of a head", function()
    scene.play({ handshake_timeout = 0.01 }, function(s)
      local p = s:connect()
      p:send(peer.request():sub(1, -2))
      assert_late(p)
    end)
  end)

  it("is not put off by bytes that come", function()
    scene.play({ handshake_timeout = 0.02 }, function(s)
      local p = s:connect()
      p:send("GET / HTTP/1.1\r\nX: ")
      local ended = false
      moonsocket.go(function()
        while not ended do
          p:send("x")
          moonsocket.sleep(0.001)
        end
      end)
      local ok, wrong = pcall(assert_late, p)
      ended = true
      assert(ok, wrong)
      moonsocket.sleep(0.002)
    end)
  end)

  it("is over with the 101", function()
    scene.play({ handshake_timeout = 0.01 }, function(s)
      local p = s:open()
      moonsocket.sleep(0.03)
      p:send(peer.text("still there"))
      assert.equal("text still there", peer.describe(assert(p:read_frame())))
    end)
  end)

  it("is not what a refused peer's time is measured with: it may take 2 s to read the answer and leave", function()
    scene.play({ handshake_timeout = 0.01 }, function(s)
      local p = s:connect()
      p:send("nonsense\r\n")
      assert.equal(400, p:read_response().status)
      moonsocket.sleep(0.05)
      assert.is_nil(s.server:stats().refused[400])
      assert.same({ "", "fin" }, { p:read_rest() })
      s.await("the end of a peer that stays", function() return s.server:stats().refused[400] == 1 end)
    end)
  end)
end)
