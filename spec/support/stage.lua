-- Runs a spec's part as a task and sees to it that nothing of it is left behind.
local moonsocket = require "moonsocket"
local core = require "moonsocket.core"
local raw = require "raw"
local wire = require "spec.support.wire"

local stage = {}

stage.LIMIT = 120 -- s: what hangs fails, so that the rest can run

--- await(what, condition [, timeout]): waits until the condition holds; the error names what otherwise. Condition by
-- condition, through the loop: no spec sleeps for a guess.
function stage.await(what, condition, timeout)
  local deadline, turns = moonsocket.now() + (timeout or wire.TIMEOUT), 0
  while not condition() do
    if moonsocket.now() > deadline then error("never came true: " .. what, 3) end
    turns = turns + 1
    moonsocket.sleep(turns < 50 and 0 or 0.001) -- what happens on this machine alone is there after a few turns
  end
end

--- Keeps errors as they are where they are tables, else with a traceback. For xpcall.
function stage.traced(message) return type(message) == "string" and debug.traceback(message, 2) or message end

local function collect()
  collectgarbage()
  collectgarbage()
end

--- Runs act as a task and the loop until nothing is left. Afterwards the loop may hold nothing, no descriptor be open,
-- no ws be reachable.
-- @param abandon called where act fails: lets everything go that would keep the loop running
-- @param boxes a table with weak keys: every ws
function stage.run(act, abandon, boxes)
  collect()
  local held, descriptors = core.held(), raw.descriptors()
  local ok, wrong
  local guard = moonsocket.after(stage.LIMIT, moonsocket.stop)
  moonsocket.go(function()
    ok, wrong = xpcall(act, stage.traced)
    if not ok then abandon() end
    guard:cancel()
  end)
  moonsocket.run { signals = false }
  if ok == nil then error(("the scene did not end within %d s"):format(stage.LIMIT), 0) end
  if not ok then error(wrong, 0) end
  collect()
  if next(boxes) then error("a ws is still reachable: " .. tostring(next(boxes)), 0) end
  if core.held() ~= held then error(("the loop holds %d things more"):format(core.held() - held), 0) end
  if raw.descriptors() ~= descriptors then
    error(("%d descriptors are left open"):format(raw.descriptors() - descriptors), 0)
  end
end

return stage
