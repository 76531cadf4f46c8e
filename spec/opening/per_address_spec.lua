-- max_connections_per_address: how many connections one address may have.
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

local function refused(s)
  local response = s:refusal(peer.request())
  assert.equal(429, response.status)
  assert.equal("this address has all the connections it may have", response.body:match "^[^\n]*")
end

for secure, theater in pairs { ["in the clear"] = scene, ["over TLS"] = scene.over_tls } do
  describe("max_connections_per_address " .. secure, function()
    it("refuses one more with 429 until one has ended", function()
      theater.play({ max_connections_per_address = 2 }, function(s)
        local first, second = s:open(), s:open()
        refused(s)
        refused(s)
        first:send(peer.close(1000))
        s:outcome(first, 1)
        s:open()
        refused(s)
        second:send(peer.text "still here")
        assert.equal("text still here", peer.describe(assert(second:read_frame())))
        s.await("the books", function() return s.server:stats().refused[429] == 3 end)
      end)
    end)

    it("counts those whose handshake is under way, until they leave or are refused", function()
      theater.play({ max_connections_per_address = 2 }, function(s)
        local silent, half = s:connect(), s:connect()
        half:send(peer.request():sub(1, -3))
        s.await("both", function()
          local p = s:connect()
          p:send(peer.request())
          local status = assert(p:read_response()).status
          p:reset()
          return status == 429
        end)
        half:send("\r\n")
        assert.equal(101, half:read_response().status)
        refused(s)
        silent:reset()
        s.await("the place", function() return s.server:stats().refused[0] end)
        s:open()
        refused(s)
      end)
    end)
  end)
end

describe("max_connections_per_address", function()
  it("counts each address for itself", function()
    scene.play({ address = 0, max_connections_per_address = 1 }, function(s)
      s:open()
      refused(s)
      local six = s:keep(peer.connect { host = "::1", port = s.server.port })
      six:send(peer.request())
      assert.equal(101, six:read_response().status)
      local another = s:keep(peer.connect { host = "::1", port = s.server.port })
      another:send(peer.request())
      assert.equal(429, another:read_response().status)
      refused(s)
    end)
  end)

  it("counts a connection that is refused for another reason, or by authorize, until its end", function()
    scene.play({ max_connections_per_address = 1, authorize = function(r) return r.path == "/" or 401 end }, function(s)
      local p = s:connect()
      p:send(peer.request(nil, "/no"))
      assert.equal(401, p:read_response().status)
      refused(s)
      p:drop()
      s.await("the end", function() return s.server:stats().refused[401] end)
      s:open()
    end)
  end)

  it("counts a connection while it is closing, and while authorize judges it", function()
    local go_on = false
    local function authorize()
      scene.await("the spec", function() return go_on end)
      return true
    end
    scene.play({ max_connections_per_address = 1, authorize = authorize, handler = function(ws) ws:close(1000) end },
      function(s)
        local p = s:connect()
        p:send(peer.request())
        s.await("its place", function() return s:refusal(peer.request()).status == 429 end)
        go_on = true
        assert.equal(101, p:read_response().status)
        assert.equal("close 1000", peer.describe(assert(p:read_frame())))
        refused(s)
        p:send(peer.close(1000))
        s:outcome(p)
        s:open():drop()
      end)
  end)

  it("does not count on_close that waits: the connection is over", function()
    local go_on = false
    scene.play({ max_connections_per_address = 1 }, function(s)
      s.on_close = function() s.await("the spec", function() return go_on end) end
      s:open():reset()
      s:ending(1)
      s:open()
      go_on = true
    end)
  end)

  it("answers HEAD without a body", function()
    scene.play({ max_connections_per_address = 1 }, function(s)
      s:open()
      local p = s:connect()
      p:send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
      assert.matches("^HTTP/1%.1 429 Too Many Requests\r\n", p:read_head())
      assert.same({ "", "fin" }, { p:read_rest() })
    end)
  end)

  it("is no matter of Unix sockets, which have no address", function()
    local path = os.tmpname()
    os.remove(path)
    scene.play({ address = "unix:" .. path, max_connections_per_address = 1 }, function(s)
      s:open()
      s:open()
      s:open()
      assert.equal(3, s.server.count)
    end)
  end)

  it("is no limit where it is 0, and each server's own", function()
    scene.play({ max_connections_per_address = 1 }, function(s)
      local other = assert(moonsocket.serve("127.0.0.1:0", scene.echo))
      s:open()
      for _ = 1, 3 do s:keep(peer.open { port = other.port }) end
      assert.equal(3, other.count)
      refused(s)
      for _, p in ipairs(s.peers) do p:drop() end
      other:shutdown()
    end)
  end)

  it("holds for many that come and go at once", function()
    scene.play({ max_connections_per_address = 10 }, function(s)
      for _ = 1, 5 do
        local peers, statuses = {}, {}
        for i = 1, 30 do
          peers[i] = s:connect()
          peers[i]:send(peer.request())
        end
        for _, p in ipairs(peers) do
          local status = assert(p:read_response()).status
          statuses[status] = (statuses[status] or 0) + 1
        end
        assert.same({ [101] = 10, [429] = 20 }, statuses)
        for _, p in ipairs(peers) do p:reset() end
        s.await("all of them", function() return s.server.count == 0 end)
      end
    end)
  end)
end)
