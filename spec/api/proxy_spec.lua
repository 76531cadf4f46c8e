-- Proxies: their URLs, and what the environment says, without a socket.
local proxy = require "moonsocket.proxy"
local url = require "moonsocket.url"

describe("proxy.parse", function()
  local function http(host, port, authorization)
    return { kind = "http", host = host, port = port, authorization = authorization }
  end
  local function socks5(host, port, user, password)
    return { kind = "socks5", host = host, port = port, user = user or "", password = password or "" }
  end
  local good = {
    ["http://p"] = http("p", 80),
    ["HTTP://Proxy.Example:3128/"] = http("proxy.example", 3128),
    ["http://[::1]:3128"] = http("::1", 3128),
    ["http://@p"] = http("p", 80),
    ["http://ann:s@p"] = http("p", 80, "Basic YW5uOnM="),
    ["http://ann@p"] = http("p", 80, "Basic YW5uOg=="),
    ["http://a:%2F%3f%23%40@p:1"] = http("p", 1, "Basic YTovPyNA"),
    ["socks5://p"] = socks5("p", 1080),
    ["SOCKS5H://p:9050/"] = socks5("p", 9050),
    ["socks5://ann:s%3a%00@p"] = socks5("p", 1080, "ann", "s:\0"),
    ["socks5://a%3ab@p"] = socks5("p", 1080, "a:b"),
    [("socks5://%s:%s@p"):format(("u"):rep(255), ("p"):rep(255))] = socks5("p", 1080, ("u"):rep(255), ("p"):rep(255)),
  }
  for text, parts in pairs(good) do
    it("takes " .. text:sub(1, 40), function() assert.same({ parts }, { proxy.parse(text) }) end)
  end

  local SHAPE = 'a proxy\'s URL is "http://host:port" or "socks5://host:port"'
  local bad = {
    [""] = SHAPE, ["p"] = SHAPE, ["p:3128"] = SHAPE, ["//p:3128"] = SHAPE, ["http:p"] = SHAPE, ["environment "] = SHAPE,
    ["ws://p"] = "does not begin with 'ws://'",
    ["socks4://p"] = "does not begin with 'socks4://'",
    ["socks://p"] = "does not begin with 'socks://'",
    ["HTTPS://p"] = "TLS to the proxy itself (https://) is not supported",
    ["http://"] = "the host is missing",
    ["http://:3128"] = "the host is missing",
    ["http://ann:secret@"] = "the host is missing",
    ["http://a b"] = "a character that no host may have",
    ["http://::1"] = "stands in brackets",
    ["http://p:0"] = "the port '0'",
    ["http://p:65536"] = "the port '65536'",
    ["http://ann:secret"] = "the port is not a number",
    ["http://p/path"] = "ends with the port",
    ["http://p?x"] = "ends with the port",
    ["http://p#x"] = "ends with the port",
    ["http://ann:secret/x@p"] = "'%2F'",
    ["http://ann:secret?@p"] = "'%3F'",
    ["http://ann:secret#@p"] = "'%23'",
    ["http://ann:secret@x@p"] = "'%40'",
    ["http://ann:secret%@p"] = "'%25'",
    ["http://ann:secret%0d%0aX@p"] = "has a control character",
    ["http://ann:secret\r\n@p"] = "has a control character",
    ["http://a%3ab:secret@p"] = "the user has a ':'",
    ["socks5://:secret@p"] = "a password without a user",
    ["socks5://" .. ("u"):rep(256) .. "@p"] = "longer than the 255 bytes",
    ["socks5://u:" .. ("secret"):rep(50) .. "@p"] = "longer than the 255 bytes",
  }
  for text, words in pairs(bad) do
    it("says what is wrong with " .. ("%q"):format(text:sub(1, 40)), function()
      local parts, wrong = proxy.parse(text)
      assert.is_nil(parts)
      assert(wrong:find(words, 1, true), wrong)
      assert.is_nil(wrong:find("secret", 1, true), wrong)
    end)
  end

  it("names the type of what is no string", function()
    for _, value in ipairs { 3128, true, {}, print } do
      assert.same({ nil, "a proxy's URL is a string, not a " .. type(value) }, { proxy.parse(value) })
    end
  end)
end)

