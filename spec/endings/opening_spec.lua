-- A peer that leaves in or right behind its request (a client's side of this is in spec/client/connect_spec.lua).
local peer = require "spec.support.peer"
local scene = require "spec.support.subject".scene

local REQUEST = peer.request()

local LEFT = {
  code = 1006, reason = "connection closed by the peer without a Close frame", clean = false, by = "network",
  wire = {}, tcp = "fin",
}
local RESET = {
  code = 1006, reason = "connection reset by peer", error = "Connection reset by peer", clean = false, by = "network",
}

describe("the end inside the opening handshake", function()
  local function count_as_gone(s, n)
    scene.await("the books", function() return s.server:stats().refused[0] == n end)
    local stats = s.server:stats()
    assert.same({ 0, 0, 0 }, { stats.opened, stats.open, s.server.count })
    assert.same({ {}, {} }, { stats.closed, stats.closed_by })
    assert.same({ [0] = n }, stats.refused)
    assert.same({}, s.records)
  end

  it("by FIN, after each byte of the request: no on_close", function()
    scene.play({}, function(s)
      for i = 0, #REQUEST - 1 do
        local p = s:connect()
        p:send(REQUEST:sub(1, i))
        p:fin()
        assert.same({ "", "fin" }, { p:read_rest() })
      end
      count_as_gone(s, #REQUEST)
    end)
  end)

  it("by RST, after each byte of the request: no on_close", function()
    scene.play({}, function(s)
      for i = 0, #REQUEST - 1 do
        local p = s:connect()
        p:send(REQUEST:sub(1, i))
        p:reset()
      end
      count_as_gone(s, #REQUEST)
    end)
  end)

  -- A server whose authorize waits until the spec lets it go on.
  local function judged(play)
    local asked, decided = false, false
    local function authorize()
      asked = true
      scene.await("a decision", function() return decided end)
      return true
    end
    scene.play({ authorize = authorize }, function(s)
      local p = s:connect()
      p:send(REQUEST)
      scene.await("authorize", function() return asked end)
      play(s, p, function() decided = true end)
    end)
  end

  it("by RST while authorize waits: noticed at once, whatever it decides", function()
    judged(function(s, p, decide)
      p:reset()
      count_as_gone(s, 1)
      decide()
      p = s:open()
      p:send(peer.text "still serving")
      assert.equal("still serving", p:read_frame().payload)
    end)
  end)

  it("by FIN while authorize waits: the connection opens, then ends", function()
    judged(function(s, p, decide)
      p:fin()
      decide()
      assert.truthy(p:read_head():find("^HTTP/1%.1 101 "))
      assert.same(LEFT, s:outcome(p))
    end)
  end)

  it("by FIN right behind the request", function()
    scene.play({}, function(s)
      local p = s:connect()
      p:send(REQUEST)
      p:fin()
      assert.truthy(p:read_head():find("^HTTP/1%.1 101 "))
      assert.same(LEFT, s:outcome(p))
    end)
  end)

  it("by RST right behind the request", function()
    scene.play({}, function(s)
      local p = s:connect()
      p:send(REQUEST)
      p:reset()
      assert.same(RESET, s:told())
    end)
  end)
end)
