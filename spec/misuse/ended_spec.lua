-- A connection that is over: each method answers nil, "closed" and the code, and none raises, whatever it is given.
local moonsocket = require "moonsocket"
local scene = require "spec.support.scene"
local peer = require "spec.support.peer"

-- Every kind of argument there is, and too many of them.
local function arguments()
  return {
    {}, { nil }, { true }, { 42 }, { -1.5 }, { 0 / 0 }, { "text" }, { "\xff" }, { ("x"):rep(200) }, { {} },
    { print }, { coroutine.create(print) }, { io.stdout }, { "text", true }, { "text", "txt" }, { 1006, "\xff", print },
    { 1, 2, 3, 4, 5 },
  }
end

-- What every method returns after an end with 4000 "enough".
local function answers(ws)
  local function of(name, values)
    local wanted = { n = 3, nil, "closed", 4000 }
    if name == "receive" or name == "reader" or name == "receive_json" then
      wanted = { n = 4, nil, "closed", 4000, "enough" }
    end
    if name == "wait_closed" then wanted = { n = 3, 4000, "enough", ws.close_info } end
    assert.same(wanted, table.pack(ws[name](ws, table.unpack(values))), name)
  end
  for _, name in ipairs { "send", "close", "terminate", "drain", "pause", "resume", "ping", "receive", "reader",
    "writer", "send_json", "receive_json", "wait_closed",
    "on_message", "on_closing", "on_ping", "on_pong", "on_drain", "on_error",
    "subscribe", "unsubscribe" } do
    for _, values in ipairs(arguments()) do of(name, values) end
  end
  for _, values in ipairs(arguments()) do
    if type(values[1]) ~= "function" then of("on_close", values) end
    for message in ws:messages(table.unpack(values)) do error("a message after the end: " .. message) end
  end
end

local function close_by_peer(s)
  local p = s:open()
  p:send(peer.close(4000, "enough"))
  assert.equal("fin", (select(2, p:read_all())))
  p:drop()
end

describe("every method of a connection that is over", function()
  it("says so to a task that still holds it", function()
    scene.play({}, function(s)
      local ws
      s.on_close = function(closed) ws = closed end
      close_by_peer(s)
      s:ending()
      answers(ws)
      ws = nil -- luacheck: ignore
    end)
  end)

  it("says so in on_close", function()
    local checked = false
    scene.play({}, function(s)
      s.on_close = function(ws)
        answers(ws)
        checked = true
      end
      close_by_peer(s)
      s:ending()
    end)
    assert.is_true(checked)
  end)

  it("says so in the handler that is still at work", function()
    local checked = false
    scene.play({
      handler = function(ws)
        ws:receive()
        answers(ws)
        checked = true
      end,
    }, function(s)
      close_by_peer(s)
      s:ending()
    end)
    assert.is_true(checked)
  end)

  it("says so at top level, where it would have to run the loop", function()
    local server, kept
    server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
      kept = ws
      ws:on_message(function() end)
    end))
    moonsocket.go(function()
      close_by_peer { open = function() return peer.open(server) end }
    end)
    while not (kept and kept.close_code) do moonsocket.step(0.01) end
    answers(kept)
    server:shutdown()
  end)
end)

describe("a connection whose closing handshake has begun", function()
  it("takes nothing more, and says with which code", function()
    local results
    scene.play({
      close_timeout = 0.05,
      handler = function(ws)
        ws:on_message(function() end)
        ws:close(4001, "first")
        results = {}
        for _, name in ipairs { "send", "writer", "close", "drain", "pause", "resume", "ping", "subscribe",
          "unsubscribe" } do
          for _, values in ipairs(arguments()) do
            results[#results + 1] = table.pack(ws[name](ws, table.unpack(values)))
          end
        end
      end,
    }, function(s)
      local p = s:open()
      assert.same({ "close 4001 first" }, { peer.describe(p:read_frame()) })
      for _, result in ipairs(results) do assert.same({ n = 3, nil, "closed", 4001 }, result) end
      assert.equal(9 * #arguments(), #results)
      p:drop()
    end)
  end)

  it("is still to be terminated, once", function()
    local first, second
    scene.play({
      handler = function(ws)
        ws:on_message(function() end)
        ws:close(4001)
        first, second = table.pack(ws:terminate()), table.pack(ws:terminate())
      end,
    }, function(s)
      s:connect():send(peer.request())
      assert.equal("terminated", s:told().reason)
      assert.same({ { n = 1, true }, { n = 3, nil, "closed", 1006 } }, { first, second })
    end)
  end)
end)

describe("on_close that is set after the end", function()
  local function late(set)
    local told = {}
    scene.play({}, function(s)
      local ws
      s.on_close = function(closed) ws = closed end
      close_by_peer(s)
      s:ending()
      set(ws, function(...) told[#told + 1] = table.pack(...) end)
      moonsocket.sleep(0.01)
      ws = nil -- luacheck: ignore
    end)
    return told
  end

  it("is not called where another has been, which is returned", function()
    assert.same({}, late(function(ws, fn) assert.is_function(ws:on_close(fn)) end))
  end)

  local function told_of(handler)
    local told = {}
    local server = assert(moonsocket.serve("127.0.0.1:0", function(ws) handler(ws, told) end))
    moonsocket.go(function()
      close_by_peer { open = function() return peer.open(server) end }
      server:shutdown()
    end)
    moonsocket.run { signals = false }
    return told
  end
  local arguments_of_any = { n = 3, 4000, "enough", { clean = true, by = "peer", sent = 4000, received = 4000 } }

  it("is called once on the next turn where none has been, with the same arguments as any", function()
    local told = told_of(function(ws, told)
      ws:receive()
      moonsocket.sleep(0.01)
      assert.is_nil(ws:on_close(function(...) told[#told + 1] = table.pack(...) end))
      ws:on_close(function() told[#told + 1] = "another" end)
      assert.same({}, told)
    end)
    assert.same({ arguments_of_any }, told)
  end)

  it("is called once where the loop that has just seen the end sets it", function()
    local told = told_of(function(ws, told)
      for _ in ws:messages() do error "a message" end
      ws:on_close(function() told[#told + 1] = "replaced" end)
      ws:on_close(function(...) told[#told + 1] = table.pack(...) end)
    end)
    assert.same({ arguments_of_any }, told)
  end)
end)
