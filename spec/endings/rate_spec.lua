-- max_rate: who sends more is read no faster, and lives; or is closed with 1008.
local moonsocket = require "moonsocket"
local options = require "moonsocket.options"
local roles = require "spec.support.roles"
local scene = require "spec.support.scene"

-- Collects messages.
local function collect(ws)
  local got = {}
  ws:on_message(function(message) got[#got + 1] = message end)
  return got
end

-- Answers pings and our Close until TCP ends.
local function behave(p, side)
  moonsocket.go(function()
    while true do
      local frame = p:read_frame()
      if not frame then return p:drop() end
      if frame.name == "ping" then p:send(side.frame { opcode = 10, payload = frame.payload }) end
      if frame.name == "close" then
        p:send(side.close(frame.code))
        p:end_if_due()
      end
    end
  end)
end

for _, name in ipairs { "server", "client" } do
  local play = roles[name]

  describe("max_rate of a " .. name, function()
    it("reads a fast peer no faster, and loses nothing", function()
      play({ max_rate = { messages = 20, burst = 0.05 } }, function(ws, p, side)
        local got, before = collect(ws), moonsocket.now()
        p:send(side.text "1" .. side.text "2" .. side.text "3" .. side.text "4")
        scene.await("all messages", function() return #got == 4 end)
        assert.same({ "1", "2", "3", "4" }, got)
        assert.is_true(moonsocket.now() - before > 0.09) -- two had to wait
      end)
    end)

    it("does not take a peer that has to wait for dead", function()
      play({ max_rate = { messages = 4, burst = 0.1 }, ping_interval = 0.02, pong_timeout = 0.02, idle_timeout = 0.2 },
        function(ws, p, side, told)
          local got = collect(ws)
          behave(p, side)
          p:send(side.text "1" .. side.text "2" .. side.text "3")
          scene.await("all messages", function() return #got == 3 end)
          ws:close()
          assert.equal(1000, told().code)
        end)
    end)

    it("closes with 1008 where it is told to, and says why", function()
      for why, rate in pairs {
        ["more than 3 messages a second"] = { messages = 3, over = "close" },
        ["more than 4 bytes a second"] = { bytes = 4, over = "close" },
      } do
        play({ max_rate = rate }, function(ws, p, side, told)
          local got = collect(ws)
          behave(p, side)
          p:send(side.text "1" .. side.text "2" .. side.text "3" .. side.text "four")
          local ending = told()
          assert.same({ 1008, why, "local", 1008 }, { ending.code, ending.reason, ending.by, ending.sent })
          assert.same({ "1", "2", "3" }, got)
        end)
      end
    end)

    it("holds nothing up behind our own Close", function()
      play({ max_rate = { messages = 1, over = "close" } }, function(ws, p, side, told)
        local got = collect(ws)
        ws:close(4001)
        scene.await("our Close", function() return p:read_frame().name == "close" end)
        p:send(side.text "1" .. side.text "2" .. side.text "3" .. side.close(4001))
        p:end_if_due()
        assert.same({ 4001, true }, { told().code, told().clean })
        assert.same({ "1", "2", "3" }, got)
      end)
    end)

    it("counts the bytes of a message in parts", function()
      play({ max_rate = { bytes = 10, over = "close" } }, function(ws, p, side, told)
        behave(p, side)
        p:send(side.frame { opcode = 1, fin = false, payload = "0123456789" }
          .. side.frame { opcode = 0, payload = "x" })
        local reader = ws:reader()
        assert.equal("0123456789", reader:read())
        assert.same({ nil, "closed", 1008, "more than 10 bytes a second" }, { reader:read() })
        assert.equal(1008, told().code)
      end)
    end)

    it("lets a peer that has to wait be closed, and notices its end", function()
      play({ max_rate = { messages = 0.01, burst = 1 } }, function(ws, p, side, told)
        local got = collect(ws)
        behave(p, side)
        p:send(side.text "1" .. side.text "2")
        scene.await("the messages", function() return #got == 2 end)
        ws:close(4001)
        assert.same({ 4001, true }, { told().code, told().clean })
      end)
      play({ max_rate = { messages = 0.01 } }, function(ws, p, side, told)
        local got = collect(ws)
        p:send(side.text "1" .. side.text "2")
        scene.await("the messages", function() return #got == 2 end)
        p:reset()
        assert.equal(1006, told().code)
      end)
    end)
  end)
end

describe("max_rate", function()
  it("takes a number of messages a second, or a table", function()
    local function rate(value) return options.check("serve", { max_rate = value }, options.server, 2).max_rate end
    assert.is_false(rate(nil))
    assert.is_false(rate(false))
    assert.same({ messages = 10, bytes = 0, burst = 1, over = "pause" }, rate(10))
    assert.same({ messages = 0, bytes = 5, burst = 2, over = "close" }, rate { bytes = 5, burst = 2, over = "close" })
  end)

  it("refuses what is no rate", function()
    local expected = "a number of messages a second or a table { messages =, bytes =, burst =, over = } expected, got "
    for wrong, value in pairs {
      [expected .. "0"] = 0, [expected .. "inf"] = math.huge, [expected .. "true"] = true,
      ["messages or bytes expected, or both"] = { burst = 1 },
      ["option 'bytes': a number over 0 expected, got -1"] = { bytes = -1 },
      ["option 'over': \"pause\", \"close\" expected, got drop"] = { messages = 1, over = "drop" },
      ["unknown option 'message': is 'messages' meant?"] = { message = 1 },
    } do
      local ok, message = pcall(options.check, "serve", { max_rate = value }, options.server, 0)
      assert.is_false(ok)
      assert.equal("serve: option 'max_rate': " .. wrong, message)
    end
  end)
end)
