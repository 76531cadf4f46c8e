-- Percentiles out of a histogram are those of the sorted times, but for its precision.
local new_histogram = require "moonsocket.cli.histogram"

describe("a histogram", function()
  it("knows percentiles to 1 in 256, and the greatest exactly", function()
    local generator = 12345
    local function next_time()
      generator = (generator * 1103515245 + 12345) % (1 << 31)
      return generator >> (generator % 31)
    end
    local histogram, times = new_histogram(), {}
    for i = 1, 20000 do
      times[i] = next_time()
      histogram:add(times[i])
    end
    table.sort(times)
    assert.equal(20000, histogram.count)
    assert.equal(times[20000], histogram.max)
    for _, percent in ipairs { 0, 1, 50, 90, 99, 99.9, 100 } do
      local exact = times[math.max(1, math.ceil(20000 * percent / 100))]
      local told = histogram:percentile(percent)
      assert.is_true(told >= exact and told <= exact * (1 + 1 / 256), ("%g: %d, %d"):format(percent, told, exact))
    end
  end)

  it("has a bucket for each small number", function()
    local histogram = new_histogram()
    for n = 0, 511 do histogram:add(n) end
    for n = 0, 511 do assert.equal(n, histogram:percentile((n + 1) * 100 / 512)) end
  end)

  it("knows nothing of no times", function()
    assert.is_nil(new_histogram():percentile(50))
  end)

  it("takes times up to centuries", function()
    local histogram = new_histogram()
    histogram:add(1 << 60)
    assert.equal(1 << 60, histogram:percentile(99))
  end)
end)
