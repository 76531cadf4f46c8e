-- Each of testing.endings() makes happen what it says, whatever the style of the handler.
local kit = require "spec.support.kit"
local testing = require "moonsocket.testing"

-- Handlers that write down each on_close, or the end of their loop: told(code, reason, info).
local styles = {
  setters = function(told)
    return function(ws)
      ws:on_message(function() error "an ending sent a message" end)
      ws:on_close(told)
    end
  end,
  loop = function(told)
    return function(ws)
      for _ in ws:messages() do error "an ending sent a message" end
      told(ws.close_code, ws.close_reason, ws.close_info)
    end
  end,
  table = function(told)
    return {
      message = function() error "an ending sent a message" end,
      close = function(_, ...) told(...) end,
    }
  end,
}

-- What a handler was told, in the form of an ending.
local function outcome_of(code, reason, info)
  return {
    code = code, reason = reason, clean = info.clean, by = info.by, sent = info.sent or false,
    received = info.received or false,
  }
end

local function play(ending, style)
  kit.run(function()
    local ends = {}
    local handler = style(function(...) ends[#ends + 1] = outcome_of(...) end)
    local server <close> = assert(testing.server(handler, ending.options))
    server:on_error(function() end) -- of the callback that raises
    local peer <close> = assert(testing.peer(server.url))
    local ws = ending.play(peer)
    assert.equal(1, #ends)
    assert.equal("closed", ws.state)
    assert.equal(0, server.count)
    assert.matches(ending.told.reason, ends[1].reason)
    ends[1].reason = ending.told.reason
    assert.same(ending.told, ends[1])
  end)
end

for _, tls in ipairs { false, true } do
  describe("an ending" .. (tls and " over TLS" or ""), function()
    for _, ending in ipairs(testing.endings { tls = tls }) do
      it("is what it says: " .. ending.name, function()
        for _, style in pairs(styles) do play(ending, style) end
      end)
    end
  end)
end

describe("testing.endings", function()
  it("has names that tell them apart, and those over TLS besides", function()
    local clear, secure, seen = testing.endings(), testing.endings { tls = true }, {}
    for _, ending in ipairs(secure) do
      assert.is_nil(seen[ending.name], ending.name)
      seen[ending.name] = true
    end
    for _, ending in ipairs(clear) do assert.is_true(seen[ending.name], ending.name) end
    assert.is_true(#clear > 40)
    assert.is_true(#secure > #clear)
  end)

  it("gives everybody a list of their own", function()
    for _, ending in ipairs(testing.endings()) do
      ending.options.max_message, ending.told.code = 1, 0
    end
    for _, ending in ipairs(testing.endings()) do
      assert.is_nil(ending.options.max_message)
      assert.not_equal(0, ending.told.code)
    end
  end)

  it("has every code, every by, and both kinds of clean", function()
    local seen = {}
    for _, ending in ipairs(testing.endings()) do
      for _, name in ipairs { "code", "by", "clean" } do seen[tostring(ending.told[name])] = true end
    end
    for _, what in ipairs { "1000", "1001", "1002", "1005", "1006", "1007", "1008", "1009", "1011", "4000", "4001",
      "peer", "local", "network", "true", "false" } do
      assert.is_true(seen[what], what)
    end
  end)

  it("takes no options but tls", function()
    assert.has_error(function() testing.endings { ssl = true } end, "endings: unknown option 'ssl': there are tls")
    assert.has_error(function() testing.endings { tls = 1 } end, "endings: option 'tls': a boolean expected, got 1")
    assert.has_error(function() testing.endings "tls" end, "endings: a table of options expected, got a string")
  end)
end)

describe("an ending's play", function()
  local endings = {}
  for _, ending in ipairs(testing.endings()) do endings[ending.name] = ending end

  it("says that the server lacks the options, where nothing ends", function()
    for _, name in ipairs { "a peer that has vanished", "a peer that takes no more data" } do
      kit.play(function(peer)
        kit.impatiently(0.05, function()
          assert.has_error(function() endings[name].play(peer) end,
            ("play: '%s' did not end the connection within 0.05 s: does its server have the ending's options?")
              :format(name))
        end)
      end, nil, { send_timeout = 0 })
    end
  end)

  it("wants a peer that is connected to a server of this program", function()
    kit.play(function(peer)
      assert.has_error(function() endings["a reset"].play(peer) end,
        "play: the peer's connection is to no server of this program")
    end, nil, nil, { handshake = false })
  end)

  it("has the peer's part alone, where the server need not act", function()
    kit.play(function(peer)
      local ws = peer:ws()
      endings["a Close frame with a code and a reason"].alone(peer)
      assert.same({ 4001, "bored" }, { table.unpack({ ws:wait_closed() }, 1, 2) })
    end)
    assert.is_nil(endings["ws:close(), answered"].alone)
  end)

  -- As on a machine that is so slow that the short timeouts of its options are over before.
  it("is no other where the server has come before it", function()
    for _, name in ipairs { "a peer that has vanished", "an idle timeout" } do
      local ending = endings[name]
      kit.play(function(peer)
        local ws = peer:ws()
        assert.eventually(function() return ws.state ~= "open" end)
        assert.closed_with(ending.play(peer), ending.told)
      end, nil, ending.options)
    end
  end)

  it("says what else has happened before", function()
    kit.play(function(peer)
      peer:fin()
      peer:ws():wait_closed()
      assert.closed_with(endings["a reset"].play(peer), endings["the end of TCP"].told)
    end)
  end)

  it("plays on the peer's own connection, and leaves others alone", function()
    kit.play(function(peer, server)
      local other <close> = assert(testing.peer(server.url))
      local ws = peer:ws()
      assert.equal(ws, endings["a reset"].play(peer))
      assert.equal(1, server.count)
      other:send_text "still here?"
      assert.equal("still here?", other:receive())
    end)
  end)

  it("leaves nothing of the peer", function()
    local ending = endings["a peer that has vanished"]
    kit.play(function(peer)
      ending.play(peer)
      assert.same({ nil, "closed" }, { peer.stream:receive() })
    end, nil, ending.options)
  end)

  it("works at top level, too", function()
    local told
    local server <close> = assert(testing.server {
      close = function(_, code) told = code end,
    })
    local peer <close> = assert(testing.peer(server.url))
    endings["ws:close(), answered"].play(peer)
    assert.equal(4000, told)
  end)

  it("is not put off by what the server says before", function()
    local function handler(ws)
      ws:send "welcome"
      ws:on_message(function() end)
    end
    for _, name in ipairs { "ws:close(), answered", "ws:close(), answered by the end of TCP", "an idle timeout" } do
      kit.play(function(peer)
        assert.equal(endings[name].told.code, endings[name].play(peer).close_code)
      end, handler, endings[name].options)
    end
  end)
end)
