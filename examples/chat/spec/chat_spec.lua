-- Tests of the chat, with people who leave in every way.
--   From the folder above: busted     (where `lua` is an older one: lua5.4 "$(command -v busted)")
local cjson = require "cjson"
local chat = require "chat"
local moonsocket = require "moonsocket"
local testing = require "moonsocket.testing"

-- What a peer is told next.
local function told(peer) return cjson.decode((assert(peer:receive()))) end

local function said(peer)
  local message = told(peer)
  assert.equal("message", message.type)
  return message.name .. ": " .. message.text
end

local function says(peer, text) peer:send_text(cjson.encode { text = text }) end

-- Somebody who has come into a room; what they were told; what else they said of themselves.
local function comes(server, name, room, more)
  local peer = assert(testing.peer(("%s/room/%s?name=%s%s"):format(server.url, room or "lobby", name, more or "")))
  local welcome = told(peer)
  assert.equal("welcome", welcome.type)
  return peer, welcome
end

describe("a chat room", function()
  local server, rooms, ann, bob

  before_each(function()
    server, rooms = assert(chat.open "127.0.0.1:0") -- any free port
    ann = comes(server, "ann")
    bob = comes(server, "bob")
    assert.same({ type = "came", name = "bob" }, told(ann))
  end)

  after_each(function()
    server:shutdown { drain = 0 }
    ann:drop()
    bob:drop()
  end)

  -- Comes with these parameters, and is sent away.
  local function is_sent_away(parameters, code, reason)
    local peer <close> = assert(testing.peer(server.url .. "/room/lobby" .. parameters))
    assert.received_close(peer, code, reason)
  end

  it("tells everybody what somebody says", function()
    says(bob, "hello")
    assert.equal("bob: hello", said(ann))
    assert.equal("bob: hello", said(bob))
  end)

  it("tells what was said as it was said: pages show it as text", function()
    says(bob, "<img src=x onerror=alert(1)> \"日本\"")
    assert.equal("bob: <img src=x onerror=alert(1)> \"日本\"", said(ann))
  end)

  it("tells nobody in another room", function()
    local eve <close> = comes(server, "eve", "cellar")
    says(bob, "hello")
    says(eve, "is anybody here?")
    assert.equal("eve: is anybody here?", said(eve))
  end)

  it("tells who comes who is here", function()
    local carol <close>, welcome = comes(server, "carol")
    assert.same({ "ann", "bob", "carol" }, welcome.people)
    carol:drop()
  end)

  it("tells who comes what was said, and who comes back what they have not seen", function()
    for number = 1, 3 do says(bob, "number " .. number) end
    for _ = 1, 3 do told(bob) end
    local carol <close> = comes(server, "carol")
    assert.equal("bob: number 1", said(carol))
    local dave <close> = comes(server, "dave", "lobby", "&since=" .. told(carol).id)
    local last = told(dave)
    assert.equal("number 3", last.text)
    assert.same(last, told(carol))
    local eve <close> = comes(server, "eve", "lobby", "&since=" .. last.id)
    says(eve, "nothing new?")
    assert.equal("eve: nothing new?", said(eve))
    for _, peer in ipairs { carol, dave, eve } do peer:drop() end
  end)

  it("keeps the last 50 messages, also while nobody is there", function()
    for number = 1, 54, 9 do
      local speaker = comes(server, "speaker")
      for each = number, number + 8 do says(speaker, "number " .. each) end
      speaker:close(1000)
      speaker:leave()
    end
    ann:drop()
    bob:drop()
    assert.eventually(function() return rooms.lobby.count == 0 end)
    local carol <close> = comes(server, "carol")
    for number = 5, 54 do assert.equal("speaker: number " .. number, said(carol)) end
    carol:drop()
  end)

  for what, parameters in pairs {
    ["no name"] = "", ["an empty name"] = "?name=", ["a blank name"] = "?name=+%20",
    ["a long name"] = "?name=" .. ("x"):rep(25),
    ["control characters in the name"] = "?name=a%0Ab", ["no text as a name"] = "?name=%FF",
  } do
    it("sends away who comes with " .. what, function()
      is_sent_away(parameters, 4400, "come with a name")
      assert.equal(2, rooms.lobby.count)
    end)
  end

  it("takes any name of 24 characters", function()
    local name = ("日"):rep(24)
    local carol <close>, welcome = comes(server, (name:gsub(".", function(c) return ("%%%02X"):format(c:byte()) end)))
    assert.is_truthy(table.concat(welcome.people, " "):find(name, 1, true))
    carol:drop()
  end)

  for what, message in pairs {
    ["no JSON"] = "hello", ["no text"] = "{}", ["a number"] = '{"text": 1}', ["an empty text"] = '{"text": " "}',
    ["a list"] = "[]", ["null"] = "null", ["a long text"] = ('{"text": "%s"}'):format(("x"):rep(1001)),
  } do
    it("sends away who says " .. what, function()
      bob:send_text(message)
      assert.received_close(bob, 1008, "^say {")
    end)
  end

  it("sends away who says more than a person can", function()
    for number = 1, 20 do says(bob, "number " .. number) end
    assert.received_close(bob, 1008)
  end)

  it("lets a name in once, and again when it has gone", function()
    is_sent_away("?name=bob", 4409, "bob is here already")
    bob:reset()
    assert.eventually(function() return not rooms.lobby.people.bob end)
    local again <close> = comes(server, "bob")
    says(again, "here I am")
    assert.equal("bob: here I am", said(again))
  end)

  it("lets a name in again with its key, and nobody takes it for another", function()
    local lost <close> = comes(server, "carol", "lobby", "&key=1234")
    is_sent_away("?name=carol&key=4321", 4409, "carol is here already")
    local back <close>, welcome = comes(server, "carol", "lobby", "&key=1234")
    assert.same({ "ann", "bob", "carol" }, welcome.people)
    assert.received_close(lost, 4408)
    lost:leave()
    assert.eventually(function() return server.count == 3 end)
    assert.same({ 3, "open" }, { rooms.lobby.count, rooms.lobby.people.carol.state })
    assert.same({ type = "came", name = "carol" }, told(ann))
    says(back, "again")
    assert.equal("carol: again", said(ann))
  end)

  it("tells that somebody goes", function()
    bob:close(1001)
    bob:leave()
    assert.same({ type = "went", name = "bob" }, told(ann))
  end)

  it("tells that somebody is lost, and why", function()
    bob:close(4001, "bored")
    bob:leave()
    assert.same({ type = "went", name = "bob", why = "bored" }, told(ann))
    local carol <close> = comes(server, "carol")
    told(ann)
    carol:reset()
    assert.same({ type = "went", name = "carol", why = "connection reset by peer" }, told(ann))
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
        assert.same({}, rooms.lobby.people)
        assert.equal(0, server.count)
      end)
    end
  end
end)
