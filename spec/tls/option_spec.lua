-- The option tls: what is taken, what is the caller's mistake, and what is said of files that cannot be used.
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local tls_scene = require "spec.support.tls_scene"

local function serve(tls)
  local server, message = moonsocket.serve("127.0.0.1:0", function() end, { tls = tls })
  if server then server:shutdown() end
  return server, message
end

local function connect(tls) return moonsocket.connect("wss://127.0.0.1:1/", { tls = tls }) end

-- What is said of the table, at the caller's line.
local function mistake(fn, tls)
  local ok, message = pcall(function() return (fn(tls)) end)
  assert.is_false(ok, "it is taken")
  return (message:gsub("^%.?/?[%w_/]+%.lua:%d+: ", ""))
end

describe("the option tls", function()
  teardown(certificates.remove)

  local function own(extra)
    local tls = { cert = "c", key = "k" }
    for name, value in pairs(extra) do tls[name] = value end
    return tls
  end
  local function name(sni) return own { sni = sni } end
  local long = ("a"):rep(64)

  local of_server = {
    { true, "a table expected, got true" },
    { "x.pem", "a table expected, got x.pem" },
    { {}, "cert and key expected: each is missing" },
    { { key = "k" }, "cert and key expected: cert is missing" },
    { { cert = "c" }, "cert and key expected: key is missing" },
    { own { crt = "x" }, "unknown field 'crt': is 'cert' meant?" },
    { own { SNI = {} }, "unknown field 'SNI': is 'sni' meant?" },
    { own { server_name = "x" }, "unknown field 'server_name': there are alpn, ca, cert, key, sni, verify" },
    { own { [1] = "x" }, "unknown field '1': there are alpn, ca, cert, key, sni, verify" },
    { own { cert = 1 }, "cert: the path of a file, or PEM, expected, got 1" },
    { own { key = "" }, "key: the path of a file, or PEM, expected, got an empty string" },
    { own { ca = true }, "ca: the path of a file, or PEM, expected, got true" },
    { own { verify = 1 }, "verify: a boolean expected, got 1" },
    { own { verify = true }, "verify: ca expected, which says whose clients are trusted" },
    { own { ca = "c" }, "ca: it says whose clients are trusted, if verify = true" },
    { own { alpn = "http/1.1" }, "alpn: a list of strings expected, got http/1.1" },
    { own { alpn = {} }, "alpn: the list is empty" },
    { own { alpn = { "a", 1 } }, "alpn: entry 2 is not a string but a number" },
    { own { alpn = { "" } }, "alpn: names of 1 to 255 bytes expected, got one of 0" },
    { own { alpn = { ("x"):rep(256) } }, "alpn: names of 1 to 255 bytes expected, got one of 256" },
    { own { alpn = { "h2" } }, "alpn: 'http/1.1' expected, not 'h2'" },
    { name(1), "sni: a table { [host] = { cert =, key = } } expected, got 1" },
    { name { { cert = "c" } }, "sni: a name such as 'chat.example.org' or '*.example.org' expected, got '1'" },
    { name { a = "c" }, "sni: a: a table expected, got c" },
    { name { a = { cert = "c" } }, "sni: a: cert and key expected: key is missing" },
    { name { a = { cert = "c", key = "k", ca = "x" } }, "sni: a: unknown field 'ca': there are cert, key" },
    { name { a = { cert = "c", key = 1 } }, "sni: a: key: the path of a file, or PEM, expected, got 1" },
  }
  for _, host in ipairs {
    "", "*", "*.", "a.*", "a.*.b", "a*.b", "**.b", "*a.b", ".b", "b.", "a..b", "a b", "a/b", "a:443", "127.0.0.1",
    "::1", "1", "-a.b", "\xc3\xa4.example", long .. ".b", ("a."):rep(127),
  } do
    of_server[#of_server + 1] = {
      name { [host] = { cert = "c", key = "k" } },
      ("sni: a name such as 'chat.example.org' or '*.example.org' expected, got '%s'"):format(host),
    }
  end
  local of_client = {
    { 1, "a table expected, got 1" },
    { { cert = "c" }, "cert and key expected: key is missing" },
    { { key = "k" }, "cert and key expected: cert is missing" },
    { { servername = "x" }, "unknown field 'servername': is 'server_name' meant?" },
    { { sni = {} }, "unknown field 'sni': there are alpn, ca, cert, key, server_name, verify" },
    { { ca = 1 }, "ca: the path of a file, or PEM, expected, got 1" },
    { { verify = "no" }, "verify: a boolean expected, got no" },
  }
  for _, value in ipairs { 1, "", "a:443", "https://a", "a b", "*.example.org" } do
    of_client[#of_client + 1] = { { server_name = value },
      "server_name: a host's name or address, without a port, expected, got " .. value }
  end

  for what, cases in pairs { serve = of_server, connect = of_client } do
    for i, case in ipairs(cases) do
      it(("of %s, %d: %s"):format(what, i, case[2]), function()
        local message = mistake(what == "serve" and serve or connect, case[1])
        assert.equal(("%s: option 'tls': %s"):format(what, case[2]), message)
      end)
    end
  end

  it("of serve takes no two names that differ in case alone", function()
    local tls = name { ["A.example"] = { cert = "c", key = "k" }, ["a.EXAMPLE"] = { cert = "c", key = "k" } }
    assert.matches("'[aA]%..-' and '[aA]%..-' are the same host$", mistake(serve, tls))
  end)

  it("of reload_tls is checked alike, at the caller's line", function()
    tls_scene.serve({}, function(_, _, server)
      local ok, message = pcall(function() server:reload_tls { crt = "x" } end)
      assert.is_false(ok)
      assert.matches("spec/tls/option_spec.lua:%d+: reload_tls: unknown field 'crt': is 'cert' meant%?$", message)
      assert.matches("reload_tls: a table expected, got 1$", mistake(function() server:reload_tls(1) end))
      assert.matches("reload_tls: a table expected, got false$", mistake(function() server:reload_tls(false) end))
    end)
    tls_scene.run(function()
      local server = assert(moonsocket.serve("127.0.0.1:0", function() end))
      assert.matches("reload_tls: the server was started without the option tls$",
        mistake(function() server:reload_tls {} end))
      server:shutdown()
    end)
  end)

  it("is left as it was", function()
    local tls = certificates.of "localhost"
    tls.sni = { ["Chat.example.org"] = certificates.of "chat" }
    assert(serve(tls))
    local expected = certificates.of "localhost"
    expected.sni = { ["Chat.example.org"] = certificates.of "chat" }
    assert.same(expected, tls)
  end)

  local path, text = certificates.path, certificates.text
  local function damaged() return (text "localhost.pem":gsub("MII", "!!!", 1)) end
  local function with(changes)
    local tls = certificates.of "localhost"
    for field, value in pairs(changes) do tls[field] = value end
    return tls
  end
  local function trusting(ca) return with { ca = ca, verify = true } end

  local of_files = {
    { "a certificate that is not there", function() return with { cert = "/nowhere/c.pem" } end,
      "cert (/nowhere/c.pem): No such file or directory" },
    { "a key that is not there", function() return with { key = "/nowhere/k.pem" } end,
      "key (/nowhere/k.pem): No such file or directory" },
    { "a folder", function() return with { cert = "/tmp" } end, "cert (/tmp): no certificate is in it" },
    { "a very long path", function() return with { cert = "/nowhere/" .. ("x"):rep(300) } end,
      "cert (" .. ("x"):rep(80) .. "): No such file or directory" },
    { "PEM without a certificate in it", function() return with { cert = text "localhost.key" } end,
      "cert: no certificate is in it" },
    { "PEM that is none", function() return with { cert = "-----BEGIN nonsense" } end,
      "cert: no certificate is in it" },
    { "a certificate that is damaged", function() return with { cert = damaged() } end,
      "cert: a certificate in it cannot be read" },
    { "a chain of which one is damaged", function() return with { cert = text "localhost.pem" .. damaged() } end,
      "cert: a certificate in it cannot be read" },
    { "PEM without a key in it", function() return with { key = text "localhost.pem" } end,
      "key: no private key can be read from it" },
    { "a key that is none", function() return with { key = "-----BEGIN nonsense" } end,
      "key: no private key can be read from it" },
    { "a key of another certificate", function() return with { key = text "second.key" } end,
      "key: it does not belong to the certificate, the first one in cert" },
    { "a chain whose leaf is not the first",
      function() return { cert = path "reversed.pem", key = text "below.key" } end,
      "key: it does not belong to the certificate, the first one in cert" },
    { "a key with a password", function() return { cert = path "secret.pem", key = text "secret.key" } end,
      "key: it is encrypted, and only a key without a password can be used" },
    { "a key that is too short", function() return { cert = text "short.pem", key = path "short.key" } end,
      "cert: ee key too small" },
    { "a ca that is not there", function() return trusting "/nowhere/ca.pem" end,
      "ca (/nowhere/ca.pem): No such file or directory" },
    { "a ca without one in it", function() return trusting(text "ca.key") end, "ca: no certificate is in it" },
    { "a ca of which one is damaged", function() return trusting(text "ca.pem" .. damaged()) end,
      "ca: a certificate in it cannot be read" },
  }
  for _, case in ipairs(of_files) do
    it("says what is wrong with " .. case[1], function()
      local tls = case[2]()
      for _, fn in ipairs { serve, connect } do
        assert.same({ nil, "cannot use the option tls: " .. case[3] }, { fn(tls) })
      end
      if tls.ca then return end
      local of_two = with { sni = { ["bad.example.org"] = tls, ["chat.example.org"] = certificates.of "chat" } }
      local field, wrong = case[3]:match "^(%a+)(.*)$"
      assert.same({ nil, ("cannot use the option tls: %s of bad.example.org%s"):format(field, wrong) },
        { serve(of_two) })
    end)
  end
end)
