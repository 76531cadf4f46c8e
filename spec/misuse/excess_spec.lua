-- Too much of something: recursion without end, huge strings, arguments and tasks by the thousand. Errors, or it works.
local moonsocket = require "moonsocket"
local scene = require "spec.support.scene"
local peer = require "spec.support.peer"

local MiB = 1024 * 1024

local RECURSIONS = {
  ["Lua functions"] = function()
    local function f() return 1 + f() end
    f()
  end,
  ["C functions"] = function()
    local function f() return (("x"):gsub(".", f)) end
    f()
  end,
  ["metamethods"] = function()
    local t = setmetatable({}, {})
    getmetatable(t).__index = function(_, key) return t[key .. "x"] end
    return t.x
  end,
  ["protected calls"] = function()
    local function f() assert(pcall(f)) return f() + 1 end
    f()
  end,
  ["coroutines"] = function()
    local function f() return coroutine.wrap(f)() end
    f()
  end,
  ["error handlers"] = function()
    local function f() return xpcall(error, f) and 1 end
    error(select(2, xpcall(error, f)))
  end,
  ["to-be-closed variables"] = function()
    local function f()
      local _ <close> = setmetatable({}, { __close = function() end })
      return 1 + f()
    end
    f()
  end,
}

describe("recursion without end", function()
  for what, recurse in pairs(RECURSIONS) do
    it(("of %s in a callback is an error like any other"):format(what), function()
      local told
      scene.play({
        handler = function(ws)
          ws:on_error(function(message, traceback) told = { message, traceback } end)
          ws:on_message(function(message)
            if message == "recurse" then recurse() end
            ws:send(message)
          end)
        end,
      }, function(s)
        local bad, good = s:open(), s:open()
        bad:send(peer.text "recurse")
        local outcome = s:outcome(bad, 1)
        assert.equal(1011, outcome.code)
        assert.same({ "string", "string" }, { type(told[1]), type(told[2]) })
        assert.is_true(#told[2] < 100000)
        good:send(peer.text "still served")
        assert.equal("text still served", peer.describe(good:read_frame()))
      end)
    end)
  end

  it("of callbacks that end each other's connection is none: each runs after the one before", function()
    local depth, deepest, all = 0, 0, {}
    scene.play({
      handler = function(ws)
        all[#all + 1] = ws
        ws:on_message(function() end)
      end,
    }, function(s)
      s.on_close = function()
        depth = depth + 1
        deepest = math.max(deepest, depth)
        local other = table.remove(all)
        if other then other:terminate() end
        depth = depth - 1
      end
      for _ = 1, 200 do s:open() end
      table.remove(all):terminate()
      s.await("all ends", function() return s.server.count == 0 end)
      all = nil
    end)
    assert.equal(1, deepest)
  end)

  it("of tasks that start tasks is none", function()
    local n = 0
    local function again()
      n = n + 1
      if n < 10000 then moonsocket.go(again) end
    end
    moonsocket.run(again)
    assert.equal(10000, n)
  end)
end)

describe("a huge string", function()
  it("is sent and received whole", function()
    local huge = ("0123456789abcdef"):rep(8 * MiB // 16)
    scene.play({ max_message = 8 * MiB, max_buffered = 8 * MiB, send_timeout = 60, ping_interval = 0 }, function(s)
      local p = s:open()
      local ok, sent = nil, nil
      moonsocket.go(function() ok, sent = s.server:connections()[1]:send(huge, "binary") end)
      local frame = p:read_frame()
      assert.is_true(frame.payload == huge)
      assert.is_true(ok)
      assert.equal("integer", math.type(sent))
      p:send(peer.frame { opcode = 2, payload = huge, key = "\0\0\0\0" })
      assert.is_true(p:read_frame().payload == huge)
      p:drop()
    end)
  end)

  it("is no reason, no ping and no kind of message", function()
    local huge, errors = ("x"):rep(8 * MiB), {}
    scene.play({
      handler = function(ws)
        for i, call in ipairs {
          function() ws:close(1000, huge) end, function() ws:ping(huge) end, function() ws:send("x", huge) end,
        } do
          errors[i] = select(2, pcall(call))
        end
        ws[huge] = huge
        errors.field = ws[huge] == huge
        ws:receive()
      end,
    }, function(s)
      local p = s:open()
      p:send(peer.text "alive")
      assert.equal("close 1000", peer.describe(p:read_frame()))
      p:drop()
    end)
    assert.matches("a reason of 8388608 bytes is too long", errors[1])
    assert.matches("the payload of a ping has at most 125 bytes", errors[2])
    assert.matches('the kind of a message is "text" or "binary", not xxx', errors[3])
    assert.is_true(errors.field)
  end)

  it("is what an error may be", function()
    local huge, told = ("x"):rep(8 * MiB), nil
    scene.play({
      handler = function(ws)
        ws:on_error(function(message) told = message end)
        error(huge, 0)
      end,
    }, function(s)
      assert.equal(1011, s:outcome(s:open()).code)
    end)
    assert.is_true(told == huge)
  end)
end)

describe("a great many", function()
  it("arguments reach a task", function()
    local n
    moonsocket.run(function()
      moonsocket.go(function(...) n = select("#", ...) end, table.unpack({}, 1, 200000))
    end)
    assert.equal(200000, n)
  end)

  it("arguments too many are the caller's error, and go still works", function()
    local count = 0
    local ok, wrong = pcall(function()
      local function unpack_more(...) moonsocket.go(function() end, ...) end
      unpack_more(table.unpack({}, 1, 900000))
    end)
    if not ok then assert.is_truthy(wrong:find "no memory for a task" or wrong:find "stack overflow", wrong) end
    moonsocket.run(function() count = count + 1 end)
    assert.equal(1, count)
  end)

  it("tasks and timers wait at once", function()
    local woken = 0
    for i = 1, 5000 do
      moonsocket.go(function()
        moonsocket.sleep(i % 10 / 1000)
        woken = woken + 1
      end)
      moonsocket.after(i % 10 / 1000, function() woken = woken + 1 end)
    end
    moonsocket.run { signals = false }
    assert.equal(10000, woken)
  end)

  it("tasks wait for one end", function()
    local ends = 0
    scene.play({ handler = function(ws) ws:receive() end }, function(s)
      local p = s:open()
      local ws = s.server:connections()[1]
      for _ = 1, 70000 do
        moonsocket.go(function(it)
          if it:wait_closed() == 4000 then ends = ends + 1 end
        end, ws)
      end
      ws = nil -- luacheck: ignore
      moonsocket.sleep(0.01)
      p:send(peer.close(4000))
      p:read_all()
      p:drop()
      s.await("all of them", function() return ends == 70000 end)
    end)
  end)

  it("handlers follow each other, of which the last counts", function()
    scene.play({
      handler = function(ws)
        for i = 1, 1000 do
          local function before() return i end
          ws:on_message(before)
          assert.equal(before, ws:on_message(function() ws:send("handler " .. i) end))
        end
      end,
    }, function(s)
      local p = s:open()
      p:send(peer.text "hi")
      assert.equal("text handler 1000", peer.describe(p:read_frame()))
      p:drop()
    end)
  end)
end)