-- What the environment says for a URL: "kind host:port", or nil and what is wrong.
local function choose(environment, target)
  local found, wrong = proxy.choose(function(name) return environment[name] end, assert(url.parse(target)))
  return found and ("%s %s:%d"):format(found.kind, found.host, found.port), wrong
end

describe("the environment's proxy", function()
  local all = {
    http_proxy = "http://a:1", HTTP_PROXY = "http://b:2", https_proxy = "http://c:3", HTTPS_PROXY = "http://d:4",
    all_proxy = "socks5://e:5", ALL_PROXY = "socks5://f:6",
  }

  -- Each variable in its turn, once those before it are gone; the empty one counts as gone.
  local orders = {
    ["ws://h/"] = { { "http_proxy", "http a:1" }, { "HTTP_PROXY", "http b:2" }, { "all_proxy", "socks5 e:5" },
      { "ALL_PROXY", "socks5 f:6" } },
    ["wss://h/"] = { { "https_proxy", "http c:3" }, { "HTTPS_PROXY", "http d:4" }, { "all_proxy", "socks5 e:5" },
      { "ALL_PROXY", "socks5 f:6" } },
  }
  for target, order in pairs(orders) do
    for _, gone in ipairs { false, "" } do
      it(("for %s is the first that is set, where others are %q"):format(target, tostring(gone)), function()
        local environment = {}
        for name, value in pairs(all) do environment[name] = value end
        for _, step in ipairs(order) do
          assert.equal(step[2], choose(environment, target))
          environment[step[1]] = gone or nil
        end
        assert.is_nil(choose(environment, target))
      end)
    end
  end

  it("is not taken from HTTP_PROXY in a CGI program, where a client sets it", function()
    local environment = { HTTP_PROXY = "http://evil:1", REQUEST_METHOD = "GET" }
    assert.same({}, { choose(environment, "ws://h/") })
    environment.all_proxy = "http://a:1"
    assert.equal("http a:1", choose(environment, "ws://h/"))
    environment.http_proxy = "http://b:2"
    assert.equal("http b:2", choose(environment, "ws://h/"))
    assert.equal("http d:4", choose({ HTTPS_PROXY = "http://d:4", REQUEST_METHOD = "GET" }, "wss://h/"))
  end)

  it("may come without a scheme", function()
    assert.equal("http p:3128", choose({ http_proxy = "p:3128" }, "ws://h/"))
    assert.equal("http p:80", choose({ http_proxy = "ann:secret@p" }, "ws://h/"))
  end)

  it("is wrong in words that name the variable, and no password", function()
    for value, words in pairs {
      ["https://ann:secret@p"] = "not supported", ["ann:secret/@p"] = "ends with the port",
      ["ann:secret"] = "the port is not",
    } do
      local found, wrong = choose({ ALL_PROXY = value }, "wss://h/")
      assert.is_nil(found)
      assert(wrong:find("environment variable ALL_PROXY: ", 1, true) == 1 and wrong:find(words, 1, true), wrong)
      assert.is_nil(wrong:find("secret", 1, true))
    end
  end)

  it("is none for this machine itself", function()
    for _, host in ipairs { "localhost", "LOCALHOST:8080", "127.0.0.1", "127.8.9.1:99", "[::1]", "[0:0::1]:81" } do
      assert.is_nil(choose(all, "ws://" .. host .. "/"), host)
    end
    for _, host in ipairs { "localhost.example", "my.localhost", "128.0.0.1", "[::2]" } do
      assert.equal("http a:1", choose(all, "ws://" .. host .. "/"))
    end
  end)
end)

