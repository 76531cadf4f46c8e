-- server:on_close: told of the end of every connection of a server, beside the connection's own on_close.
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

-- A peer sends these bytes, and then the end of TCP.
local function leave(p, bytes)
  p:send(bytes)
  p:fin()
end

-- What the server's on_close is told, in a list: { id =, code =, reason =, info = }.
local function record(s)
  local told = {}
  s.server:on_close(function(ws, code, reason, info)
    told[#told + 1] = { id = ws.id, state = ws.state, code = code, reason = reason, info = info }
  end)
  return told
end

-- A peer opens a connection, the n-th, and closes it; returns how it ended.
local function come_and_go(s, n)
  local p = s:open()
  p:send(peer.close(1000))
  return s:outcome(p, n)
end

local function errors_of(s)
  local errors = {}
  s.server:on_error(function(message) errors[#errors + 1] = message end)
  return errors
end

describe("server:on_close", function()
  -- what the peer does, and the code that follows
  local ways = {
    ["a Close frame"] = { function(p) leave(p, peer.close(4000, "bye")) end, 4000 },
    ["a reset"] = { function(p) p:reset() end, 1006 },
    ["a broken frame"] = { function(p) leave(p, peer.frame { payload = "x", masked = false }) end, 1002 },
    ["an error in a callback"] = { function(p) leave(p, peer.text "raise") end, 1011 },
  }
  for what, way in pairs(ways) do
    it(("is told once, and the same as the connection's own, of %s"):format(what), function()
      local function handler(ws)
        ws:on_message(function() error "on purpose" end)
        ws:on_error(function() end)
      end
      scene.play({ handler = handler }, function(s)
        local told, p = record(s), s:open()
        way[1](p)
        local own = s:ending()
        s.await("the server's", function() return told[1] end)
        p:drop()
        s.server:shutdown()
        assert.equal(1, #told)
        assert.equal(way[2], told[1].code)
        assert.same({ id = own.id, state = "closed", code = own.code, reason = own.reason, info = own.info }, told[1])
        assert.is_false(rawequal(own.info, told[1].info)) -- what one does to it is not what the other sees
      end)
    end)
  end

  it("comes after the connection's own, and before those who wait for the end go on", function()
    local order = {}
    scene.play({ handler = function(ws)
      ws:on_message(function() end)
      moonsocket.go(function()
        ws:wait_closed()
        order[#order + 1] = "waited"
      end)
    end }, function(s)
      s.on_close = function() order[#order + 1] = "own" end
      s.server:on_close(function() order[#order + 1] = "server" end)
      come_and_go(s)
      s.await("all", function() return #order == 3 end)
      assert.same({ "own", "server", "waited" }, order)
    end)
  end)

  it("comes where the connection has none of its own, and for a callback table", function()
    local closed = 0
    local tables = { { message = function() end }, { close = function() closed = closed + 1 end } }
    for _, callbacks in ipairs(tables) do
      scene.play({ table = callbacks }, function(s)
        local told = record(s)
        s:open():reset()
        s.await("the server's", function() return told[1] end)
        assert.equal(1006, told[1].code)
      end)
    end
    assert.equal(1, closed)
  end)

  it("is told of those that authorize turned away with a code, which no other callback hears of", function()
    local called
    local function note() called = true end
    local callbacks = { open = note, close = note, message = note, error = note }
    scene.play({ table = callbacks, authorize = function() return nil, 4401, "token expired" end }, function(s)
      local told, p = record(s), s:open()
      assert.equal("close 4401 token expired", peer.describe(assert(p:read_frame())))
      leave(p, peer.close(4401))
      s.await("the server's", function() return told[1] end)
      assert.same({ 4401, "", "local" }, { told[1].code, told[1].reason, told[1].info.by })
      assert.equal(1, s.server:stats().closed[4401])
      assert.is_nil(called)
    end)
  end)

  it("is not told of a handshake that was refused, or whose peer left", function()
    scene.play({}, function(s)
      local told = record(s)
      s:refusal("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
      s:connect():reset()
      s.await("both", function() return s.server:stats().refused[0] end)
      s.server:shutdown()
      assert.same({}, told)
    end)
  end)

  it("is told of those that a shutdown ends, which waits for it", function()
    scene.play({}, function(s)
      local done = {}
      s.server:on_close(function(_, code)
        moonsocket.sleep(0.02)
        done[#done + 1] = code
      end)
      leave(s:open(), peer.close(1001)) -- the server's has gone out before it looks for these
      leave(s:open(), peer.close(1001))
      s.server:shutdown()
      assert.same({ 1001, 1001 }, done)
    end)
  end)

  it("does not wait for the connection's own, which may wait, nor hold it up", function()
    local go_on, own, server = false, 0, 0
    scene.play({}, function(s)
      s.on_close = function()
        s.await("the spec", function() return go_on end)
        own = own + 1
      end
      s.server:on_close(function()
        s.await("the spec", function() return go_on end)
        server = server + 1
      end)
      come_and_go(s)
      collectgarbage()
      assert.same({ 0, 0 }, { own, server })
      go_on = true
      s.await("both", function() return own + server == 2 end)
      assert.same({ 1, 1 }, { own, server })
    end)
  end)

  it("that raises is told to the server's on_error, and hinders nobody", function()
    scene.play({ handler = function(ws)
      ws:on_message(function() end)
      ws:on_error(function() error "not ws's matter" end)
    end }, function(s)
      local errors = errors_of(s)
      s.server:on_close(function(ws) error("no " .. ws.id, 0) end)
      local first, second = s:open(), s:open()
      first:send(peer.close(1000))
      second:send(peer.close(4000))
      assert.equal(1000, s:outcome(first, 1).code)
      assert.equal(4000, s:outcome(second, 2).code)
      s.await("both errors", function() return #errors == 2 end)
      local expected = { "no " .. s.records[1].id, "no " .. s.records[2].id }
      table.sort(errors)
      table.sort(expected)
      assert.same(expected, errors)
    end)
  end)

  it("is called where the connection's own raises", function()
    scene.play({ handler = function(ws)
      ws:on_message(function() end)
      ws:on_error(function() end)
    end }, function(s)
      s.on_close = function() error "own" end
      local told, p = record(s), s:open()
      p:send(peer.close(4000))
      s:outcome(p)
      s.await("the server's", function() return told[1] end)
      assert.equal(4000, told[1].code)
    end)
  end)

  it("is one function: setting another, or nil, returns the one before", function()
    scene.play({}, function(s)
      local calls = {}
      local function first() calls[#calls + 1] = "first" end
      local function second() calls[#calls + 1] = "second" end
      assert.is_nil(s.server:on_close(first))
      assert.equal(first, s.server:on_close(second))
      come_and_go(s)
      s.await("it", function() return calls[1] end)
      assert.equal(second, s.server:on_close(nil))
      assert.is_nil(s.server:on_close(nil))
      come_and_go(s, 2)
      s.server:shutdown()
      assert.same({ "second" }, calls)
      for _, wrong in ipairs { "print", {}, 1 } do
        assert.has_error(function() s.server:on_close(wrong) end)
      end
      assert.has_error(function() s.server.on_close = print end, "on_close is a method: server:on_close(fn)")
    end)
  end)

  it("may be taken away by the connection's own, and by itself", function()
    scene.play({}, function(s)
      local calls = 0
      local function once()
        calls = calls + 1
        s.server:on_close(nil)
        collectgarbage()
      end
      s.server:on_close(once)
      s:open():reset()
      s:open():reset()
      s:ending(1)
      s:ending(2)
      s.server:shutdown()
      assert.equal(1, calls)
    end)
  end)

  it("has a ws that is whole, and collected afterwards", function()
    scene.play({}, function(s)
      local paths = {}
      s.server:on_close(function(ws, code)
        collectgarbage()
        paths[#paths + 1] = ("%s %d %s"):format(ws.request.path, code, ws:send("late"))
      end)
      come_and_go(s)
      s.await("it", function() return paths[1] end)
      assert.same({ "/ 1000 nil" }, paths)
      s.server:on_close(nil) -- the scene sees to it that no ws is left
    end)
  end)
end)
