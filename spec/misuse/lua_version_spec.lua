local program = require "spec.support.program"

describe("an older Lua", function()
  it("is told which one is needed", function()
    program.run(function(self)
      self:await "moonsocket needs Lua 5%.4, and this is Lua 5%.1$"
      assert.equal(1, self:finish())
    end, "-e", "_VERSION = 'Lua 5.1'", "-e", "require 'moonsocket'")
  end)
end)