describe("NO_PROXY", function()
  local function is_direct(list, host, name)
    return choose({ ALL_PROXY = "http://p", [name or "NO_PROXY"] = list }, "ws://" .. host .. "/") == nil
  end

  -- list, hosts that it covers, hosts that it does not
  local lists = {
    { "*", { "a.example", "10.0.0.1", "[2001:db8::1]" }, {} },
    { "example.com", { "example.com", "a.example.com", "a.b.example.com:81", "EXAMPLE.com" },
      { "notexample.com", "example.com.org", "example.org", "com" } },
    { "Example.COM", { "example.com", "a.example.com" }, { "example.org" } },
    { ".example.com", { "a.example.com", "a.b.example.com" }, { "example.com", "notexample.com" } },
    { "*.example.com", { "a.example.com" }, { "example.com", "notexample.com" } },
    { "example.com:8080", { "example.com:8080", "a.example.com:8080" }, { "example.com", "example.com:8081" } },
    { ".example.com:80", { "a.example.com" }, { "example.com", "a.example.com:81" } },
    { "a.example, b.example,,c.example d.example", { "a.example", "b.example", "c.example", "d.example" },
      { "e.example" } },
    { "10.0.0.1", { "10.0.0.1", "10.0.0.1:81" }, { "10.0.0.11", "110.0.0.1", "a.10.0.0.1.example" } },
    { "10.0.0.1:81", { "10.0.0.1:81" }, { "10.0.0.1" } },
    { "0.0.1", {}, { "10.0.0.1" } },
    { "10.0.0.0/8", { "10.0.0.1", "10.255.255.255" }, { "11.0.0.1", "[::a00:1]", "10.example" } },
    { "192.168.4.0/22", { "192.168.4.1", "192.168.7.255" }, { "192.168.3.255", "192.168.8.0" } },
    { "10.0.0.1/32", { "10.0.0.1" }, { "10.0.0.2" } },
    { "10.0.0.0/33", {}, { "10.0.0.0" } },
    { "10.0.0.0/99999999999999999999", {}, { "10.0.0.0" } },
    { "0.0.0.0/0", { "1.2.3.4" }, { "a.example", "[2001:db8::1]" } },
    { "example.com/8", {}, { "example.com" } },
    { "2001:db8::1", { "[2001:db8::1]", "[2001:DB8:0::1]:81" }, { "[2001:db8::2]" } },
    { "[2001:db8::1]", { "[2001:db8::1]", "[2001:db8::1]:81" }, { "[2001:db8::2]" } },
    { "[2001:db8::1]:81", { "[2001:db8::1]:81" }, { "[2001:db8::1]" } },
    { "2001:db8::/32", { "[2001:db8::1]", "[2001:db8:ffff::]" }, { "[2001:db9::1]", "10.0.0.1" } },
    { "fe80::1", { "[fe80::1%25eth0]" }, {} },
    { "", {}, { "a.example" } },
    { " , ,", {}, { "a.example" } },
    { ".", {}, { "a.example" } },
    { ":80", {}, { "a.example" } },
    { "/", {}, { "a.example" } },
  }
  for _, case in ipairs(lists) do
    it(("%q covers its own"):format(case[1]), function()
      for _, host in ipairs(case[2]) do assert.is_true(is_direct(case[1], host), host) end
      for _, host in ipairs(case[3]) do assert.is_false(is_direct(case[1], host), host) end
    end)
  end

  it("may be written in lower case, which goes before", function()
    assert.is_true(is_direct("a.example", "a.example", "no_proxy"))
    local environment = { all_proxy = "http://p", no_proxy = "b.example", NO_PROXY = "*" }
    assert.equal("http p:80", choose(environment, "ws://a.example/"))
    environment.no_proxy = ""
    assert.is_nil(choose(environment, "ws://a.example/"))
  end)

  it("knows the port that is the scheme's own", function()
    local environment = { ALL_PROXY = "http://p", NO_PROXY = "a.example:443" }
    assert.is_nil(choose(environment, "wss://a.example/"))
    assert.equal("http p:80", choose(environment, "ws://a.example/"))
  end)
end)
