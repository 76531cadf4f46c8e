-- Tests of the chat, with people who leave in every way.
--   From the folder above: busted     (where `lua` is an older one: lua5.4 "$(command -v busted)")
local chat = require "chat"
local moonsocket = require "moonsocket"
local testing = require "moonsocket.testing"

-- Somebody who has come into a room.
local function comes(server, name, room)
  local peer = assert(testing.peer(("%s/%s?name=%s"):format(server.url, room or "lobby", name)))
  assert.received(peer, name .. " comes")
  return peer
end

describe("a chat room", function()
  local server, rooms, ann, bob

  before_each(function()
    server, rooms = assert(chat.open "127.0.0.1:0") -- any free port
    ann = comes(server, "ann")
    bob = comes(server, "bob")
    assert.received(ann, "bob comes")
  end)

  after_each(function()
    server:shutdown { drain = 0 }
    ann:drop()
    bob:drop()
  end)

  it("tells everybody what somebody says", function()
    bob:send_text "hello"
    assert.received(ann, "bob: hello")
    assert.received(bob, "bob: hello")
  end)

  it("tells nobody in another room", function()
    local eve <close> = comes(server, "eve", "cellar")
    bob:send_text "hello"
    eve:send_text "is anybody here?"
    assert.received(eve, "eve: is anybody here?")
  end)

  it("sends away who has no name, and hears nothing of them", function()
    local nobody <close> = assert(testing.peer(server.url .. "/lobby"))
    nobody:send_text "hello"
    assert.received_close(nobody, 4400, "come with %?name=")
    bob:send_text "who was that?"
    assert.received(ann, "bob: who was that?")
  end)

  it("lets a name in once, and again when it has gone", function()
    local other <close> = assert(testing.peer(server.url .. "/lobby?name=bob"))
    assert.received_close(other, 4409, "bob is here already")
    bob:reset()
    assert.eventually(function() return not rooms["/lobby"].bob end)
    local again <close> = comes(server, "bob")
    again:send_text "here I am"
    assert.received(again, "bob: here I am")
  end)

  it("tells that somebody goes", function()
    bob:close(1001)
    bob:leave()
    assert.received(ann, "bob goes")
  end)

  it("tells that somebody is lost, and why", function()
    bob:close(4001, "bored")
    bob:leave()
    assert.received(ann, "bob is lost (bored)")
    local carol <close> = comes(server, "carol")
    assert.received(ann, "carol comes")
    carol:reset()
    assert.received(ann, "carol is lost (connection reset by peer)")
  end)

  it("tells everybody that the server shuts down", function()
    moonsocket.go(function() server:shutdown() end)
    assert.received_close(ann, 1001)
    assert.received_close(bob, 1001)
  end)
end)

describe("nobody is left in a room", function()
  for _, how in ipairs { "ws", "wss" } do
    for _, ending in ipairs(testing.endings { tls = how == "wss" }) do
      it(("after %s (%s)"):format(ending.name, how), function()
        local server <close>, rooms = assert(chat.open("127.0.0.1:0", ending.options))
        server:on_error(function() end) -- of the callback that raises
        local bob <close> = comes(server, "bob")
        assert.closed_with(ending.play(bob), ending.told)
        assert.same({}, rooms)
        assert.equal(0, server.count)
      end)
    end
  end
end)
