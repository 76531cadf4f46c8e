-- The header lines of a client's request: made of tables, checked against injection. Those of a response are checked
-- over the wire, in spec/opening/admission_spec.lua.
local headers = require "moonsocket.headers"
local options = require "moonsocket.options"

local function lines(...) return (assert(headers.request(...))) end

local function refuses(words, ...)
  local made, wrong = headers.request(...)
  assert.is_nil(made)
  assert(wrong:find(words, 1, true), ("%q does not say %q"):format(wrong, words))
end

describe("the header lines of a request", function()
  it("are none where nothing is given", function()
    assert.equal("", lines())
    assert.equal("", lines({}, {}))
  end)

  it("are in the order of their names, one for each value", function()
    assert.equal("Accept-Language: de\r\nAccept-Language: en\r\nX-A: 1\r\nx-b: \r\n",
      lines { ["x-b"] = "", ["X-A"] = 1, ["Accept-Language"] = { "de", "en" }, ["X-None"] = {} })
  end)

  it("take every token as a name, and every text without control characters", function()
    assert.equal("!#$%&'*+-.^_`|~: tab\there, \xe9\xff\r\n", lines { ["!#$%&'*+-.^_`|~"] = "tab\there, \xe9\xff" })
  end)

  it("may be those that servers ask for", function()
    assert.equal("Authorization: Bearer x\r\nCookie: a=b\r\nOrigin: http://a.example\r\nUser-Agent: moon\r\n",
      lines { Origin = "http://a.example", Authorization = "Bearer x", ["User-Agent"] = "moon", Cookie = "a=b" })
  end)

  it("refuse a name that is no token", function()
    for _, name in ipairs { "", "a b", "a:", "a\r\nX-Evil: 1\r\nb", "a\0", "\xc3\xa9", "(a)", 'a"' } do
      refuses("is not a name that a header can have", { [name] = "1" })
    end
    refuses('"1" is not a name that a header can have', { "X-A: 1" })
  end)

  it("refuse a value that could begin a line of its own", function()
    for _, value in ipairs { "1\r\nX-Evil: 1", "1\nX-Evil: 1", "1\rX-Evil: 1", "\r\n\r\nGET /", "\0", "\127" } do
      refuses("the value of 'X-A' has a control character", { ["X-A"] = value })
      refuses("the value of 'X-A' has a control character", { ["X-A"] = { "fine", value } })
    end
  end)

  it("refuse a value that is no text", function()
    for _, value in ipairs { true, print, { {} }, { "fine", false } } do
      refuses("the value of 'X-A' is not a string but a ", { ["X-A"] = value })
    end
  end)

  it("refuse what the handshake sets, in any case", function()
    for _, name in ipairs {
      "Host", "host", "UPGRADE", "Connection", "Sec-WebSocket-Key", "sec-websocket-version", "Sec-WebSocket-Protocol",
      "Sec-WebSocket-Extensions", "Sec-WebSocket-Accept", "Content-Length", "Transfer-Encoding", "Expect", "Trailer",
    } do
      refuses(("'%s' cannot be given: "):format(name), { [name] = "1" })
    end
    refuses("the option subprotocols sets it", { ["Sec-WebSocket-Protocol"] = "chat" })
  end)

  it("have the URL's authorization, which nobody else may give as well", function()
    assert.equal("X-A: 1\r\nAuthorization: Basic eA==\r\n", lines({ ["X-A"] = 1 }, nil, "Basic eA=="))
    refuses("both a header 'Authorization' and a user in the URL", { authorization = "Bearer x" }, nil, "Basic eA==")
  end)
end)

describe("cookies", function()
  it("are one line, in the order of their names", function()
    assert.equal('Cookie: a=1; b="q"; c=; d=x=y&z/?\r\n', lines(nil, { d = "x=y&z/?", c = "", b = '"q"', a = 1 }))
  end)

  it("come behind the headers", function()
    assert.equal("X-A: 1\r\nCookie: a=b\r\n", lines({ ["X-A"] = 1 }, { a = "b" }))
  end)

  it("are refused beside a header that has some", function()
    refuses("both a header 'Cookie' and the option cookies", { cookie = "a=b" }, { c = "d" })
    assert.equal("cookie: a=b\r\n", lines({ cookie = "a=b" }, {}))
  end)

  it("are refused where a name or a value could be taken for something else", function()
    for _, name in ipairs { "", "a=b", "a;b", "a b", "a\r\n", "\xc3\xa9" } do
      refuses("is not a name that a cookie can have", nil, { [name] = "1" })
    end
    for _, value in ipairs { "1; b=2", "1, 2", "a b", 'a"b', '"', "a\\b", "1\r\nX: 1", "\0", "\127", "\xe9" } do
      refuses("the value of 'a' has a character that no cookie may have", nil, { a = value })
    end
    for _, value in ipairs { true, {}, print } do
      refuses("the value of 'a' is not a string but a ", nil, { a = value })
    end
  end)
end)

describe("the client's options", function()
  it("are a server's where they say how a connection is kept", function()
    local ours = { timeout = true, headers = true, cookies = true, max_body = true, proxy = true }
    for name, row in pairs(options.client) do
      local own = ours[name] or name == "tls" -- which both have, with fields of their own
      assert.equal(own and row or options.server[name], row, name)
      assert.is_nil(ours[name] and options.server[name], name)
    end
    for _, name in ipairs { "origins", "authorize", "backlog", "reuse_port", "max_connections", "handshake_timeout" } do
      assert.is_nil(options.client[name], name)
    end
  end)

  it("have the defaults that the reference says", function()
    local checked = options.check("connect", nil, options.client)
    assert.same({ 10, 65536, 8192 }, { checked.timeout, checked.max_body, checked.max_head })
    assert.same({}, { checked.headers, checked.cookies, checked.subprotocols })
  end)

  local wrong = {
    { "headers", "X-A: 1", "option 'headers': a table { name = value } expected, got X-A: 1" },
    { "cookies", "a=b", "option 'cookies': a table { name = value } expected, got a=b" },
    { "timeout", 0, "option 'timeout': a number of seconds, 0.001 or more expected, got 0" },
    { "timeout", "10", "option 'timeout': a number of seconds, 0.001 or more expected, got 10" },
    { "max_body", -1, "option 'max_body': an integer of bytes, 0 or more expected, got -1" },
    { "subprotocols", "chat", "option 'subprotocols': a list of strings expected, got chat" },
    { "header", {}, "unknown option 'header': is 'headers' meant?" },
    { "time_out", 1, "unknown option 'time_out': is 'timeout' meant?" },
    { "handshake_timeout", 1, "unknown option 'handshake_timeout': there are " },
  }
  for _, case in ipairs(wrong) do
    it(("refuse %s = %s"):format(case[1], type(case[2]) == "table" and "a wrong table" or case[2]), function()
      local ok, message = pcall(options.check, "connect", { [case[1]] = case[2] }, options.client, 0)
      assert.is_false(ok)
      assert.equal("connect: " .. case[3], message:sub(1, 9 + #case[3]))
    end)
  end
end)
