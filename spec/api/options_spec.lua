-- The options of serve: what is taken, what is refused and how it is said.
local moonsocket = require "moonsocket"

local function handler() end

-- Serves with an option and stops again. Returns whether it could, and the error.
local function try(name, value)
  local ok, server = pcall(moonsocket.serve, "127.0.0.1:0", handler, { [name] = value })
  if ok then assert(server):shutdown() end
  return ok, not ok and server or nil
end

local function refuses(name, value, wanted)
  local ok, wrong = try(name, value)
  assert.is_false(ok, ("%s = %s is taken"):format(name, tostring(value)))
  local start = ("serve: option '%s': "):format(name)
  assert.equal(start, wrong:sub(1, #start))
  assert.is_truthy(wrong:find(wanted, 1, true), ("%q does not say %q"):format(wrong, wanted))
  assert.is_truthy(wrong:find(tostring(value), 1, true) or type(value) == "table", wrong)
end

-- option -> the values that it takes, those that it refuses, and what the refusal says is expected.
local OPTIONS = {
  on_overflow = { { "close", "drop", "wait" }, { "Close", "", 1, true }, '"close", "drop", "wait" expected' },
  reuse_port = { { true, false }, { 1, "yes" }, "a boolean expected" },
  proxy_protocol = { { true, false }, { 1, "required", "v2" }, "a boolean expected" },
  authorize = { { print }, { "print", {}, 1, true }, "a function expected" },
  origins = { { "*", { "https://a.example" }, print }, { "https://a.example", 1, true }, '"*", a list of origins or' },
  subprotocols = { { { "chat" }, { "a", "b.c" } }, { "chat", 1, print }, "a list of strings expected" },
  trusted_proxies = { { { "127.0.0.1" }, { "unix", "::/0" } }, { "127.0.0.1", 1, true }, "a list of strings expected" },
  backlog = { { 1, 128 }, { 0, -1, 0.5, "1", {} }, "an integer of 1 or more expected" },
  max_connections = { { 0, 1 }, { -1, 0.5, "1" }, "an integer of 0 or more expected" },
  max_connections_per_address = { { 0, 1 }, { -1, 0.5, "1" }, "an integer of 0 or more expected" },
  max_message = { { 1, math.maxinteger }, { 0, -1, 1.5, 1e300, "1k" }, "an integer of bytes, 1 or more expected" },
  max_buffered = { { 1, math.maxinteger }, { 0, 0.5, math.huge, "1k" }, "an integer of bytes, 1 or more expected" },
  compression = {
    { true, false, {}, { level = 9, threshold = 1, server_no_context_takeover = false, client_max_window_bits = 8 } },
    { 1, "true", print }, "true, false or a table { level =, ... } expected",
  },
  max_head = { { 256, 65536 }, { 0, 255, 1000.5, "8k" }, "an integer of bytes, 256 or more expected" },
}
for name, minimum in pairs {
  ping_interval = 0, pong_timeout = 0, send_timeout = 0, idle_timeout = 0, tcp_user_timeout = 0,
  close_timeout = 0.001, handshake_timeout = 0.001,
} do
  OPTIONS[name] = {
    { minimum, 0.5, 1, 1e9, math.huge }, { -1, -0.001, 0 / 0, "20", true, {} },
    ("a number of seconds, %s or more expected"):format(minimum),
  }
end

describe("the option", function()
  for name, row in pairs(OPTIONS) do
    it(name .. " takes its values and refuses all others", function()
      for _, value in ipairs(row[1]) do
        local ok, wrong = try(name, value)
        assert.is_true(ok, wrong)
      end
      for _, value in ipairs(row[2]) do refuses(name, value, row[3]) end
    end)
  end

  it("subprotocols is a list of tokens that is not empty", function()
    refuses("subprotocols", {}, "the list is empty")
    refuses("subprotocols", { "chat", 5 }, "entry 2 is not a string but a number")
    for _, wrong in ipairs { "", "a b", "a,b", "a/b", "\xc3\xa4", "a\r\nb" } do
      refuses("subprotocols", { wrong }, "' is not a token")
    end
  end)

  it("origins is a list of strings that is not empty", function()
    refuses("origins", {}, "the list is empty")
    refuses("origins", { true }, "entry 1 is not a string but a boolean")
  end)

  it("compression is checked field by field", function()
    for _, bits in ipairs { "server_max_window_bits", "client_max_window_bits" } do
      for _, wrong in ipairs { 7, 16, 9.5, "9", true } do
        refuses("compression", { [bits] = wrong },
          ("option '%s': an integer from 8 to 15 expected, got %s"):format(bits, wrong))
      end
    end
    for _, wrong in ipairs { 0, 10, 1.5, "1" } do
      refuses("compression", { level = wrong }, "option 'level': an integer from 1 to 9 expected, got " .. wrong)
    end
    refuses("compression", { threshold = 0 }, "option 'threshold': an integer of bytes, 1 or more expected, got 0")
    refuses("compression", { server_no_context_takeover = 1 },
      "option 'server_no_context_takeover': a boolean expected")
    refuses("compression", { windowBits = 9 }, "unknown option 'windowBits': there are client_max_window_bits, ")
    refuses("compression", { server_no_takeover = true }, "unknown option 'server_no_takeover'")
    refuses("compression", { levle = 1 }, "unknown option 'levle': is 'level' meant?")
  end)

  it("with a misspelled name is refused, with the name that is meant", function()
    for given, meant in pairs {
      max_mesage = "max_message", maxMessage = "max_message", MAX_MESSAGE = "max_message", ["max-head"] = "max_head",
      pingInterval = "ping_interval", pong_timout = "pong_timeout", autorize = "authorize", authorise = "authorize",
      origin = "origins", subprotocol = "subprotocols", sub_protocols = "subprotocols", reuseport = "reuse_port",
      on_overlow = "on_overflow",
    } do
      local ok, wrong = try(given, 1)
      assert.same({ false, ("serve: unknown option '%s': is '%s' meant?"):format(given, meant) }, { ok, wrong })
    end
  end)

  it("with a name that is far from all is refused, with all of them", function()
    for _, given in ipairs { "x", "", 1, 0.5, true, "timeouts_in_general" } do
      local ok, wrong = try(given, 1)
      assert.is_false(ok)
      for name in pairs(OPTIONS) do assert.is_truthy(wrong:find(name, 1, true), wrong) end
      assert.equal(("serve: unknown option '%s': there are "):format(given), wrong:match "^.-: there are ")
    end
  end)

  it("table is left as it was", function()
    local options = { max_message = 10 }
    assert(moonsocket.serve("127.0.0.1:0", handler, options)):shutdown()
    assert.same({ max_message = 10 }, options)
  end)
end)
