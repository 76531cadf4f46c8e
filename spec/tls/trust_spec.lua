-- Whom a client and a server trust, and which versions of TLS they speak.
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local tls_scene = require "spec.support.tls_scene"

local trusting = tls_scene.trusting

local function with(cert, key)
  key = key or cert:gsub("pem$", "key")
  return { cert = certificates.path(cert), key = certificates.path(key) }
end

describe("a client", function()
  teardown(certificates.remove)

  -- A server's cert and key, a client's options, and what is said of it; nil: they trust each other.
  local cases = {
    { "a name that its certificate has", "localhost.pem" },
    { "a name in another case", "localhost.pem", server_name = "LocalHost" },
    { "an address of IPv4 that its certificate has", "localhost.pem", host = "127.0.0.1" },
    { "an address that is asked for as server_name", "localhost.pem", server_name = "::1" },
    { "a name that a wildcard stands for", "wild.pem", server_name = "any.example.org" },
    { "a chain over an authority between", "chain.pem", key = "below.key" },
    { "a certificate signed by itself, where it is the ca", "lonely.pem", ca = "lonely.pem" },
    { "one of several authorities", "unknown.pem", ca = "both.pem" },

    { "another name", "elsewhere.pem", says = "hostname mismatch" },
    { "another address of IPv4", "localhost.pem", server_name = "127.0.0.2", says = "IP address mismatch" },
    { "an address, where the certificate has names alone", "elsewhere.pem", host = "127.0.0.1",
      says = "IP address mismatch" },
    { "two labels for a wildcard", "wild.pem", server_name = "a.b.example.org", says = "hostname mismatch" },
    { "no label for a wildcard", "wild.pem", server_name = "example.org", says = "hostname mismatch" },
    { "a wildcard that is a part of a label", "partial.pem", says = "hostname mismatch" },
    { "a wildcard that is a part of the first of several labels", "partial.pem", server_name = "long.example.org",
      says = "hostname mismatch" },
    { "a name in the subject alone", "nameless.pem", says = "hostname mismatch" },
    { "an authority that is not the ca", "unknown.pem", says = "unable to get local issuer certificate" },
    { "a chain without the authority between", "below.pem", says = "unable to get local issuer certificate" },
    { "a certificate signed by itself", "lonely.pem", says = "self.signed certificate" },
    { "a certificate that has expired", "expired.pem", says = "certificate has expired" },
    { "a certificate for clients alone", "only_client.pem", says = "certificate purpose" },
  }
  for _, case in ipairs(cases) do
    it((case.says and "refuses %s" or "trusts %s"):format(case[1]), function()
      tls_scene.serve({ tls = with(case[2], case.key) }, function(url, endings, server)
        if case.host then url = url:gsub("localhost", case.host) end
        local options = trusting { server_name = case.server_name, ca = certificates.path(case.ca or "ca.pem") }
        if not case.says then return tls_scene.works(url, endings, options) end
        assert.matches("^TLS failed: the peer's certificate is not trusted: .*" .. case.says,
          tls_scene.refusal(url, options))
        tls_scene.await_failed(server, 1)
        tls_scene.works(url, endings, { tls = { verify = false } })
      end)
    end)
  end

  it("trusts nobody but the system's store by default", function()
    tls_scene.serve({}, function(url)
      for _ = 1, 2 do
        assert.matches("not trusted: unable to get local issuer certificate", (select(2, moonsocket.connect(url))))
        assert.matches("not trusted: unable to get local issuer certificate", tls_scene.refusal(url, { tls = {} }))
      end
    end)
  end)
end)

describe("a server that verifies clients", function()
  teardown(certificates.remove)

  local cases = {
    { "one whose authority is the ca", "client.pem" },
    { "one with a chain", "chain.pem", key = "below.key" },
    { "none", says = "certificate required" },
    { "one of another authority", "unknown.pem", says = "unknown ca" },
    { "one that has expired", "expired.pem", says = "certificate expired" },
    { "one signed by itself", "lonely.pem", says = "unknown ca" },
    { "one for servers alone", "no_client.pem", says = "unsupported certificate" },
    { "one without the authority between", "below.pem", says = "unknown ca" },
  }
  for _, version in ipairs { "1.2", "1.3" } do
    for _, case in ipairs(cases) do
      it(("%s %s: TLS %s"):format(case.says and "refuses" or "takes", case[1], version), function()
        local tls = with "localhost.pem"
        tls.verify, tls.ca = true, certificates.path "ca.pem"
        tls_scene.serve({ tls = tls }, function(_, endings, server)
          local own = case[2] and with(case[2], case.key)
          local lines = tls_scene.client_lines(server.port, "--version", version,
            table.unpack(own and { "--cert", own.cert, "--key", own.key } or {}))
          local last = lines[#lines]
          if not case.says then
            assert.equal("ended close_notify", last)
            tls_scene.await_endings(endings, 1)
          else
            local missing = not own and version == "1.2" and "handshake failure" -- 1.2 has no other alert for it
            assert.matches(missing or case.says, last)
            tls_scene.await_failed(server, 1)
          end
        end)
      end)
    end
  end

  it("is told of to our client", function()
    local tls = with "localhost.pem"
    tls.verify, tls.ca = true, certificates.path "ca.pem"
    tls_scene.serve({ tls = tls }, function(url, endings)
      tls_scene.works(url, endings, trusting(with "client.pem"))
      assert.matches("^TLS failed: the peer gave up, with the alert certificate required", tls_scene.refusal(url))
      assert.matches("^TLS failed: the peer gave up, with the alert unknown ca",
        tls_scene.refusal(url, trusting(with "unknown.pem")))
      assert.equal(0, #endings)
    end)
  end)
end)

describe("a version of TLS", function()
  teardown(certificates.remove)

  for _, version in ipairs { "1.2", "1.3" } do
    it(version .. " is spoken by both", function()
      tls_scene.serve({}, function(_, _, server)
        local lines = tls_scene.client_lines(server.port, "--version", version)
        assert.equal("TLSv" .. version, lines[1]:match "^handshake (%S+)")
        assert.equal("ended close_notify", lines[2])
      end)
      tls_scene.run(function()
        local files = with "localhost.pem"
        tls_scene.python({ "server", "--version", version, "--cert", files.cert, "--key", files.key }, function(p)
          local code = tls_scene.end_by_peer("wss://localhost:" .. p:await "^port (%d+)" .. "/", trusting())
          assert.equal(1000, code)
          assert.equal("TLSv" .. version, p:await "^handshake (%S+)")
          p:await "^ended close_notify"
        end)
      end)
    end)
  end

  it("1.1 is refused by a server", function()
    tls_scene.serve({}, function(_, _, server)
      assert.matches("^failed .*protocol version", tls_scene.client_lines(server.port, "--version", "1.1")[1])
      tls_scene.await_failed(server, 1)
    end)
  end)

  it("1.1 is refused by a client", function()
    tls_scene.run(function()
      local files = with "localhost.pem"
      tls_scene.python({ "server", "--version", "1.1", "--cert", files.cert, "--key", files.key }, function(p)
        local message = tls_scene.refusal("wss://localhost:" .. p:await "^port (%d+)" .. "/")
        assert.matches("^TLS failed: the peer gave up, with the alert protocol version", message)
        p:await "^failed"
      end)
    end)
  end)
end)
