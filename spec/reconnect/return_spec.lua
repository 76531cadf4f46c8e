-- reconnect: when a client comes back and when it does not, after which pauses, and what it tells.
local core = require "moonsocket.core"
local moonsocket = require "moonsocket"
local program = require "spec.support.program"
local raw_server = require "spec.support.raw_server"
local scene = require "spec.support.reconnect_scene"

local MIN = scene.MIN

local function response(status) return raw_server.sized(status .. " X", "no") end

-- name -> { act(scene, the server's side, ws), the code that on_down is told, more options }
local ENDINGS = {
  ["the server's FIN"] = { function(_, connection) connection:drop() end, 1006 },
  ["the server's RST"] = { function(_, connection) connection:reset() end, 1006 },
  ["a Close without a code"] = { function(s, connection) s:shake(connection, raw_server.close()) end, 1005 },
  ["silence"] = { function() end, 1006, { ping_interval = 0.005, pong_timeout = 0.005, close_timeout = 0.01 } },
  ["too long a message"] = {
    function(s, connection) s:shake(connection, raw_server.text "long") end, 1009, { max_message = 3 },
  },
  ["close() of the user's own"] = {
    function(s, connection, ws)
      ws:close(4000)
      s:shake(connection)
    end, 4000,
  },
  ["terminate()"] = { function(_, _, ws) ws:terminate() end, 1006 },
}
for _, code in ipairs { 1000, 1001, 1009, 1011, 1012, 1013, 1014, 3000, 4999 } do
  ENDINGS["a Close with " .. code] = { function(s, connection) s:shake(connection, raw_server.close(code)) end, code }
end

describe("a client comes back after", function()
  for name, row in pairs(ENDINGS) do
    it(name, function()
      scene.play(function(s)
        local client, log = s:start(row[3])
        row[1](s, s:admit(client), client.ws)
        local told = s:down(log, 1)
        assert.equal(row[2], told.code)
        assert.is_string(told.info.by)
        assert.is_true(told.delay >= MIN and told.delay <= 2 * MIN, told.delay)
        s:admit(client)
        assert.same({ 1, 2 }, log.attempts)
      end)
    end)
  end

  for _, status in ipairs { 200, 301, 400, 407, 426, 429, 500, 503 } do
    it("a refusal with " .. status, function()
      scene.play(function(s)
        local client, log = s:start()
        s:answer(response(status))
        local told = s:down(log, 1)
        assert.same({ nil, status, "no" }, { told.code, told.info.status, told.info.body })
        assert.matches(tostring(status), told.reason)
        s:admit(client)
        assert.same({ 2 }, log.attempts)
      end)
    end)
  end

  it("a proxy's refusal, whatever its status", function()
    scene.play(function(s)
      local client, log = s:start({ proxy = "http://127.0.0.1:" .. s.server.port }, "ws://origin.example/")
      for i, status in ipairs { 401, 403, 404, 407 } do
        s:answer(response(status))
        local told = s:down(log, i)
        assert.same({ status, true }, { told.info.status, told.info.by_proxy })
        assert.is_number(told.delay)
      end
      client:stop()
    end)
  end)

  for name, bytes in pairs { ["no answer"] = "", garbage = "SSH-2.0-x\r\n\r\n" } do
    it(name, function()
      scene.play(function(s)
        local client, log = s:start()
        s:answer(bytes)
        local told = s:down(log, 1)
        assert.same({}, { told.code, told.info })
        assert.is_string(told.reason)
        s:admit(client)
      end)
    end)
  end

  it("silence during the handshake", function()
    scene.play(function(s)
      local client, log = s:start { timeout = 0.02 }
      local connection = s.server:accept()
      connection:read_rest()
      connection:drop()
      assert.matches("no complete answer of the server within 0.02 s", s:down(log, 1).reason)
      s:admit(client)
    end)
  end)

  it("a time in which nobody listened", function()
    scene.play(function(s)
      s.server:stop()
      local client, log = s:start()
      assert.matches("refused", s:down(log, 3).reason)
      local server = assert(moonsocket.serve(s.server.port, function(ws) ws:on_message(function() end) end))
      s.await("an open client", function() return client.ws end)
      client:stop()
      server:shutdown()
    end)
  end)
end)

describe("a client does not come back after", function()
  local function stays_away(s, client, log)
    local told = s:down(log, 1)
    assert.same({ stopped = true }, { delay = told.delay, stopped = client.stopped, ws = client.ws })
    s:nobody_comes()
    assert.same({ nil, "stopped" }, { client:send "x" })
    return told
  end

  for _, code in ipairs { 1002, 1003, 1007, 1008 } do
    it("a Close with " .. code, function()
      scene.play(function(s)
        local client, log = s:start()
        s:shake(s:admit(client), raw_server.close(code, "why"))
        local told = stays_away(s, client, log)
        assert.same({ code, "why", "peer" }, { told.code, told.reason, told.info.by })
      end)
    end)
  end

  it("a server that breaks the protocol", function()
    scene.play(function(s)
      local client, log = s:start()
      s:shake(s:admit(client), raw_server.frame { masked = true })
      assert.equal(1002, stays_away(s, client, log).code)
    end)
  end)

  for _, status in ipairs { 401, 403, 404 } do
    it("a refusal with " .. status, function()
      scene.play(function(s)
        local client, log = s:start()
        s:answer(response(status))
        local told = stays_away(s, client, log)
        assert.same({ nil, status }, { told.code, told.info.status })
      end)
    end)
  end
end)

describe("should_retry", function()
  it("is told what on_down is, and decides", function()
    scene.play(function(s)
      local asked = {}
      local client, log = s:start { should_retry = function(...)
        asked[#asked + 1] = { ... }
        return #asked < 3
      end }
      s:answer(response(401))
      s:shake(s:admit(client), raw_server.close(1008, "no"))
      s:admit(client):drop()
      assert.is_nil(s:down(log, 3).delay)
      for i, told in ipairs(log.downs) do
        assert.same({ [1] = told.code, [2] = told.reason, [3] = told.info }, asked[i])
      end
      assert.is_true(client.stopped)
      s:nobody_comes()
    end)
  end)

  it("may wait, and be overtaken by stop()", function()
    scene.play(function(s)
      local asking
      local client, log = s:start { should_retry = function()
        asking = true
        while asking do moonsocket.sleep(0) end
        return true
      end }
      s:admit(client):drop()
      s.await("the question", function() return asking end)
      client:stop()
      asking = false
      assert.is_nil(s:down(log, 1).delay)
    end)
  end)
end)

describe("a pause", function()
  it("is anywhere between min_delay and a bound that doubles up to max_delay, never the same twice", function()
    scene.play(function(s)
      s.server:stop()
      local random = core.random
      finally(function() core.random = random end)
      local log = select(2, s:start { max_delay = 0.016 })
      s:down(log, 8)
      local different, n = {}, 0
      for i, told in ipairs(log.downs) do
        assert.is_true(told.delay >= MIN and told.delay <= math.min(0.016, MIN * 2 ^ i), told.delay)
        n = n + (different[told.delay] and 0 or 1)
        different[told.delay] = true
      end
      assert.equal(#log.downs, n)
      for _, case in ipairs {
        { 0, { MIN, MIN, MIN, MIN, MIN } },
        { 1, { 2 * MIN, 4 * MIN, 8 * MIN, 0.016, 0.016 } },
      } do
        core.random = function() return case[1] end
        local _, extreme = s:start { max_delay = 0.016 }
        s:down(extreme, 5)
        for i, delay in ipairs(case[2]) do assert.is_near(delay, extreme.downs[i].delay, 1e-9) end
      end
    end)
  end)

  it("is over before the next attempt begins", function()
    scene.play(function(s)
      local client, log = s:start { min_delay = 0.03, max_delay = 0.03 }
      s:admit(client):drop()
      s:down(log, 1)
      local from = moonsocket.now()
      s:admit(client)
      assert.is_true(moonsocket.now() - from >= 0.028, moonsocket.now() - from)
    end)
  end)

  it("begins anew after a stable connection only", function()
    for stable_after, attempts in pairs { [0] = { 1, 2, 2, 2 }, [60] = { 1, 2, 3, 4 } } do
      scene.play(function(s)
        local client, log = s:start { stable_after = stable_after }
        for _ = 1, 3 do s:admit(client):drop() end
        s:admit(client)
        assert.same(attempts, log.attempts)
        if stable_after == 0 then assert.is_true(log.downs[3].delay <= 2 * MIN) end
      end)
    end
  end)

  it("is another in another process", function()
    local delays = {}
    for i = 1, 2 do
      program.run(function(self)
        delays[i] = self:await "^delay (.*)$"
        assert.equal(0, self:finish())
      end, "-e", [[
        local moonsocket = require "moonsocket"
        local client
        client = moonsocket.reconnect("ws+unix:/nowhere/at/all", { on_open = print, on_down = function(_, _, _, delay)
          print("delay " .. delay)
          client:stop()
        end })
        moonsocket.run()
      ]])
    end
    assert.not_equal(delays[1], delays[2])
  end)
end)

describe("on_open", function()
  it("gets one connection after another; on_down's call for each follows it", function()
    scene.play(function(s)
      local told = {}
      local client = s:start {
        on_open = function(_, attempt) told[#told + 1] = "open " .. attempt end,
        on_down = function(code) told[#told + 1] = code or "refused" end,
      }
      s:shake(s:admit(client), raw_server.close(1001))
      s:answer(response(503))
      s:admit(client):drop()
      s:admit(client)
      assert.same({ "open 1", 1001, "refused", "open 3", 1006, "open 4" }, told)
    end)
  end)

  it("comes before on_down where the server's 101 and its Close came as one", function()
    scene.play(function(s)
      local told = {}
      s:start {
        on_open = function() told[#told + 1] = "open" end,
        on_down = function(code) told[#told + 1] = code end,
      }
      local connection = s.server:accept()
      connection:upgrade(nil, raw_server.close(1001))
      s:shake(connection, "")
      s.await("both", function() return told[2] end)
      assert.same({ "open", 1001 }, { told[1], told[2] })
    end)
  end)

  it("that is a loop over the messages ends with the connection, and begins again", function()
    scene.play(function(s)
      local got = {}
      local client = s:start { on_open = function(ws)
        for message in ws:messages() do got[#got + 1] = message end
        got[#got + 1] = ws.close_code
      end }
      s:shake(s:admit(client), raw_server.text "a" .. raw_server.close(1001))
      s:shake(s:admit(client), raw_server.text "b" .. raw_server.close(1012))
      s:admit(client)
      assert.same({ "a", 1001, "b", 1012 }, got)
    end)
  end)

  it("that never returns does not keep the client from coming back", function()
    scene.play(function(s)
      local over = false
      finally(function() over = true end)
      local client, log = s:start { on_open = function() while not over do moonsocket.sleep(0.001) end end }
      s:admit(client):drop()
      assert.equal(1006, s:down(log, 1).code)
      s:admit(client)
      over = true
    end)
  end)
end)

describe("an error", function()
  -- Runs act(scene) and returns what it wrote to stderr.
  local function stderr_of(act)
    local stderr, written = io.stderr, {}
    finally(function() io.stderr = stderr end) -- luacheck: ignore 122
    io.stderr = { write = function(_, ...) written[#written + 1] = table.concat { ... } end } -- luacheck: ignore 122
    scene.play(act)
    return written
  end

  it("in on_open closes the connection with 1011, and the client comes back", function()
    local written = stderr_of(function(s)
      local client, log = s:start { on_open = function(_, attempt) if attempt == 1 then error { "no string" } end end }
      local connection = s.server:accept()
      connection:upgrade()
      assert.equal(1011, s:shake(connection).code)
      assert.equal(1011, s:down(log, 1).code)
      s:admit(client)
    end)
    assert.equal(1, #written)
    assert.matches("^moonsocket: error in a callback: table: .*\nstack traceback:\n.*return_spec.lua", written[1])
  end)

  it("in on_down ends nothing", function()
    local written = stderr_of(function(s)
      local client = s:start { on_down = function() error "in on_down" end }
      s:admit(client):drop()
      s:answer ""
      s:admit(client)
    end)
    for i = 1, 2 do assert.matches("in on_down\nstack traceback:", written[i]) end
  end)

  it("in should_retry leaves the default to decide", function()
    local written = stderr_of(function(s)
      local client, log = s:start { should_retry = function() error "in should_retry" end }
      s:admit(client):drop()
      s:answer(response(404))
      assert.is_nil(s:down(log, 2).delay)
    end)
    assert.equal(2, #written)
    assert.matches("in should_retry\nstack traceback:", written[1])
  end)

  it("in on_message is ws's own affair, and the client comes back", function()
    scene.play(function(s)
      local said
      local client, log = s:start { on_open = function(ws)
        ws:on_error(function(message) said = message end)
        ws:on_message(function() error "in on_message" end)
      end }
      assert.equal(1011, s:shake(s:admit(client), raw_server.text "x").code)
      assert.equal(1011, s:down(log, 1).code)
      assert.matches("in on_message$", said)
      s:admit(client)
    end)
  end)
end)

describe("the options of reconnect", function()
  it("are checked at once, with those of connect", function()
    for _, case in ipairs {
      { { min_delay = 0 }, "option 'min_delay': a number of seconds, 0.001 or more expected, got 0" },
      { { max_delay = "60" }, "option 'max_delay': a number of seconds, 0.001 or more expected, got 60" },
      { { min_delay = 61 }, "option 'max_delay': min_delay, which is 61, or more expected, got 60" },
      { { stable_after = -1 }, "option 'stable_after': a number of seconds, 0 or more expected, got -1" },
      { { queue = true }, "option 'queue': an integer of 0 or more expected, got true" },
      { { on_open = 1 }, "option 'on_open': a function expected, got 1" },
      { { on_down = "x" }, "option 'on_down': a function expected, got x" },
      { { should_retry = true }, "option 'should_retry': a function expected, got true" },
      { { mindelay = 1 }, "unknown option 'mindelay': is 'min_delay' meant?" },
      { { timeout = 0 }, "option 'timeout': a number of seconds, 0.001 or more expected, got 0" },
      { { headers = { Host = "x" } }, "option 'headers': 'Host' cannot be given: it is the URL's host" },
      { { tls = { cert = 5 } }, "", "wss" },
      { 5, "a table of options expected, got a number" },
    } do
      local ok, wrong = pcall(moonsocket.reconnect, (case[3] or "ws") .. "://127.0.0.1:1/", case[1])
      assert.is_false(ok)
      assert.is_truthy(wrong:find("reconnect: " .. case[2], 1, true), wrong)
    end
  end)

  it("and the URL: the error names the caller's line", function()
    for _, case in ipairs {
      { "http://x", {} }, { "ws://x", { min_delay = 0 } }, { "ws://x", { min_delay = 61 } },
      { "wss://x", { tls = { ca = 5 } } }, { "ws://u:p@x", { headers = { Authorization = "y" } } },
    } do
      local ok, wrong = pcall(function() moonsocket.reconnect(case[1], case[2]) end)
      assert.is_false(ok)
      assert.matches("return_spec.lua:%d+: reconnect: ", wrong)
    end
  end)

  it("go to connect each time", function()
    scene.play(function(s)
      local client = s:start { headers = { ["X-Who"] = "me" }, subprotocols = { "chat" } }
      for _ = 1, 2 do
        local connection = s.server:accept()
        local request = connection:upgrade "Sec-WebSocket-Protocol: chat\r\n"
        assert.same({ { "me" }, { "chat" } },
          { request.headers["x-who"], request.headers["sec-websocket-protocol"] })
        s.await("an open client", function() return client.ws and client.ws.subprotocol == "chat" end)
        connection:drop()
        s.await("its end", function() return not client.ws end)
      end
    end)
  end)

  it("tls with files that cannot be used: nil and why", function()
    local client, wrong = moonsocket.reconnect("wss://127.0.0.1:1/", { tls = { ca = "/nowhere/at/all" } })
    assert.is_nil(client)
    assert.matches("^cannot use the option tls: ", wrong)
  end)

  it("are not set on the client", function()
    local client = moonsocket.reconnect "ws://127.0.0.1:1/"
    for _, name in ipairs { "on_open", "on_down", "send", "ws", 1 } do
      assert.error_matches(function() client[name] = print end,
        name .. " cannot be set here: what a client does is said in the options of reconnect")
    end
    assert.equal(0, core.held())
  end)
end)
