-- Tests of the chat room, with clients that leave in every way.
--   From the folder above: busted     (where `lua` is an older one: lua5.4 "$(command -v busted)")
local moonsocket = require "moonsocket"
local chat = require "chat"
local client = require "spec.client"

describe("the chat room", function()
  local server, ann

  before_each(function()
    server = assert(chat.open "127.0.0.1:0") -- any free port
    ann = client.connect(server, "/?name=ann")
    assert.equal("ann comes", ann:receive())
  end)

  after_each(function() server:shutdown { drain = 0 } end)

  local function bob_comes()
    local bob = client.connect(server, "/?name=bob")
    assert.equal("bob comes", bob:receive())
    assert.equal("bob comes", ann:receive())
    return bob
  end

  it("tells everybody what somebody says", function()
    local bob = bob_comes()
    bob:send "hello"
    assert.equal("bob: hello", ann:receive())
    assert.equal("bob: hello", bob:receive())
  end)

  it("sends away who has no name", function()
    local nobody = client.connect(server, "/")
    assert.same({ nil, 4400, "come with ?name=" }, { nobody:receive() })
  end)

  local ways_to_leave = {
    { "a Close frame", function(bob) bob:close(1000) end, "bob goes" },
    { "a page that is left", function(bob) bob:close(1001) end, "bob goes" },
    { "a code of the application's", function(bob) bob:close(4001, "bored") end, "bob is lost (bored)" },
    { "a killed process", function(bob) bob:vanish() end,
      "bob is lost (connection closed by the peer without a Close frame)" },
    { "a reset", function(bob) bob:reset() end, "bob is lost (connection reset by peer)" },
  }
  for _, way in ipairs(ways_to_leave) do
    local name, leave, told = table.unpack(way)
    it("tells that somebody has gone: " .. name, function()
      leave(bob_comes())
      assert.equal(told, ann:receive())
      assert.equal(1, server.count)
    end)
  end

  it("closes with 1001 when it is shut down", function()
    local code
    moonsocket.go(function() code = select(2, ann:receive()) end)
    assert.same({ 1, 0 }, { server:shutdown() })
    assert.equal(1001, code)
  end)
end)
