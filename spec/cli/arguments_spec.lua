-- Words of a command line: what they mean, and what is said of those that mean nothing.
local arguments = require "moonsocket.cli.arguments"

local rows = {
  { "--name", short = "-n", value = "WHO", help = "who it is" },
  { "--many", short = "-m", value = "WHAT", many = true, help = "each of them" },
  { "--count", short = "-c", value = "N", number = true, least = 1, default = 7, help = "how often" },
  { "--parts", value = "N", number = true, whole = true, help = "in so many" },
  { "--no-more", help = "that was it" },
}

describe("the words of a command line", function()
  for _, case in ipairs {
    { {}, { count = 7 }, {} },
    { { "a", "b" }, { count = 7 }, { "a", "b" } },
    { { "--name", "ann", "a" }, { count = 7, name = "ann" }, { "a" } },
    { { "--name=ann=b", "--name", "--name" }, { count = 7, name = "--name" }, {} },
    { { "-n", "ann", "-mx", "-m", "y" }, { count = 7, name = "ann", many = { "x", "y" } }, {} },
    { { "--no-more", "-c", "2.5" }, { count = 2.5, no_more = true }, {} },
    { { "-c3", "--", "--name", "-c" }, { count = 3 }, { "--name", "-c" } },
    { { "-", "-1" }, { count = 7 }, { "-", "-1" } },
    { { "--name=" }, { count = 7, name = "" }, {} },
  } do
    it(("%q are options and others"):format(table.concat(case[1], " ")), function()
      local found, rest = arguments.parse(rows, case[1], 1)
      assert.same(case[2], found)
      assert.same(case[3], rest)
    end)
  end

  for _, case in ipairs {
    { { "--nmae", "x" }, "unknown option --nmae: is '--name' meant?" },
    { { "-x" }, "unknown option -x: there are --name, --many, --count, --parts, --no-more" },
    { { "--name" }, "--name: WHO expected behind it" },
    { { "--no-more=1" }, "--no-more takes no value, got '1'" },
    { { "--count", "0" }, "--count: a number of 1 or more expected, got '0'" },
    { { "--count", "two" }, "--count: a number of 1 or more expected, got 'two'" },
    { { "--count", "nan" }, "--count: a number of 1 or more expected, got 'nan'" },
    { { "--parts", "2.5" }, "--parts: a whole number of 0 or more expected, got '2.5'" },
  } do
    it(("%q are wrong"):format(table.concat(case[1], " ")), function()
      assert.same({ n = 2, nil, case[2] }, table.pack(arguments.parse(rows, case[1], 1)))
    end)
  end

  it("stay as they are behind a script", function()
    local found, rest = arguments.parse(rows, { "--no-more", "app.lua", "--name", "--", "-x" }, 1, true)
    assert.same({ count = 7, no_more = true }, found)
    assert.same({ "app.lua", "--name", "--", "-x" }, rest)
  end)

  it("are described in a column", function()
    assert.equal("  -n, --name WHO   who it is\n  -m, --many WHAT  each of them\n  -c, --count N    how often\n"
      .. "      --parts N    in so many\n      --no-more    that was it\n", arguments.help(rows))
  end)
end)
