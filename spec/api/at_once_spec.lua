-- Messages that come at once are told one by one all the same: what a callback does holds for the very next one.
local core = require "moonsocket.core"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

local function texts(...)
  local bytes = {}
  for i, text in ipairs { ... } do bytes[i] = peer.text(text) end
  return table.concat(bytes)
end

-- So many texts of that size, none like another.
local function different(count, size)
  local bytes = {}
  for i = 1, count do bytes[i] = peer.text(string.char(64 + i):rep(size)) end
  return table.concat(bytes)
end

-- Sends the bytes at once to a server of which act(ws, told) has set the callbacks. told: what they were told, in
-- order; at the end "closed" and the code. Then after(p, s, told), if given, else the peer's Close. Returns told.
local function at_once(bytes, act, after, options)
  local told, settings = {}, options or {}
  settings.handler = function(ws)
    act(ws, told)
  end
  scene.play(settings, function(s)
    s.on_close = function(_, code) told[#told + 1] = "closed " .. code end
    local p = s:open()
    p:send(bytes)
    if after then
      after(p, s, told)
    else
      p:send(peer.close(1000))
    end
    s:outcome(p)
  end)
  return told
end

-- The same with a callback table, and no record of the end.
local function at_once_to(table, bytes)
  scene.play({ table = table }, function(s)
    local p = s:open()
    p:send(bytes .. peer.close(1000))
    p:read_all()
    p:drop()
  end)
end

local function note(told)
  return function(message) told[#told + 1] = message end
end

describe("messages that come at once", function()
  it("are told in their order, with their kinds, by one coroutine", function()
    local coroutines = {}
    local told = at_once(texts "a" .. peer.binary "b" .. texts("", "d"), function(ws, told)
      ws:on_message(function(message, kind)
        told[#told + 1] = kind .. " " .. message
        coroutines[coroutine.running()] = true
      end)
    end)
    assert.same({ "text a", "binary b", "text ", "text d", "closed 1000" }, told)
    assert.is_not_nil(next(coroutines))
    assert.is_nil(next(coroutines, next(coroutines)))
  end)

  it("reach a table's callback, with ws", function()
    local told = {}
    at_once_to({ message = function(ws, message) told[#told + 1] = message .. ws.state end }, texts("a", "b", "c"))
    assert.same({ "aopen", "bopen", "copen" }, told)
  end)

  it("are told between the control frames and fragments that came with them", function()
    local bytes = texts "a" .. peer.ping "ping" .. texts("b", "c")
      .. peer.frame { opcode = 1, fin = false, payload = "d" } .. peer.pong "pong"
      .. peer.frame { opcode = 0, payload = "e" } .. texts "f" .. peer.close(1001) .. texts "never"
    local told = at_once(bytes, function(ws, told)
      ws:on_message(note(told))
      ws:on_ping(note(told))
      ws:on_pong(note(told))
      ws:on_closing(note(told))
    end, function() end)
    assert.same({ "a", "ping", "b", "c", "pong", "de", "f", 1001, "closed 1001" }, told)
  end)

  for name, row in pairs {
    ["no UTF-8"] = { 1007, peer.text "\xff" },
    ["over the limit"] = { 1009, peer.text(("x"):rep(101)) },
    ["not masked"] = { 1002, "\x81\x01x" },
    ["a continuation of nothing"] = { 1002, peer.frame { opcode = 0, payload = "x" } },
  } do
    it(("are told up to one that is %s"):format(name), function()
      local told = at_once(texts("a", "b") .. row[2] .. texts "never", function(ws, told)
        ws:on_message(note(told))
      end, function() end, { max_message = 100 })
      assert.same({ "a", "b", "closed " .. row[1] }, told)
    end)
  end

  it("wait for a callback that waits", function()
    local told = at_once(texts("a", "b", "c", "d"), function(ws, told)
      ws:on_message(function(message)
        told[#told + 1] = message
        if message == "b" then moonsocket.sleep(0.002) end
        told[#told + 1] = message:upper()
      end)
    end)
    assert.same({ "a", "A", "b", "B", "c", "C", "d", "D", "closed 1000" }, told)
  end)

  it("end with a callback that raises, which on_error is told of once", function()
    local function fails() error "oops" end
    local errors = {}
    local told = at_once(texts("a", "b", "c"), function(ws, told)
      ws:on_error(function(message, traceback) errors[#errors + 1] = { message, traceback } end)
      ws:on_message(function(message)
        told[#told + 1] = message
        ws:on_message(fails)
      end)
    end, function() end)
    assert.same({ "a", "closed 1011" }, told)
    assert.equal(1, #errors)
    assert.is_truthy(errors[1][1]:find("oops", 1, true))
    assert.is_truthy(errors[1][2]:find("at_once_spec.lua:" .. debug.getinfo(fails, "S").linedefined, 1, true))
  end)

  it("run no longer than max_rate allows", function()
    local told = at_once(texts("a", "b", "c"), function(ws, told)
      ws:on_message(note(told))
    end, function() end, { max_rate = { messages = 0.1, burst = 20, over = "close" } })
    assert.same({ "a", "b", "closed 1008" }, told)
  end)

  it("leave nothing on the stack that they are run on", function()
    local count, before, kib = 0, nil, 0
    local told = at_once(peer.text("x"):rep(20000), function(ws)
      ws:on_message(function()
        count = count + 1
        if count % 1000 ~= 1 then return end
        collectgarbage()
        before = before or collectgarbage "count"
        kib = math.max(kib, collectgarbage "count" - before)
      end)
    end)
    assert.same({ "closed 1000" }, told)
    assert.equal(20000, count)
    assert.is_true(kib < 20, kib) -- a slot is 16 bytes
  end)

  it("are collected one by one", function()
    local size, count, grown = 4096, 0, 0
    at_once(different(24, size), function(ws)
      local before
      ws:on_message(function()
        collectgarbage()
        before = before or collectgarbage "count"
        grown = math.max(grown, collectgarbage "count" - before)
        count = count + 1
      end)
    end)
    assert.equal(24, count)
    assert.is_true(grown < 3 * size / 1024, grown)
  end)

  it("are not all run under a hook that one of them set", function()
    local seen = 0
    local told = at_once(texts("a", "b", "c"), function(ws, told)
      ws:on_message(function(message)
        told[#told + 1] = message
        if message == "a" then debug.sethook(function() seen = seen + 1 end, "l") return end
        told[#told + 1] = tostring(debug.gethook())
      end)
    end)
    assert.same({ "a", "b", "nil", "c", "nil", "closed 1000" }, told)
  end)
end)

describe("the next message that came at the same time", function()
  local function after_first(act)
    return function(ws, told)
      ws:on_message(function(message)
        told[#told + 1] = message
        if message == "a" then act(ws, told) end
      end)
    end
  end

  it("comes before the answer to our Close", function()
    assert.same({ "a", "b", "closed 1000" }, at_once(texts("a", "b"), after_first(function(ws) ws:close() end)))
  end)

  it("does not come after terminate", function()
    local told = at_once(texts("a", "b"), after_first(function(ws) ws:terminate() end), function() end)
    assert.same({ "a", "closed 1006" }, told)
  end)

  it("does not come after pause, but after resume", function()
    local paused
    local told = at_once(texts("a", "b", "c"), after_first(function(ws)
      ws:pause()
      paused = ws
    end), function(p, s, told)
      s.await("the first", function() return paused end)
      moonsocket.sleep(0.002)
      assert.same({ "a" }, told)
      paused:resume()
      paused = nil
      s.await("the others", function() return told[#told] == "c" end)
      p:send(peer.close(1000))
    end)
    assert.same({ "a", "b", "c", "closed 1000" }, told)
  end)

  it("goes to the callback that is set now", function()
    local told = at_once(texts("a", "b", "c"), after_first(function(ws, told)
      ws:on_message(function(message) told[#told + 1] = "other " .. message end)
    end))
    assert.same({ "a", "other b", "other c", "closed 1000" }, told)
  end)

  it("waits for whoever receives, where there is no callback any more", function()
    local told = at_once(texts("a", "b", "c"), after_first(function(ws, told)
      ws:on_message(nil)
      moonsocket.go(function()
        for message in ws:messages() do told[#told + 1] = "received " .. message end
      end)
    end))
    assert.same({ "a", "received b", "received c", "closed 1000" }, told)
  end)

  it("falls to the table's callback, where ws has none of its own any more", function()
    local told = {}
    at_once_to({
      open = function(ws)
        ws:on_message(function(message)
          told[#told + 1] = message
          ws:on_message(nil)
        end)
      end,
      message = function(_, message) told[#told + 1] = "table " .. message end,
    }, texts("a", "b", "c"))
    assert.same({ "a", "table b", "table c" }, told)
  end)

  it("is thrown away, where nobody wants any", function()
    local told = at_once(texts("a", "b") .. peer.ping "p" .. texts "c", function(ws, told)
      ws:on_ping(note(told))
      ws:on_message(function(message)
        told[#told + 1] = message
        ws:on_message(nil)
        core.discard(ws)
      end)
    end)
    assert.same({ "a", "p", "closed 1000" }, told)
  end)
end)

describe("a task that receives what came at once", function()
  local function loop(act)
    return function(ws, told)
      for message, kind in ws:messages() do
        told[#told + 1] = kind .. " " .. message
        if act and message == "a" then act(ws, told) end
      end
      told[#told + 1] = "over"
    end
  end

  it("gets one after the other, and what is no message in its place", function()
    local bytes = texts("a", "b") .. peer.ping "ping" .. peer.binary "c" .. peer.frame { opcode = 1, fin = false }
      .. peer.ping "pong" .. peer.frame { opcode = 0, payload = "d" } .. texts "e" .. peer.close(1001) .. texts "never"
    local told = at_once(bytes, function(ws, told)
      ws:on_ping(note(told))
      loop()(ws, told)
    end, function() end)
    assert.same({ "text a", "text b", "ping", "binary c", "pong", "text d", "text e", "over", "closed 1001" }, told)
  end)

  it("gets what came with the handshake", function()
    local told = {}
    scene.play({ handler = function(ws) loop()(ws, told) end }, function(s)
      s:outcome(s:open(nil, texts("a", "b") .. peer.close(1000)))
    end)
    assert.same({ "text a", "text b", "over" }, told)
  end)

  it("may wait in between", function()
    local told = at_once(texts("a", "b", "c"), loop(function() moonsocket.sleep(0.002) end))
    assert.same({ "text a", "text b", "text c", "over", "closed 1000" }, told)
  end)

  it("may leave the others to a callback", function()
    local told = at_once(texts("a", "b", "c"), function(ws, told)
      told[1] = ws:receive()
      ws:on_message(note(told))
    end)
    assert.same({ "a", "b", "c", "closed 1000" }, told)
  end)

  it("may leave the others to nobody", function()
    local told = at_once(texts("a", "b"), function(ws, told) told[1] = ws:receive() end)
    assert.same({ "a", "closed 1000" }, told)
  end)

  it("may share them with another", function()
    local had = { first = 0, other = 0 }
    local told = at_once(texts("a", "b", "c", "d"), function(ws, told)
      local function receive_two(name)
        for _ = 1, 2 do
          told[#told + 1] = ws:receive()
          had[name] = had[name] + 1
          moonsocket.sleep(0.001)
        end
      end
      receive_two "first"
      moonsocket.go(receive_two, "other")
      ws:wait_closed()
    end)
    assert.same({ "a", "b", "c", "d", "closed 1000" }, told)
    assert.same({ first = 2, other = 2 }, had)
  end)

  it("gets no more after terminate", function()
    local told = at_once(texts("a", "b"), loop(function(ws) ws:terminate() end), function() end)
    assert.same({ "text a", "over", "closed 1006" }, told)
  end)

  it("gets no more while it is paused", function()
    local told = at_once(texts("a", "b"), loop(function(ws, told)
      ws:pause()
      assert(select(2, ws:receive(0.002)) == "timeout")
      told[#told + 1] = "nothing"
      ws:resume()
    end))
    assert.same({ "text a", "nothing", "text b", "over", "closed 1000" }, told)
  end)

  it("gets no more than max_rate allows", function()
    local told = at_once(texts("a", "b", "c"), loop(), function() end,
      { max_rate = { messages = 0.1, burst = 20, over = "close" } })
    assert.same({ "text a", "text b", "over", "closed 1008" }, told)
  end)

  it("is told of a message that breaks the protocol after those before it", function()
    local told = at_once(texts("a", "b") .. peer.text "\xff" .. texts "never", loop(), function() end)
    assert.same({ "text a", "text b", "over", "closed 1007" }, told)
  end)

  it("gets none that stands behind the peer's Close", function()
    local told = at_once(texts "a" .. peer.close(1001) .. texts "never", function(ws, told)
      ws:on_closing(function() told[#told + 1] = tostring(ws:receive(0.002)) end)
      told[#told + 1] = ws:receive()
      ws:wait_closed()
    end, function() end)
    assert.same({ "a", "nil", "closed 1001" }, told)
  end)

  it("leaves nothing of those that it has had", function()
    local grown, before = 0, nil
    at_once(different(24, 4096), function(ws)
      for _ in ws:messages() do
        collectgarbage()
        before = before or collectgarbage "count"
        grown = math.max(grown, collectgarbage "count" - before)
      end
    end)
    assert.is_true(grown < 12, grown)
  end)
end)
