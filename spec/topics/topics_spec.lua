-- Topics: who is subscribed gets what is published, and what a server knows of them.
local client_scene = require "spec.support.client_scene"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local raw = require "raw"
local scene = require "spec.support.scene"

local function next_frame(p) return peer.describe(assert(p:read_frame())) end

local function sorted(list)
  table.sort(list)
  return list
end

-- A handler that does what its peer says: "+topic", "-topic", "=topic message"; it answers with what that returned.
local function obeys(ws)
  ws:on_message(function(said)
    local what, topic, message = said:match "^(.)(%S*) ?(.*)$"
    if what == "+" then
      ws:send(tostring(ws:subscribe(topic)))
    elseif what == "-" then
      ws:send(tostring(ws:unsubscribe(topic)))
    elseif what == "=" then
      ws:send(tostring(ws:publish(topic, message)))
    elseif what == "?" then
      ws:send(table.concat(ws:topics(), " "))
    end
  end)
end

-- Says something and returns the answer.
local function ask(p, what)
  p:send(peer.text(what))
  return (next_frame(p):gsub("^text ?", ""))
end

-- A peer that is subscribed to the topics.
local function subscriber(s, ...)
  local p = s:open()
  for _, topic in ipairs { ... } do assert.equal("true", ask(p, "+" .. topic)) end
  return p
end

