-- testing.server and testing.certificate.
local kit = require "spec.support.kit"
local moonsocket = require "moonsocket"
local testing = require "moonsocket.testing"

describe("testing.server", function()
  it("is a server on a free port of 127.0.0.1", function()
    kit.run(function()
      local one <close> = assert(testing.server(function() end))
      local other <close> = assert(testing.server(function() end))
      assert.not_equal(one.port, other.port)
      assert.matches("^ws://127%.0%.0%.1:%d+$", one.url)
    end)
  end)

  it("takes what serve takes", function()
    kit.run(function()
      local server <close> = assert(testing.server({ open = function(ws) ws:send(ws.subprotocol) end },
        { subprotocols = { "chat" } }))
      local ws <close> = assert(moonsocket.connect(server.url, { subprotocols = { "chat" } }))
      assert.received(ws, "chat")
    end)
  end)

  it("tells a mistake at the line of the test", function()
    assert.has_error(function() testing.server(1) end)
    local _, wrong = pcall(function() testing.server(function() end, { max_mesage = 1 }) end)
    assert.equal(("spec/testing/server_spec.lua:%d: serve: unknown option 'max_mesage': is 'max_message' meant?")
      :format(debug.getinfo(1, "l").currentline - 2), wrong)
  end)
end)

describe("testing.certificate", function()
  it("is one that a client can be told to trust, by name and by address", function()
    kit.run(function()
      local server <close> = assert(testing.server(function(ws) ws:on_message(function() end) end,
        { tls = testing.certificate() }))
      for _, host in ipairs { "127.0.0.1", "localhost" } do
        local url = ("wss://%s:%d/"):format(host, server.port)
        local ws <close> = assert(moonsocket.connect(url, { tls = { ca = testing.certificate().cert } }))
        assert.equal("open", ws.state)
        local stranger, why = moonsocket.connect(url)
        assert.is_nil(stranger)
        assert.matches("certificate", why)
      end
    end)
  end)

  it("is the same for the whole program, and everybody's own", function()
    local one, other = testing.certificate(), testing.certificate()
    assert.same(one, other)
    one.cert = "mine"
    assert.not_equal("mine", testing.certificate().cert)
  end)

  -- A program of its own, whose PATH has no openssl.
  it("says what is missing where there is no openssl", function()
    local code = [[PATH='' "$0" -e "print(pcall(require 'moonsocket.testing'.certificate))"]]
    local lua = 'sh -c "command -v ' .. (os.getenv "LUA" or "lua5.4") .. '"'
    local pipe <close> = io.popen(("sh -c '%s' $(%s) 2>&1"):format(code:gsub("'", [['\'']]), lua))
    assert.matches("^false\t.*certificate: the program openssl is needed, 1%.1%.1 or later: ", pipe:read "a")
  end)
end)
