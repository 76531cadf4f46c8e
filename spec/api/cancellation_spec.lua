-- cancellation: a wait ends when somebody else says so. What that means for connect is reconnect's: stop_spec.lua.
local core = require "moonsocket.core"
local moonsocket = require "moonsocket"
local program = require "spec.support.program"

local LONG = 3600 -- s: who waits so long has not been woken

-- Runs act as a task, and the loop until nothing is left.
local function run(act)
  local ok, wrong
  moonsocket.go(function() ok, wrong = xpcall(act, debug.traceback) end)
  moonsocket.run { signals = false }
  assert(ok, wrong)
end

describe("a sleep with a cancellation", function()
  it("ends when it is cancelled, in a turn of its own", function()
    local log, cancellation = {}, core.cancellation()
    run(function()
      moonsocket.go(function()
        core.sleep(LONG, cancellation)
        log[#log + 1] = "woken"
      end)
      moonsocket.sleep(0)
      cancellation:cancel()
      cancellation:cancel()
      log[#log + 1] = "cancelled"
    end)
    assert.same({ "cancelled", "woken" }, log)
  end)

  it("at top level ends too", function()
    local cancellation = core.cancellation()
    moonsocket.after(0, function() cancellation:cancel() end)
    core.sleep(LONG, cancellation)
  end)

  it("that was cancelled before does not wait", function()
    local cancellation = core.cancellation()
    cancellation:cancel()
    core.sleep(LONG, cancellation)
    run(function() core.sleep(LONG, cancellation) end)
    assert.equal(0, core.held())
  end)

  it("ends by itself, and the next wait of that task is its own", function()
    local cancellation, log = core.cancellation(), {}
    run(function()
      moonsocket.go(function()
        core.sleep(0, cancellation)
        log[#log + 1] = "slept"
        moonsocket.sleep(0.01)
        log[#log + 1] = "slept on"
      end)
      while #log == 0 do moonsocket.sleep(0) end
      cancellation:cancel()
      for _ = 1, 3 do moonsocket.sleep(0) end
      log[#log + 1] = "still asleep"
    end)
    assert.same({ "slept", "still asleep", "slept on" }, log)
  end)

  it("is one task's at a time", function()
    local cancellation = core.cancellation()
    run(function()
      moonsocket.go(core.sleep, LONG, cancellation)
      moonsocket.sleep(0)
      assert.error_matches(function() core.sleep(0, cancellation) end, "another task waits with this cancellation")
      assert.error_matches(function() core.connect({}, cancellation) end, "another task waits with this cancellation")
      cancellation:cancel()
    end)
  end)

  it("takes nothing else for one", function()
    for _, wrong in ipairs { 1, "x", {}, io.stdout } do
      assert.error_matches(function() core.sleep(0, wrong) end, "moonsocket.cancellation expected")
    end
  end)

  it("and a coroutine that somebody closes: the collector takes both", function()
    program.run(function(self)
      self:await "^collected\ttrue$"
      self:await "cannot resume dead coroutine"
      assert.equal(0, self:finish())
    end, "-e", [[
      local core = require "moonsocket.core"
      local weak = setmetatable({ core.cancellation() }, { __mode = "v" })
      local co
      core.go(function()
        co = coroutine.running()
        core.sleep(0.01, weak[1])
      end)
      core.step()
      coroutine.close(co)
      collectgarbage()
      collectgarbage()
      print("collected", weak[1] == nil)
      while core.step(1) do end
    ]])
  end)

  it("may be cancelled by a finalizer while the state closes", function()
    program.run(function(self)
      self:await "^before the loop's end$"
      self:await "^after it$"
      assert.equal(0, self:finish())
    end, "-e", [[
      collectgarbage "stop" -- what is to be collected at the end must not be before
      local cancellation
      local function at_the_end(name)
        setmetatable({}, { __gc = function() cancellation:cancel() print(name) end })
      end
      at_the_end "after it"
      local core = require "moonsocket.core"
      cancellation = core.cancellation()
      at_the_end "before the loop's end"
      core.go(core.sleep, 3600, cancellation)
      core.step()
    ]])
  end)
end)
