local moonsocket = require "moonsocket"
local subject = require "spec.support.subject"

local scene, peer = subject.scene, subject.peer

-- The peer sends a message and shuts down writing at once: it still reads, and the answer is owed to it.
local function half_closes(handler)
  scene.play({ handler = handler }, function(s)
    local p = s:open()
    p:send(peer.text("question"))
    p:fin()
    local frames, how = p:read_all()
    assert.same({ 1, "answer", "fin" }, { #frames, frames[1] and frames[1].payload, how })
    local ending = s:ending()
    assert.same({ 1006, "connection closed by the peer without a Close frame" }, { ending.code, ending.reason })
    assert.same({ clean = false, by = "network" }, ending.info)
  end)
end

describe("a FIN behind a message lets the answer out first", function()
  it("of on_message", function()
    half_closes(function(ws)
      ws:on_message(function() ws:send("answer") end)
    end)
  end)

  it("of on_message that waits", function()
    half_closes(function(ws)
      ws:on_message(function()
        moonsocket.sleep(0.02)
        ws:send("answer")
      end)
    end)
  end)

  it("of a plain loop that waits", function()
    half_closes(function(ws)
      for _ in ws:messages() do
        moonsocket.sleep(0.02)
        ws:send("answer")
      end
    end)
  end)

  it("of a task of its own that receives once", function()
    half_closes(function(ws)
      moonsocket.go(function()
        ws:receive()
        moonsocket.sleep(0.02)
        ws:send("answer")
      end)
      ws:wait_closed()
    end)
  end)
end)

describe("a FIN ends a connection at once", function()
  it("while its handler waits for something else and has taken no message", function()
    local over = false
    scene.play({ handler = function(ws)
      while not over do moonsocket.sleep(0.001) end
      return ws
    end }, function(s)
      local p = s:open()
      p:fin()
      assert.equal(1006, s:ending().code)
      over = true
    end)
  end)

  it("while a task works on a message, once that closes the connection itself", function()
    scene.play({ handler = function(ws)
      ws:receive()
      moonsocket.sleep(0.02)
      ws:close(4000)
      moonsocket.sleep(0.02)
    end }, function(s)
      local p = s:open()
      p:send(peer.text("question"))
      p:fin()
      local frames, how = p:read_all()
      assert.same({ 4000, "fin" }, { frames[1].code, how })
      local ending = s:ending()
      assert.same({ 1006, "local", 4000 }, { ending.code, ending.info.by, ending.info.sent })
    end)
  end)

  it("once a task that took a message waits for the end", function()
    scene.play({ handler = function(ws)
      ws:receive()
      ws:wait_closed()
    end }, function(s)
      local p = s:open()
      p:send(peer.text("hello"))
      p:fin()
      assert.equal("connection closed by the peer without a Close frame", s:ending().reason)
    end)
  end)

  it("after close_timeout, though a task that took a message never comes back", function()
    scene.play({ close_timeout = 0.05, ping_interval = 0, handler = function(ws)
      ws:receive()
      while ws.state ~= "closed" do moonsocket.sleep(0.005) end
    end }, function(s)
      local p = s:open()
      p:send(peer.text("hello"))
      p:fin()
      assert.equal("connection closed by the peer without a Close frame", s:ending().reason)
    end)
  end)
end)
