-- The URLs that connect takes: RFC 6455 section 3, RFC 3986, and a Unix socket's.
local url = require "moonsocket.url"

local function ws(fields)
  local parts = { scheme = "ws", host = "h", port = 80, target = "/", host_header = "h" }
  for name, value in pairs(fields or {}) do parts[name] = value end
  return parts
end

local function wss(fields)
  local parts = ws(fields)
  parts.scheme = "wss"
  if parts.port == 80 then parts.port = 443 end
  return parts
end

local function unix(path, target)
  return { scheme = "ws+unix", path = path, target = target or "/", host_header = "localhost" }
end

local good = {
  -- scheme and port
  ["ws://h"] = ws(),
  ["ws://h/"] = ws(),
  ["WS://h/"] = ws(),
  ["wss://h/"] = wss(),
  ["Wss://h"] = wss(),
  ["ws://h:80/"] = ws(),
  ["ws://h:/"] = ws(),
  ["ws://h:00080/"] = ws(),
  ["ws://h:443/"] = ws { port = 443, host_header = "h:443" },
  ["ws://h:8080"] = ws { port = 8080, host_header = "h:8080" },
  ["ws://h:1/"] = ws { port = 1, host_header = "h:1" },
  ["ws://h:65535/"] = ws { port = 65535, host_header = "h:65535" },
  ["wss://h:443/"] = wss(),
  ["wss://h:80/"] = { scheme = "wss", host = "h", port = 80, target = "/", host_header = "h:80" },
  -- host
  ["ws://LocalHost/"] = ws { host = "localhost", host_header = "localhost" },
  ["ws://a.b-c.example./"] = ws { host = "a.b-c.example.", host_header = "a.b-c.example." },
  ["ws://my_service:9/"] = ws { host = "my_service", port = 9, host_header = "my_service:9" },
  ["ws://xn--mnchen-3ya.example/"] = ws { host = "xn--mnchen-3ya.example", host_header = "xn--mnchen-3ya.example" },
  ["ws://127.0.0.1:81/"] = ws { host = "127.0.0.1", port = 81, host_header = "127.0.0.1:81" },
  ["ws://[::1]/"] = ws { host = "::1", host_header = "[::1]" },
  ["ws://[::1]:80/"] = ws { host = "::1", host_header = "[::1]" },
  ["ws://[::1]:81"] = ws { host = "::1", port = 81, host_header = "[::1]:81" },
  ["ws://[::]/"] = ws { host = "::", host_header = "[::]" },
  ["ws://[2001:DB8::A]/"] = ws { host = "2001:db8::a", host_header = "[2001:db8::a]" },
  ["ws://[1:2:3:4:5:6:7:8]/"] = ws { host = "1:2:3:4:5:6:7:8", host_header = "[1:2:3:4:5:6:7:8]" },
  ["ws://[1:2:3:4:5:6:7::]/"] = ws { host = "1:2:3:4:5:6:7::", host_header = "[1:2:3:4:5:6:7::]" },
  ["ws://[::ffff:127.0.0.1]/"] = ws { host = "::ffff:127.0.0.1", host_header = "[::ffff:127.0.0.1]" },
  ["ws://[fe80::1%25eth0]:81/"] = ws { host = "fe80::1%eth0", port = 81, host_header = "[fe80::1]:81" },
  ["ws://[fe80::1%eth0]/"] = ws { host = "fe80::1%eth0", host_header = "[fe80::1]" },
  -- path and query
  ["ws://h?"] = ws { target = "/?" },
  ["ws://h?a=1"] = ws { target = "/?a=1" },
  ["ws://h/chat?room=1&x=/?"] = ws { target = "/chat?room=1&x=/?" },
  ["ws://h//a/./../b//"] = ws { target = "//a/./../b//" },
  ["ws://h/a%20b%2fc?%C3%A9"] = ws { target = "/a%20b%2fc?%C3%A9" },
  ["ws://h/a b?c d"] = ws { target = "/a%20b?c%20d" },
  ["ws://h/café?q=✓"] = ws { target = "/caf%C3%A9?q=%E2%9C%93" },
  ["ws://h/-._~!$&'()*+,;=:@?-._~!$&'()*+,;=:@/?"] = ws { target = "/-._~!$&'()*+,;=:@?-._~!$&'()*+,;=:@/?" },
  ['ws://h/"<>[]\\^`{|}?"<>[]\\^`{|}'] = ws {
    target = "/%22%3C%3E%5B%5D%5C%5E%60%7B%7C%7D?%22%3C%3E%5B%5D%5C%5E%60%7B%7C%7D",
  },
  ["ws://h/a@b:c"] = ws { target = "/a@b:c" },
  ["ws://h/\xff"] = ws { target = "/%FF" },
  ["ws://h/http://other/"] = ws { target = "/http://other/" },
  -- user and password; the last four are RFC 4648 section 10 and RFC 7617 section 2
  ["ws://@h/"] = ws(),
  ["ws://ann@h/"] = ws { authorization = "Basic YW5uOg==" },
  ["ws://ann:@h/"] = ws { authorization = "Basic YW5uOg==" },
  ["ws://:secret@h/"] = ws { authorization = "Basic OnNlY3JldA==" },
  ["ws://a:b:c@h:81/x"] = ws { port = 81, host_header = "h:81", target = "/x", authorization = "Basic YTpiOmM=" },
  ["ws://a%40b:%3a%2F%25@[::1]/"] = ws {
    host = "::1", host_header = "[::1]", authorization = "Basic YUBiOjovJQ==",
  },
  ["wss://f:o@h/"] = wss { authorization = "Basic Zjpv" },
  ["ws://%C3%A9:%3F%3F>@h/"] = ws { authorization = "Basic w6k6Pz8+" },
  ["ws://Aladdin:open%20sesame@h/"] = ws { authorization = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
  ["ws://test:123%C2%A3@h/"] = ws { authorization = "Basic dGVzdDoxMjPCow==" },
  -- Unix sockets
  ["ws+unix:/run/a.sock"] = unix("/run/a.sock"),
  ["ws+unix:/run/a.sock:"] = unix("/run/a.sock"),
  ["WS+UNIX:/run/a.sock:/"] = unix("/run/a.sock"),
  ["ws+unix:/run/a.sock:/chat?x=1:2"] = unix("/run/a.sock", "/chat?x=1:2"),
  ["ws+unix:/run/a.sock:?x=1"] = unix("/run/a.sock", "/?x=1"),
  ["ws+unix:a.sock:/a b"] = unix("a.sock", "/a%20b"),
  ["ws+unix:/run/A b%3a%25%3f%23.sock:/"] = unix("/run/A b:%?#.sock"),
  ["ws+unix:///run/a.sock:/"] = unix("///run/a.sock"),
}

-- URL -> what its message says
local bad = {
  -- scheme
  [""] = "a URL begins with ws://, wss:// or ws+unix:",
  ["localhost"] = "a URL begins with ws://",
  ["//h/"] = "a URL begins with ws://",
  ["localhost:8080"] = "not with 'localhost:'",
  ["127.0.0.1:8080"] = "a URL begins with ws://",
  ["http://h/"] = "use ws:// instead of http:",
  ["HTTPS://h/"] = "use wss:// instead of https:",
  ["unix:/run/a.sock"] = "use ws+unix: instead of unix:",
  ["ftp://h/"] = "not with 'ftp:'",
  ["wss+unix:/run/a.sock"] = "not with 'wss+unix:'",
  ["ws:h/"] = "'//' is missing behind 'ws:': ws://host/path expected",
  ["ws:/h/"] = "'//' is missing",
  ["wss:"] = "wss://host/path expected",
  -- host
  ["ws://"] = "the host is missing",
  ["ws:///path"] = "the host is missing",
  ["ws://:80/"] = "the host is missing",
  ["ws://?x"] = "the host is missing",
  ["ws://ann@/"] = "the host is missing",
  ["ws://münchen.example/"] = "xn--",
  ["ws://h%2e/"] = "a host is not percent-encoded",
  ["ws://a b/"] = "the host 'a b' has a character",
  ["ws://a,b/"] = "the host 'a,b' has a character",
  ["ws://[h/"] = "the host '[h' has a character",
  ["ws://::1/"] = "stands in brackets",
  ["ws://2001:db8::a:8080/"] = "stands in brackets",
  ["ws://[]/"] = "[] is not an IPv6 address",
  ["ws://[h]/"] = "[h] is not an IPv6 address",
  ["ws://[1:2:3]/"] = "is not an IPv6 address",
  ["ws://[1:2:3:4:5:6:7:8:9]/"] = "is not an IPv6 address",
  ["ws://[1::2::3]/"] = "is not an IPv6 address",
  ["ws://[:::1]/"] = "is not an IPv6 address",
  ["ws://[1:2:3:4:5:6:7:8::]/"] = "is not an IPv6 address",
  ["ws://[::12345]/"] = "is not an IPv6 address",
  ["ws://[::127.0.0.256]/"] = "is not an IPv6 address",
  ["ws://[::127.0.0.1:1]/"] = "is not an IPv6 address",
  ["ws://[::1:]/"] = "is not an IPv6 address",
  ["ws://[127.0.0.1]/"] = "is not an IPv6 address",
  ["ws://[::1%25]/"] = "is not an IPv6 address",
  -- port
  ["ws://h:0/"] = "the port '0' is not a number from 1 to 65535",
  ["ws://h:65536/"] = "the port '65536' is not",
  ["ws://h:99999999999999999999/"] = "is not a number from 1 to 65535",
  ["ws://h:http/"] = "the port is not",
  ["ws://h:-1/"] = "the port is not",
  ["ws://h: 80/"] = "the port is not",
  ["ws://h:0x50/"] = "the port is not",
  ["ws://[::1]80/"] = "the port is not",
  ["ws://[::1]x:80/"] = "is not a number from 1 to 65535",
  ["ws://ann:secret/"] = "the port is not a number from 1 to 65535",
  -- fragment: RFC 6455 section 3
  ["ws://h/#"] = "no fragment",
  ["ws://h/a#b"] = "'%23'",
  ["ws://h#/"] = "no fragment",
  ["ws+unix:/run/a.sock:/#x"] = "no fragment",
  -- what may not stand in a request, or hide another
  ["ws://h/a\r\nX-Evil: 1"] = "control character",
  ["ws://h/a\n"] = "control character",
  ["ws://h/a\0b"] = "control character",
  ["ws://h\t/"] = "control character",
  ["ws://h/\127"] = "control character",
  [" ws://h/"] = "begins or ends with a space",
  ["ws://h/ "] = "begins or ends with a space",
  ["ws://h/100%"] = "the path or query has a '%'",
  ["ws://h/%zz"] = "'%25'",
  ["ws://h/?%4"] = "the path or query has a '%'",
  -- user and password
  ["ws://ann:s@cret@h/"] = "'%40'",
  ["ws://ann:100%@h/"] = "'%25'",
  ["ws://ann:s3cret/@h/"] = "'%2F'",
  ["ws://ann:s3cret?x@h/"] = "'%3F'",
  ["ws://a%3ab:c@h/"] = "the user has a ':'",
  ["ws://ann:a%0d%0aX@h/"] = "the user or password has a control character",
  -- Unix sockets
  ["ws+unix:"] = "the socket's path is missing",
  ["ws+unix::/chat"] = "the socket's path is missing",
  ["ws+unix:/run/a.sock:chat"] = "the resource does not begin with '/'",
  ["ws+unix:/run/a.sock?x=1"] = "a query belongs behind the resource",
  ["ws+unix:/run/%00.sock"] = "has a NUL",
  ["ws+unix:/run/100%.sock"] = "the socket's path has a '%'",
}

describe("url.parse", function()
  it("takes a URL apart", function()
    for text, parts in pairs(good) do
      local actual, wrong = url.parse(text)
      assert.same(parts, actual, ("%s: %s"):format(text, wrong))
    end
  end)

  it("says what is wrong with a URL", function()
    for text, words in pairs(bad) do
      local parts, wrong = url.parse(text)
      assert.is_nil(parts, text)
      assert(wrong:find(words, 1, true), ("%q: %q does not say %q"):format(text, wrong, words))
    end
  end)

  it("shows no password", function()
    for text in pairs(bad) do
      for _, secret in ipairs { "s@cret", "100%@", "%0aX", "s3cret" } do
        local _, wrong = url.parse(text)
        assert.is_nil(text:find("@", 1, true) and wrong:find(secret, 1, true), text)
      end
    end
  end)

  it("names the type of what is no string", function()
    for _, value in ipairs { 8080, true, {}, print } do
      assert.same({ nil, "a URL is a string, not a " .. type(value) }, { url.parse(value) })
    end
    assert.same({ nil, "a URL is a string, not a nil" }, { url.parse(nil) })
  end)

  it("makes of every byte in a path or query a target that is one word", function()
    for byte = 0, 255 do
      for _, start in ipairs { "/", "/?" } do
        local parts = url.parse("ws://h" .. start .. string.char(byte) .. "x")
        if parts then assert.is_truthy(parts.target:find "^/[%w%%._~!$&'()*+,;=:@/?-]+$", parts.target) end
        assert.equal(byte > 31 and byte ~= 127 and byte ~= 35 and byte ~= 37, parts ~= nil, byte)
      end
    end
  end)

  it("encodes user and password as RFC 4648 has it, whatever their length", function()
    local vectors = { f = "OmY=", fo = "OmZv", foo = "OmZvbw==", foob = "OmZvb2I=", fooba = "OmZvb2Jh" }
    for password, expected in pairs(vectors) do
      assert.equal("Basic " .. expected, url.parse("ws://:" .. password .. "@h/").authorization)
    end
  end)
end)
