-- The protocol is agreed on in the TLS handshake (ALPN, RFC 7301): http/1.1, unless the option alpn says otherwise.
local certificates = require "spec.support.certificates"
local tls_scene = require "spec.support.tls_scene"

local function with(alpn)
  local tls = certificates.of "localhost"
  tls.alpn = alpn
  return tls
end

describe("ALPN", function()
  teardown(certificates.remove)

  -- Of a server: its option, what a client offers, what they agree on; nil: nothing, and the handshake fails.
  local of_server = {
    { nil, nil, "None" }, { nil, "http/1.1", "http/1.1" }, { nil, "h2,http/1.1", "http/1.1" }, { nil, "h2" },
    { nil, "http/1.0,HTTP/1.1" }, { { "b", "a" }, "a,b", "b" }, { { "b", "a" }, "c,a", "a" },
    { { "b" }, nil, "None" }, { { "b" }, "http/1.1" },
  }
  for _, case in ipairs(of_server) do
    local alpn, offered, agreed = case[1], case[2], case[3]
    local what = ("of a server with %s and a client with %s: %s"):format(
      alpn and table.concat(alpn, " ") or "the default", offered or "none", agreed or "no application protocol")
    it(what, function()
      tls_scene.serve({ tls = with(alpn) }, function(_, endings, server)
        local lines = tls_scene.client_lines(server.port, table.unpack(offered and { "--alpn", offered } or {}))
        if agreed then
          assert.equal(agreed, lines[1]:match "alpn=(%S+)")
          assert.equal("ended close_notify", lines[2])
          tls_scene.await_endings(endings, 1)
        else
          assert.matches("^failed .*no application protocol", lines[1])
          tls_scene.await_failed(server, 1)
        end
      end)
    end)
  end

  -- Of a client: its option, what a server takes (Python's never refuses), what they agree on.
  local of_client = {
    { nil, nil, "None" }, { nil, "h2,http/1.1", "http/1.1" }, { { "b", "a" }, "a,b", "a" }, { { "b" }, "a", "None" },
  }
  for _, case in ipairs(of_client) do
    local alpn, taken, agreed = case[1], case[2], case[3]
    local what = ("of a client with %s and a server with %s: %s"):format(
      alpn and table.concat(alpn, " ") or "the default", taken or "none", agreed)
    it(what, function()
      tls_scene.run(function()
        local files = certificates.of "localhost"
        local offer = taken and { "--alpn", taken } or {}
        tls_scene.python({ "server", "--cert", files.cert, "--key", files.key, table.unpack(offer) }, function(p)
          local url = "wss://localhost:" .. p:await "^port (%d+)" .. "/"
          tls_scene.end_by_peer(url, tls_scene.trusting { alpn = alpn })
          assert.equal(agreed, p:await "^handshake .* alpn=(%S+)")
          assert.equal(0, p:finish())
        end)
      end)
    end)
  end

  it("without anything in common is told to our client, too", function()
    tls_scene.serve({}, function(url)
      assert.matches("^TLS failed: the peer gave up, with the alert no application protocol",
        tls_scene.refusal(url, tls_scene.trusting { alpn = { "mqtt" } }))
    end)
  end)
end)
