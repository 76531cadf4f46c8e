-- testing.peer's opening: over every kind of socket, with what it is told to say, and what it tells where it fails.
local core = require "moonsocket.core"
local kit = require "spec.support.kit"
local moonsocket = require "moonsocket"
local raw_server = require "spec.support.raw_server"
local testing = require "moonsocket.testing"

describe("a peer connects", function()
  it("with headers, subprotocols, and the URL's path, query and user", function()
    local seen
    kit.run(function()
      local server <close> = assert(testing.server(function(ws, request)
        seen = { request.path, request.query, request.headers["x-a"], request.headers.authorization, ws.subprotocol }
      end, { subprotocols = { "chat" } }))
      local url = server.url:gsub("//", "//ann:secret@") .. "/room?name=ann"
      local peer <close> = assert(testing.peer(url, { headers = { ["X-A"] = "b" }, subprotocols = { "talk", "chat" } }))
      assert.equal(101, peer.response.status)
      assert.equal("chat", peer.response.headers["sec-websocket-protocol"])
    end)
    assert.same({ "/room", "name=ann", "b", "Basic YW5uOnNlY3JldA==", "chat" }, seen)
  end)

  it("over a Unix socket", function()
    local path = os.tmpname() .. ":100%?#"
    kit.run(function()
      local server <close> = assert(moonsocket.serve("unix:" .. path, function(ws) ws:send "hello" end))
      local peer <close> = assert(testing.peer(server.url))
      assert.equal("hello", peer:receive())
    end)
    os.remove(path)
    os.remove(path:match "^[^:]+")
  end)

  it("over TLS, whoever made the certificate, and finds the end of it", function()
    kit.play(function(peer, server)
      assert.matches("^wss://", server.url)
      peer:send_text "hello"
      assert.equal("hello", peer:receive())
      peer:close(1000)
      assert.equal(1000, peer:receive_frame().code)
      assert.equal("fin", peer:leave())
    end, nil, { tls = testing.certificate() })
  end)

  it("over TLS with a certificate that it is told to trust", function()
    kit.run(function()
      local server <close> = assert(testing.server(function() end, { tls = testing.certificate() }))
      local trusting <close> = assert(testing.peer(server.url, { tls = { ca = testing.certificate().cert } }))
      assert.equal(1000, trusting:receive_frame().code)
      local peer, why = testing.peer(server.url, { tls = { verify = true } })
      assert.is_nil(peer)
      assert.matches("^the opening handshake was not answered: .*certificate", why)
    end)
  end)

  it("without a word, where it is told so", function()
    for _, options in ipairs { {}, { tls = testing.certificate() } } do
      kit.play(function(peer)
        assert.is_nil(peer:ws())
        peer:send_raw "GET / HTTP/1.1\r\n\r\n"
        assert.matches("^HTTP/1.1 400 ", peer:receive_raw())
      end, nil, options, { handshake = false })
    end
  end)

  it("or tells that it is refused, with the answer", function()
    kit.run(function()
      local server <close> = assert(testing.server(function() end, {
        authorize = function() return 401, "who are you?", { ["X-Why"] = "because" } end,
      }))
      local peer, why, response = testing.peer(server.url)
      assert.same({ nil, "the server answered 401 instead of 101: who are you?" }, { peer, why })
      assert.same({ 401, "who are you?", "because" }, { response.status, response.body, response.headers["x-why"] })
    end)
  end)

  -- What a peer makes of an answer: it has gone when it tells.
  local function answered_with(bytes)
    local result, tcp
    kit.run(function()
      local listener = raw_server.listen()
      moonsocket.go(function()
        local connection = listener:accept()
        connection:read_request()
        connection:send(bytes)
        connection:fin()
        tcp = select(2, connection:read_rest())
        connection:drop()
      end)
      collectgarbage "stop" -- or it would do it
      result = table.pack(testing.peer(listener.url))
      assert.eventually(function() return tcp end)
      collectgarbage "restart"
      listener:stop()
    end)
    return table.unpack(result, 1, 3)
  end

  it("or tells that it is refused, with headers that came twice", function()
    local _, _, response = answered_with "HTTP/1.1 401 Who\r\nX-A: 1\r\nx-a:2\r\nContent-Length: 2\r\n\r\nno, and more"
    assert.same({ status = 401, headers = { ["x-a"] = "1, 2", ["content-length"] = "2" }, body = "no" }, response)
  end)

  it("or tells what is wrong with the answer", function()
    local accepted = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n\r\n"
    local whys = {
      [accepted:format "nonsense"] = "the server's Sec-WebSocket-Accept is wrong",
      ["hello\r\n\r\n"] = 'the opening handshake was not answered: no HTTP: "hello\\13\\\n\\13\\\n"',
      ["HTTP/1.1 101"] = "the opening handshake was not answered: fin",
      ["HTTP/1.1 503 Busy\r\n\r\n"] = "the server answered 503 instead of 101: ",
      ["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut"] = "the server answered 200 instead of 101: cut",
    }
    for answer, why in pairs(whys) do
      local peer, message = answered_with(answer)
      assert.is_nil(peer)
      assert.equal(why, message)
    end
  end)

  it("under the host's name, of which the dot of the root is no part", function()
    local server <close> = assert(testing.server(function(ws) ws:wait_closed() end, { tls = testing.certificate() }))
    local url = server.url:gsub("//[^:]+:", "//localhost.:")
    local peer <close> = assert(testing.peer(url, { tls = { ca = testing.certificate().cert } }))
    assert.equal("open", peer:ws().state)
  end)

  it("or tells that a file of the option tls cannot be read", function()
    local peer, why = testing.peer("wss://localhost", { tls = { ca = "/nowhere" } })
    assert.is_nil(peer)
    assert.matches("^cannot use the option tls: .*/nowhere", why)
  end)

  it("or tells that nobody is there, or answers in time", function()
    kit.run(function()
      local listener = raw_server.listen()
      kit.impatiently(0.02, function()
        assert.same({ nil, "the opening handshake was not answered: timeout" }, { testing.peer(listener.url) })
      end)
      listener:stop()
      local peer, why = testing.peer(listener.url)
      assert.is_nil(peer)
      assert.matches("^not connected: .*[Rr]efused", why)
    end)
  end)

  it("or gives up in time where nothing answers at all", function()
    kit.with_full_queue(function(url)
      local held = core.held()
      collectgarbage "stop" -- or it would let the loop go
      kit.impatiently(0.02, function()
        assert.same({ nil, "not connected: timeout" }, { testing.peer(url) })
      end)
      assert.equal(held, core.held())
      collectgarbage "restart"
    end)
  end)

  it("to the server's ws that is its own", function()
    kit.run(function()
      local server <close> = assert(testing.server(function(ws) ws:on_message(function() end) end))
      local one <close> = assert(testing.peer(server.url))
      local two <close> = assert(testing.peer(server.url))
      local ws, of = one:ws()
      assert.equal(server, of)
      assert.not_equal(ws, two:ws())
      two:ws():send "for two"
      assert.equal("for two", two:receive())
      one:reset()
      assert.closed_with(one:ws(), 1006)
      assert.equal(ws, (one:ws()))
    end)
  end)

  it("to the server's ws that is its own, also where many connect at once", function()
    kit.run(function()
      local server <close> = assert(testing.server(function(ws) ws:on_message(function() end) end))
      local peers = {}
      for i = 1, 10 do
        moonsocket.go(function() peers[i] = assert(testing.peer(server.url)) end)
      end
      assert.eventually(function() return #peers == 10 end)
      for i, peer in ipairs(peers) do peer:ws():send(tostring(i)) end
      for i, peer in ipairs(peers) do
        assert.received(peer, tostring(i))
        peer:drop()
      end
    end)
  end)

  it("to somebody else's server, of which it knows no ws", function()
    kit.against_raw(function(peer) assert.is_nil(peer:ws()) end)
  end)
end)
