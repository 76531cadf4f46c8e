-- receive, messages and wait_closed: what they return, how long they wait, and what ends the wait.
local moonsocket = require "moonsocket"
local scene = require "spec.support.scene"
local peer = require "spec.support.peer"

-- A connection for act(ws, p, s), which runs as a task while the handler stays out of the way.
local function with_connection(act, options)
  local settings = options or {}
  settings.handler = function(ws)
    ws:wait_closed()
  end
  scene.play(settings, function(s)
    local p = s:open()
    act(s.server:connections()[1], p, s)
    p:drop()
  end)
end

-- Runs fn as a task; returns a function that waits for its results.
local function start(fn, ...)
  local results
  moonsocket.go(function(...) results = table.pack(fn(...)) end, ...)
  return function()
    scene.await("the task", function() return results end)
    return results
  end
end

describe("receive", function()
  it("returns a message and its kind", function()
    with_connection(function(ws, p)
      p:send(peer.text "hi" .. peer.binary "\0\xff" .. peer.text "" .. peer.text "\xe2\x82\xac")
      assert.same({ n = 2, "hi", "text" }, table.pack(ws:receive()))
      assert.same({ n = 2, "\0\xff", "binary" }, table.pack(ws:receive()))
      assert.same({ n = 2, "", "text" }, table.pack(ws:receive()))
      assert.same({ n = 2, "\xe2\x82\xac", "text" }, table.pack(ws:receive()))
    end)
  end)

  it("puts fragments together", function()
    with_connection(function(ws, p)
      p:send(peer.frame { opcode = 2, payload = "a", fin = false } .. peer.ping "")
      p:send(peer.frame { opcode = 0, fin = false })
      local wait = start(ws.receive, ws)
      moonsocket.sleep(0.002)
      p:send(peer.frame { opcode = 0, payload = "b" })
      assert.same({ n = 2, "ab", "binary" }, wait())
    end)
  end)

  it("waits for as long as it takes", function()
    with_connection(function(ws, p)
      local wait = start(ws.receive, ws)
      moonsocket.sleep(0.005)
      p:send(peer.text "at last")
      assert.same({ n = 2, "at last", "text" }, wait())
    end)
  end)

  it("waits no longer than it was told, and the next message is for the next receive", function()
    with_connection(function(ws, p)
      assert.same({ n = 2, nil, "timeout" }, table.pack(ws:receive(0)))
      assert.same({ n = 2, nil, "timeout" }, table.pack(ws:receive(0.002)))
      p:send(peer.text "late")
      assert.same({ n = 2, "late", "text" }, table.pack(ws:receive(peer.TIMEOUT)))
      assert.same({ n = 2, nil, "timeout" }, table.pack(ws:receive(0.001)))
    end)
  end)

  it("with no time at all takes what has come", function()
    with_connection(function(ws, p)
      p:send(peer.text "one" .. peer.text "two")
      local got = {}
      scene.await("both", function()
        got[#got + 1] = (ws:receive(0))
        return #got == 2
      end)
      assert.same({ "one", "two" }, got)
    end)
  end)

  it("with endless time waits like one without", function()
    with_connection(function(ws, p)
      local wait = start(ws.receive, ws, math.huge)
      moonsocket.sleep(0.002)
      p:send(peer.text "hi")
      assert.same({ n = 2, "hi", "text" }, wait())
    end)
  end)

  it("returns nil, closed, code and reason at the end, after what came before it", function()
    with_connection(function(ws, p)
      p:send(peer.text "last words" .. peer.close(4000, "enough"))
      assert.same({ n = 2, "last words", "text" }, table.pack(ws:receive()))
      local wait = start(ws.receive, ws)
      p:read_all()
      p:drop()
      assert.same({ n = 4, nil, "closed", 4000, "enough" }, wait())
      assert.same({ n = 4, nil, "closed", 4000, "enough" }, table.pack(ws:receive()))
      assert.same({ n = 4, nil, "closed", 4000, "enough" }, table.pack(ws:receive(0)))
    end)
  end)

  it("is woken by an end of any kind", function()
    local ends = {
      { function(_, p) p:reset() end, 1006, "connection reset by peer" },
      { function(_, p) p:drop() end, 1006, "connection closed by the peer without a Close frame" },
      { function(ws) ws:terminate() end, 1006, "terminated" },
      { function(_, p) p:send(peer.frame { rsv = 4 }) p:read_all() p:drop() end, 1002 },
    }
    for _, ending in ipairs(ends) do
      with_connection(function(ws, p)
        local wait = start(ws.receive, ws)
        moonsocket.sleep(0)
        ending[1](ws, p)
        local results = wait()
        assert.same({ 4, nil, "closed", ending[2] }, { results.n, results[1], results[2], results[3] })
        if ending[3] then assert.equal(ending[3], results[4]) end
      end)
    end
  end)

  it("goes on after our own close, up to the peer's answer", function()
    with_connection(function(ws, p)
      local wait = start(ws.receive, ws)
      moonsocket.sleep(0)
      ws:close(4000)
      p:send(peer.text "crossed" .. peer.close(4000))
      assert.same({ n = 2, "crossed", "text" }, wait())
      p:read_all()
      p:drop()
      assert.same({ n = 4, nil, "closed", 4000, "" }, table.pack(ws:receive()))
    end)
  end)

  it("serves tasks that take turns", function()
    with_connection(function(ws, p)
      local order = {}
      for i = 1, 3 do
        local wait = start(ws.receive, ws)
        p:send(peer.text("message " .. i))
        order[i] = wait()[1]
      end
      assert.same({ "message 1", "message 2", "message 3" }, order)
    end)
  end)

  it("at top level runs the loop until it has something", function()
    local ws, p
    local server = assert(moonsocket.serve("127.0.0.1:0", function(it)
      ws = it
      it:wait_closed()
    end))
    moonsocket.go(function() p = peer.open(server) end)
    while not (ws and p) do moonsocket.step(0.01) end
    moonsocket.after(0.002, function() p:send(peer.text "to the top") end)
    assert.same({ n = 2, "to the top", "text" }, table.pack(ws:receive()))
    assert.same({ n = 2, nil, "timeout" }, table.pack(ws:receive(0.002)))
    moonsocket.after(0.002, function() p:drop() end)
    local got = {}
    for message in ws:messages() do got[#got + 1] = message end
    assert.same({}, got)
    assert.equal(1006, (ws:wait_closed()))
    server:shutdown()
  end)
end)

describe("messages", function()
  it("is a loop over messages and kinds that ends with the connection", function()
    local got = {}
    scene.play({
      handler = function(ws)
        for message, kind in ws:messages() do got[#got + 1] = kind .. " " .. message end
        got[#got + 1] = ws.close_code .. " " .. ws.close_reason
      end,
    }, function(s)
      local p = s:open()
      p:send(peer.text "" .. peer.text "a" .. peer.binary "b" .. peer.close(4000, "bye"))
      assert.equal(4000, s:outcome(p).code)
    end)
    assert.same({ "text ", "text a", "binary b", "4000 bye" }, got)
  end)

  it("can be left and taken up again", function()
    local got = {}
    scene.play({
      handler = function(ws)
        for message in ws:messages() do
          got[#got + 1] = message
          if message == "leave" then break end
        end
        got[#got + 1] = "between"
        for message in ws:messages() do got[#got + 1] = message end
      end,
    }, function(s)
      local p = s:open()
      p:send(peer.text "a" .. peer.text "leave" .. peer.text "b" .. peer.close(1000))
      s:outcome(p)
    end)
    assert.same({ "a", "leave", "between", "b" }, got)
  end)

  it("after the end ends at once", function()
    local count = 0
    scene.play({
      handler = function(ws)
        ws:wait_closed()
        for _ in ws:messages() do count = count + 1 end
        local iterate, state = ws:messages()
        assert.same({ n = 4, nil, "closed", 4000, "" }, table.pack(iterate(state)))
      end,
    }, function(s)
      local p = s:open()
      p:send(peer.close(4000))
      s:outcome(p)
    end)
    assert.equal(0, count)
  end)

  it("that a task left by an error is no longer in anybody's way", function()
    with_connection(function(ws, p)
      local wait = start(pcall, function()
        for message in ws:messages() do error(message, 0) end
      end)
      p:send(peer.text "oops")
      assert.same({ n = 2, false, "oops" }, wait())
      p:send(peer.text "next")
      assert.same({ n = 2, "next", "text" }, table.pack(ws:receive()))
    end)
  end)
end)

describe("wait_closed", function()
  it("returns what on_close is told, to all who wait", function()
    with_connection(function(ws, p)
      local waits = { start(ws.wait_closed, ws), start(ws.wait_closed, ws), start(ws.wait_closed, ws, peer.TIMEOUT) }
      moonsocket.sleep(0)
      p:send(peer.close(4000, "bye"))
      p:read_all()
      p:drop()
      for _, wait in ipairs(waits) do
        assert.same({ n = 3, 4000, "bye", { clean = true, by = "peer", sent = 4000, received = 4000 } }, wait())
      end
      assert.same({ n = 3, 4000, "bye", ws.close_info }, table.pack(ws:wait_closed()))
    end)
  end)

  it("waits no longer than it was told", function()
    with_connection(function(ws)
      assert.same({ n = 2, nil, "timeout" }, table.pack(ws:wait_closed(0)))
      assert.same({ n = 2, nil, "timeout" }, table.pack(ws:wait_closed(0.002)))
      assert.equal("open", ws.state)
    end)
  end)

  it("returns after on_close has been called", function()
    local order = {}
    scene.play({
      handler = function(ws)
        moonsocket.go(function()
          ws:wait_closed()
          order[#order + 1] = "wait_closed"
        end)
        ws:receive()
        order[#order + 1] = "receive"
      end,
    }, function(s)
      s.on_close = function() order[#order + 1] = "on_close" end
      local p = s:open()
      moonsocket.sleep(0.001)
      p:send(peer.close(1000))
      s:outcome(p)
      s.await("all", function() return #order == 3 end)
    end)
    assert.same({ "receive", "on_close", "wait_closed" }, order)
  end)
end)
