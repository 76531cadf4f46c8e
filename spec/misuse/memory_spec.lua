-- Lua runs out of memory at every single allocation of a scene, for a moment or for long: never a crash, nothing is
-- left behind, who serves goes on serving once there is memory again, and no on_close is called twice.
local program = require "spec.support.program"

-- What plays the scene of hungry.lua, with the n-th allocation failing and the count - 1 after it, for every step-th n.
-- (Lua tries one that fails again after a full collection: only two in a row are an error.)
local PLAYER = [[
local starve, raw = require "starve", require "raw"
require "moonsocket.core" -- stays loaded when the states that starve are closed
local count, step, from_the_start = %d, %d, %s
local file = assert(io.open "spec/support/hungry.lua")
local chunk = file:read "a"
file:close()
local descriptors = raw.descriptors()
local _, unharmed, allocations = starve.play(chunk, 1, 0, from_the_start)
local plays = 0
for n = 1, allocations, step do
  local ok, said, _, left = starve.play(chunk, n, count, from_the_start)
  if ok and not said:find "^fine" or left ~= 0 or raw.descriptors() ~= descriptors then
    print("wrong", n, said, left .. " bytes left", raw.descriptors() - descriptors .. " descriptors left")
    break
  end
  plays = plays + 1
  if plays %% 10 == 0 then print(plays .. " so far") end -- under memcheck it takes its time
end
print(plays .. " plays, unharmed: " .. unharmed)
]]

describe("a Lua state that is short of memory", function()
  local function starves(what, at_least, count, step, from_the_start)
    it(what, function()
      program.run(function(p)
        local plays, unharmed = p:await "^(%d+) plays, unharmed: (.*)$"
        for _, line in ipairs(p.lines) do assert.is_nil(line:match "^wrong.*", line) end
        assert.is_true(tonumber(plays) >= at_least, plays .. " plays")
        assert.equal("fine: 6 ends", unharmed)
        assert.equal(0, p:finish())
      end, "-e", PLAYER:format(count, step, from_the_start == true))
    end)
  end
  starves("collects garbage at each allocation", 150, 1, 1)
  starves("does without each allocation", 150, 2, 1)
  starves("does without some in a row", 70, 7, 2)
  starves("does without all that follow until there is memory again", 150, 1000000000, 1)
  starves("does without each that is needed to load moonsocket", 50, 2, 41, true)
end)
