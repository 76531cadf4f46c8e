-- A server of one block of a program, as in a test: where it is, and its end with the block.
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local stage = require "spec.support.stage"

local function silent(ws) ws:on_message(function() end) end

local function run(act) stage.run(act, function() end, {}) end

-- The url of a server there.
local function url_of(where, options)
  local url, server
  run(function()
    local it <close> = assert(moonsocket.serve(where, silent, options))
    url, server = it.url, { address = it.address }
  end)
  return url, server.address
end

describe("server.url", function()
  it("is what connects to it", function()
    run(function()
      for _, where in ipairs { "127.0.0.1:0", "[::1]:0", "localhost:0", 0 } do
        local server <close> = assert(moonsocket.serve(where, silent))
        local ws <close> = assert(moonsocket.connect(server.url))
        assert.equal("open", ws.state)
        assert.equal(1, server.count)
      end
    end)
  end)

  it("is its address with the scheme", function()
    local url, address = url_of "127.0.0.1:0"
    assert.equal("ws://" .. address, url)
  end)

  it("is wss: with TLS", function()
    local url, address = url_of("[::1]:0", { tls = certificates.of "localhost" })
    certificates.remove()
    assert.equal("wss://" .. address, url)
  end)

  it("encodes a Unix socket's path where a URL would be read otherwise, and knows none for TLS there", function()
    local path = os.tmpname() .. ":100%?#"
    assert.equal("ws+unix:" .. path:match "^[^:]*" .. "%3A100%25%3F%23", (url_of("unix:" .. path)))
    assert.is_nil((url_of("unix:" .. path, { tls = certificates.of "localhost" })))
    certificates.remove()
    os.remove(path:match "^[^:]*")
  end)

  it("cannot be set", function()
    run(function()
      local server <close> = assert(moonsocket.serve(0, silent))
      assert.has_error(function() server.url = "ws://elsewhere" end,
        "a server has no fields that can be set, such as url")
    end)
  end)
end)

describe("local server <close>", function()
  -- A connection to a server whose block ends as act ends: what the server's on_close and the client were told.
  local function ended(act)
    local told, ws
    run(function()
      pcall(function()
        local server <close> = assert(moonsocket.serve("127.0.0.1:0", {
          close = function(_, code, reason, info) told = { code, reason, info.by, info.sent } end,
        }))
        ws = assert(moonsocket.connect(server.url))
        act(server)
      end)
      assert.is_table(told) -- it waited for it
      ws:wait_closed()
    end)
    return told, ws.close_code
  end

  local ABORTED = { 1006, "aborted: still open at the end of the shutdown", "local", 1001 }

  it("shuts it down when the block ends, and waits for nobody", function()
    assert.same(ABORTED, (ended(function() end)))
  end)

  it("does so when the block ends by an error", function()
    assert.same(ABORTED, (ended(function() error "a mistake" end)))
  end)

  it("does nothing more where it was shut down before", function()
    local told, code = ended(function(server) server:shutdown() end)
    assert.same({ 1001, "", "local", 1001 }, told)
    assert.equal(1001, code)
  end)

  it("works at top level, and frees the port", function()
    local address
    do
      local server <close> = assert(moonsocket.serve("127.0.0.1:0", silent))
      address = server.address
    end
    local server <close> = assert(moonsocket.serve(address, silent))
    assert.equal(address, server.address)
  end)
end)