describe("a message that is published", function()
  it("reaches those that are subscribed to the topic, and nobody else", function()
    scene.play({ handler = obeys }, function(s)
      local a, b, other, none = subscriber(s, "room"), subscriber(s, "room", "hall"), subscriber(s, "hall"), s:open()
      assert.equal(2, s.server:publish("room", "hello"))
      assert.equal(2, s.server:publish("hall", "\xff", "binary"))
      assert.equal(0, s.server:publish("nowhere", "x"))
      assert.equal(4, s.server:broadcast "end")
      assert.same({ "text hello", "text end" }, { next_frame(a), next_frame(a) })
      assert.same({ "text hello", "binary \xff", "text end" }, { next_frame(b), next_frame(b), next_frame(b) })
      assert.same({ "binary \xff", "text end" }, { next_frame(other), next_frame(other) })
      assert.equal("text end", next_frame(none))
    end)
  end)

  it("does not come back to who published it, whether that is subscribed or not", function()
    scene.play({ handler = obeys }, function(s)
      local a, b, none = subscriber(s, "room"), subscriber(s, "room"), s:open()
      assert.equal("1", ask(a, "=room from a"))
      assert.equal("2", ask(none, "=room from outside"))
      assert.same({ "text from a", "text from outside" }, { next_frame(b), next_frame(b) })
      assert.equal("text from outside", next_frame(a))
    end)
  end)

  it("may be prepared", function()
    scene.play({ handler = obeys }, function(s)
      local a = subscriber(s, "room")
      local prepared = moonsocket.prepare("\0", "binary")
      for _ = 1, 2 do assert.equal(1, s.server:publish("room", prepared)) end
      assert.same({ "binary \0", "binary \0" }, { next_frame(a), next_frame(a) })
    end)
  end)

  it("stands between the other messages of a connection where it was published, and they go out together", function()
    scene.play({ handler = function(ws)
      ws:subscribe "room"
      ws:on_message(function()
        ws:send "before"
        for i = 1, 8 do ws.server_of_spec:publish("room", tostring(i)) end
        ws:send "after"
        ws.queued = ws.buffered
      end)
    end }, function(s)
      local p = s:open()
      s.await("a connection", function() return s:ws() end)
      s:ws().server_of_spec = s.server
      p:send(peer.text "go")
      for _, expected in ipairs { "before", "1", "2", "3", "4", "5", "6", "7", "8", "after" } do
        assert.equal("text " .. expected, next_frame(p))
      end
      assert.equal(2 + 6 + 8 * 3 + 2 + 5, s:ws().queued) -- none had left before its turn ended
      s:ws().server_of_spec = nil
    end)
  end)

  it("is kept once for all that are too slow to take it, and comes whole", function()
    local MANY, SIZE = 8, 1 << 23
    scene.play({ handler = obeys, receive_buffer = 4096, max_buffered = 2 * SIZE }, function(s)
      local slow = {}
      for i = 1, MANY do slow[i] = subscriber(s, "room") end
      local message = ("0123456789abcdef"):rep(SIZE // 16)
      local before = raw.resident()
      assert.equal(MANY, s.server:publish("room", message, "binary"))
      assert.equal(MANY, s.server:broadcast "next")
      assert.is_true(raw.resident() - before < 3 * SIZE)
      for _, ws in ipairs(s.server:connections()) do assert.is_true(ws.buffered > SIZE // 4) end
      for i = 2, MANY do slow[i]:reset() end
      assert.is_true(assert(slow[1]:read_frame()).payload == message)
      assert.equal("text next", next_frame(slow[1]))
    end)
  end)

  it("is counted", function()
    scene.play({ handler = obeys }, function(s)
      subscriber(s, "room")
      subscriber(s, "room")
      local before = s.server:stats()
      s.server:publish("room", "hello")
      local after = s.server:stats()
      assert.same({ 2, 10 }, { after.messages_out - before.messages_out, after.bytes_out - before.bytes_out })
    end)
  end)

  it("stays within its server", function()
    scene.play({ handler = obeys }, function(s)
      local other = assert(moonsocket.serve("127.0.0.1:0", obeys))
      subscriber(s, "room")
      assert.same({ 0, 0, {} }, { other:publish("room", "x"), other:topic_count "room", other:topics() })
      other:shutdown { drain = 0 }
    end)
  end)
end)

describe("the name of a topic", function()
  it("is compared as it is", function()
    local names = { "a", "A", "a ", "a\0", "a\0b", "\xff", "a/b", "a/*", "#", ("x"):rep(254), ("x"):rep(255) }
    local function handler(ws)
      for _, name in ipairs(names) do assert.is_true(ws:subscribe(name)) end
      ws:on_message(function() end)
    end
    scene.play({ handler = handler }, function(s)
      local p = s:open()
      s.await("all", function() return #s.server:topics() == #names end)
      assert.same(names, s:ws():topics())
      for i, name in ipairs(names) do
        assert.equal(1, s.server:publish(name, tostring(i)))
        assert.equal("text " .. i, next_frame(p))
      end
      for _, name in ipairs { "b", "aa", "a/", "*", ("x"):rep(253) } do assert.equal(0, s.server:publish(name, "x")) end
      assert.same(sorted(names), sorted(s.server:topics()))
    end)
  end)

  it("is a string of 1 to 255 bytes: anything else raises", function()
    scene.play({ handler = obeys }, function(s)
      s:open()
      s.await("a connection", function() return s:ws() end)
      local server, ws = s.server, s:ws()
      local calls = {
        subscribe = function(...) ws:subscribe(...) end, unsubscribe = function(...) ws:unsubscribe(...) end,
        publish = function(...) ws:publish(...) end, topic_count = function(...) server:topic_count(...) end,
      }
      for name, call in pairs(calls) do
        local where = ("bad argument #1 to '%s' %%("):format(name)
        local length = "the name of a topic has 1 to 255 bytes, not "
        assert.error_matches(function() call() end, where .. "string expected, got no value")
        assert.error_matches(function() call {} end, where .. "string expected, got table")
        assert.error_matches(function() call "" end, where .. length .. "0")
        assert.error_matches(function() call(("x"):rep(256)) end, where .. length .. "256")
      end
      for _, publish in ipairs { calls.publish, function(...) server:publish(...) end } do
        assert.error_matches(function() publish "t" end, "#2 to 'publish' %(string expected, got no value")
        assert.error_matches(function() publish("t", "\xff") end, "#2 to 'publish' %(text is not valid UTF%-8")
        assert.error_matches(function() publish("t", "x", "blob") end, "#3 to 'publish' %(the kind of a message is")
      end
      assert.same({ {}, {} }, { ws:topics(), server:topics() })
    end)
  end)
end)

describe("subscribe and unsubscribe", function()
  it("do once what they are asked for, however often", function()
    scene.play({ handler = obeys }, function(s)
      local p = s:open()
      for _, said in ipairs { "-a", "+a", "+b", "+a", "+c", "-b", "-b" } do assert.equal("true", ask(p, said)) end
      assert.equal("a c", ask(p, "?"))
      assert.same({ 1, 0, 1 }, { s.server:topic_count "a", s.server:topic_count "b", s.server:topic_count "c" })
      assert.equal(1, s.server:publish("a", "once"))
      assert.equal("text once", next_frame(p))
      assert.equal("true", ask(p, "+b"))
      assert.equal("a c b", ask(p, "?"))
    end)
  end)

  it("are for a server's ws alone", function()
    client_scene.play(function(s)
      local ws = s:meet(function(connection) connection:upgrade() end)
      local words = "topics are a server's: the ws of a client has none"
      for _, name in ipairs { "subscribe", "unsubscribe", "publish" } do
        assert.error_matches(function() ws[name](ws, "room", "x") end, words)
      end
      assert.same({}, ws:topics())
      ws:terminate()
      assert.same({ nil, "closed", 1006 }, { ws:subscribe "room" })
    end)
  end)

  it("work for many topics and many connections at once", function()
    local N = 60
    scene.play({ handler = obeys }, function(s)
      local all = {}
      for _ = 1, N do s:open() end
      s.await("all", function() return s.server.count == N end)
      for _, ws in ipairs(s.server:connections()) do all[#all + 1] = ws end
      for i, ws in ipairs(all) do
        for t = i, N do ws:subscribe("topic " .. t) end
      end
      for t = 1, N do assert.equal(t, s.server:topic_count("topic " .. t)) end
      for i = N, 1, -1 do
        for t = i, N, 2 do all[i]:unsubscribe("topic " .. t) end
      end
      local topics = 0
      for t = 1, N do
        assert.equal(t // 2, s.server:topic_count("topic " .. t))
        topics = topics + (t > 1 and 1 or 0)
        assert.equal(t // 2, s.server:publish("topic " .. t, "x"))
      end
      assert.equal(topics, #s.server:topics())
      all = nil -- luacheck: ignore
    end)
  end)
end)

describe("on_topic_empty", function()
  -- The topics that it was called for.
  local function emptied(s)
    local told = {}
    s.server:on_topic_empty(function(topic) told[#told + 1] = topic end)
    return told
  end

  it("is called when the last subscriber has gone, in whichever way", function()
    scene.play({ handler = obeys }, function(s)
      local told = emptied(s)
      local a, b, c = subscriber(s, "one", "both"), subscriber(s, "both"), subscriber(s, "reset")
      ask(a, "-one")
      s.await("one", function() return #told == 1 end)
      a:send(peer.close(1000))
      a:read_all()
      a:drop()
      s:ending(1)
      ask(b, "?")
      assert.same({ "one" }, told)
      b:drop()
      s.await("both", function() return #told == 2 end)
      c:reset()
      s.await("reset", function() return #told == 3 end)
      assert.same({ "one", "both", "reset" }, told)
      assert.same({}, s.server:topics())
    end)
  end)

  it("is not called for a topic that was left and entered in one turn", function()
    scene.play({ handler = function(ws)
      ws:on_message(function(topic)
        for _ = 1, 3 do
          ws:subscribe(topic)
          ws:unsubscribe(topic)
        end
        if topic == "stays" then ws:subscribe(topic) end
        ws:send "done"
      end)
    end }, function(s)
      local told = emptied(s)
      local p = s:open()
      for _, topic in ipairs { "stays", "goes" } do
        p:send(peer.text(topic))
        assert.equal("text done", next_frame(p))
      end
      s.await("goes", function() return #told > 0 end)
      assert.same({ { "goes" }, { "stays" } }, { told, s.server:topics() })
    end)
  end)

  it("may subscribe anew, publish, unsubscribe and wait", function()
    local told, ws = {}, nil
    scene.play({ handler = function(connection)
      ws = connection
      obeys(ws)
    end }, function(s)
      s.server:on_topic_empty(function(topic)
        moonsocket.sleep(0)
        told[#told + 1] = topic
        if topic == "again" and #told == 1 then
          ws:subscribe "again"
          ws:subscribe "next"
          s.server:publish("again", "still here")
          ws:unsubscribe "next"
        end
      end)
      local p = subscriber(s, "again")
      assert.equal("true", ask(p, "-again"))
      assert.equal("text still here", next_frame(p))
      s.await("next", function() return told[2] end)
      assert.same({ "again", "next" }, told)
      assert.same({ "again" }, s.server:topics())
      ws = nil
    end)
  end)

  it("is called for what a shutdown empties, before that is over", function()
    scene.play({ handler = obeys }, function(s)
      local told = emptied(s)
      subscriber(s, "room")
      s.server:shutdown { drain = 0 }
      assert.same({ "room" }, told)
    end)
  end)

  it("returns the function that was set before; nil takes it away", function()
    scene.play({ handler = obeys }, function(s)
      local function fn() error "not any more" end
      assert.is_nil(s.server:on_topic_empty(fn))
      assert.equal(fn, s.server:on_topic_empty(nil))
      assert.error_matches(function() s.server:on_topic_empty() end, "function expected, got no value")
      assert.error_matches(function() s.server.on_topic_empty = fn end, "on_topic_empty is a method")
      ask(subscriber(s, "room"), "-room")
      assert.same({}, s.server:topics())
    end)
  end)

  it("may raise when its server has long been forgotten", function()
    local waits, failed
    scene.play({ handler = obeys }, function(s)
      local server = assert(moonsocket.serve("127.0.0.1:0", function(ws) ws:subscribe "room" end))
      local weak = setmetatable({ server }, { __mode = "v" })
      server:on_error(function(message) failed = message end)
      server:on_topic_empty(function()
        waits = true
        s.await("the spec", function() return not waits end)
        error("late", 0)
      end)
      peer.open(server):drop()
      s.await("on_topic_empty", function() return waits end)
      server:shutdown { drain = 0 }
      server = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      assert.is_not_nil(weak[1])
      waits = false
      s.await("on_error", function() return failed end)
      assert.equal("late", failed)
      s.await("the collector", function()
        collectgarbage()
        return not weak[1]
      end)
    end)
  end)

  it("tells on_error where it raises", function()
    scene.play({ handler = obeys }, function(s)
      local failed
      s.server:on_error(function(message) failed = message end)
      s.server:on_topic_empty(function(topic) error("cannot let go of " .. topic, 0) end)
      ask(subscriber(s, "room"), "-room")
      s.await("the error", function() return failed end)
      assert.equal("cannot let go of room", failed)
    end)
  end)
end)
