-- The files of a folder, over the wire: what is sent of them, what is not, and ends in the middle.
local files = require "moonsocket.files"
local moonsocket = require "moonsocket"
local program = require "spec.support.program"
local raw = require "raw"
local scene = require "spec.support.scene"

local function plain(path, lines, method)
  return ("%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"):format(method or "GET", path, lines or "")
end

local function shell(command) assert(os.execute(command)) end

-- act(the path of a folder), which is removed afterwards.
local function with_folder(act)
  local folder = os.tmpname()
  os.remove(folder)
  shell("mkdir -p " .. folder .. "/public/sub/deep " .. folder .. "/public/empty")
  local function write(name, text)
    local file = assert(io.open(folder .. "/" .. name, "wb"))
    file:write(text)
    file:close()
  end
  local ok, wrong = xpcall(act, debug.traceback, folder .. "/public", write)
  shell("rm -rf " .. folder)
  if not ok then error(wrong, 0) end
end

-- act(scene, the folder, write) with a server of such a folder under /f.
local function serve(act, options)
  with_folder(function(folder, write)
    local settings = { table = moonsocket.router():files("/f", folder) }
    for name, value in pairs(options or {}) do settings[name] = value end
    scene.play(settings, function(s) act(s, folder, write) end)
  end)
end

local MiB = 1024 * 1024

-- Reads an answer to its end, keeping nothing of it: how many bytes its body had, and how it ended.
local function swallow(p)
  assert(p:read_head())
  local size = #p.input
  while true do
    p.input = ""
    local ok, wrong = p:receive_raw()
    if not ok then return size, wrong end
    size = size + #p.input
  end
end

describe("a file", function()
  it("is sent as it is, and its type is that of its name", function()
    serve(function(s, _, write)
      write("public/page.html", "<p>ä")
      write("public/sub/data.bin", "\0\1\2")
      write("public/nothing", "")
      write("public/a b.CSS", "p {}")
      for path, expected in pairs {
        ["/f/page.html"] = { "<p>ä", "text/html; charset=utf-8" },
        ["/f/page.html?v=1"] = { "<p>ä", "text/html; charset=utf-8" },
        ["/f/sub/data.bin"] = { "\0\1\2", "application/octet-stream" },
        ["/f/nothing"] = { "", "application/octet-stream" },
        ["/f/a%20b.CSS"] = { "p {}", "text/css; charset=utf-8" },
        ["/f/sub/%64ata.bin"] = { "\0\1\2", "application/octet-stream" },
      } do
        local response = s:refusal(plain(path))
        assert.same(expected, { response.body, response.headers["content-type"] })
        assert.same({ 200, "nosniff" }, { response.status, response.headers["x-content-type-options"] })
      end
    end)
  end)

  it("has a type in every case that a page needs", function()
    for name, expected in pairs {
      ["x.js"] = "text/javascript; charset=utf-8", ["x.mjs"] = "text/javascript; charset=utf-8",
      ["x.svg"] = "image/svg+xml", ["x.PNG"] = "image/png", ["x.min.css"] = "text/css; charset=utf-8",
      ["x.wasm"] = "application/wasm", ["x.tar.gz"] = "application/octet-stream", ["html"] = "application/octet-stream",
    } do
      assert.equal(expected, files.type_of(name))
    end
  end)

  it("is not sent for HEAD, or to whom has it already", function()
    serve(function(s, folder, write)
      write("public/x.txt", "hello")
      shell("touch -d '1994-11-06 08:49:37 UTC' " .. folder .. "/x.txt")
      local p = s:connect()
      p:send(plain("/f/x.txt", "", "HEAD"))
      local head = assert(p:read_head())
      assert.truthy(head:find("Content-Length: 5\r\n", 1, true))
      assert.truthy(head:find("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 1, true))
      assert.same({ "", "fin" }, { p:read_rest() })
      p:drop()
      local same = "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
      local response = s:refusal(plain("/f/x.txt", same))
      assert.same({ 304, "" }, { response.status, response.body })
      assert.is_nil(response.headers["content-length"])
      assert.equal(200, s:refusal(plain("/f/x.txt", (same:gsub("37", "38")))).status)
      assert.equal(405, s:refusal(plain("/f/x.txt", "", "POST")).status)
    end)
  end)

  it("of a folder is its index.html, at a path that ends with a slash", function()
    serve(function(s, _, write)
      write("public/index.html", "top")
      write("public/sub/index.html", "sub")
      assert.equal("top", s:refusal(plain "/f/").body)
      assert.equal("sub", s:refusal(plain "/f/sub/").body)
      local moved = s:refusal(plain "/f/sub?a=b")
      assert.same({ 301, "/f/sub/?a=b" }, { moved.status, moved.headers.location })
      assert.equal("/f/", s:refusal(plain "/f").headers.location)
      assert.equal(404, s:refusal(plain "/f/empty/").status)
    end)
  end)

  it("is no file where the path leads out of the folder, or to what is hidden, linked or special", function()
    serve(function(s, folder, write)
      write("secret", "secret")
      write("public/.hidden", "secret")
      write("public/x", "x")
      shell("mkdir " .. folder .. "/.git && echo secret > " .. folder .. "/.git/config")
      shell(("cd %s && ln -s ../secret out && ln -s .. up && ln -s x in && mkfifo fifo && ln -s /dev/zero zero"):format(
        folder))
      shell("mkdir " .. folder .. "/index && mkdir " .. folder .. "/index/index.html")
      for _, path in ipairs {
        "/f/../secret", "/f/%2e%2e/secret", "/f/.%2E/secret", "/f/sub/../../secret", "/f/..%2fsecret",
        "/f/sub%2f..%2f..%2fsecret", "/f/..\\secret", "/f/..%5csecret", "/f/sub%5c..%5c..%5csecret", "/f//etc/passwd",
        "/f/%2fetc/passwd", "/f/%2Fetc%2Fpasswd", "/f/x%00", "/f/x%00.html", "/f/./x", "/f/sub/./../x", "/f/.hidden",
        "/f/%2ehidden", "/f/.git/config", "/f/out", "/f/up/secret", "/f/up/public/x", "/f/in", "/f/fifo", "/f/zero",
        "/f/x/", "/f/x/y", "/f/sub//", "/f/" .. ("a"):rep(300), "/f/" .. ("sub/../"):rep(20) .. "x",
        "/f/none", "/fx", "/f../secret",
      } do
        local response = s:refusal(plain(path))
        assert.is_nil(response.body:find "secret\n?$", path)
        assert.is_true(response.status == 404 or response.status == 301, path .. " " .. response.status)
      end
      assert.equal("x", s:refusal(plain "/f/x").body)
      assert.equal(404, s:refusal(plain "/f/index/").status)
    end)
  end)

  it("gives way to routes of their own", function()
    with_folder(function(folder, write)
      write("public/x", "file")
      write("public/y", "file")
      local router = moonsocket.router():files("/", folder):get("/x", function() return "page" end)
        :get("/sub/:name/page", function(request) return request.params.name end)
      scene.play({ table = router }, function(s)
        assert.equal("page", s:refusal(plain "/x").body)
        assert.equal("file", s:refusal(plain "/y").body)
        assert.equal("one", s:refusal(plain "/sub/one/page").body)
        assert.equal(404, s:refusal(plain "/sub/one/other").status)
      end)
    end)
  end)

  for name, over in pairs { ["in the clear"] = scene, ["over TLS"] = scene.over_tls } do
    it("of many pieces arrives whole, while others are served, " .. name, function()
      with_folder(function(folder, write)
        local bytes = {}
        for i = 1, 40000 do bytes[i] = ("%08d"):format(i):rep(10) end
        bytes = table.concat(bytes)
        write("public/large", bytes)
        write("public/small", "small")
        over.play({ table = moonsocket.router():files("/f", folder) }, function(s)
          local slow = s:connect()
          slow:send(plain "/f/large")
          moonsocket.sleep(0.05)
          local quick = s:connect()
          quick:send(plain "/f/small")
          assert.equal("small", quick:read_response().body)
          quick:drop()
          assert.is_true(bytes == slow:read_response().body)
          slow:drop()
        end)
      end)
    end)
  end

  it("of 256 MiB takes no memory", function()
    with_folder(function(folder)
      shell("truncate -s 256M " .. folder .. "/huge")
      program.run(function(self)
        local port = tonumber(self:await "^port (%d+)$")
        scene.play({}, function(s)
          s.to = { port = port }
          local before = raw.resident(self.pid)
          local p = s:connect()
          p:send(plain "/f/huge")
          assert.same({ 256 * MiB, "fin" }, { swallow(p) })
          p:drop()
          local grown = raw.resident(self.pid) - before
          -- memcheck and the sanitizers, which are preloaded, keep what was freed
          assert.is_true(grown < 4 * MiB or os.getenv "LD_PRELOAD" ~= nil, grown .. " bytes more")
        end)
        self:stop()
      end, "-e", ([[
        local moonsocket = require "moonsocket"
        local server = moonsocket.serve("127.0.0.1:0", moonsocket.router():files("/f", %q))
        print("port " .. server.port)
        moonsocket.run()
      ]]):format(folder))
    end)
  end)

  it("that becomes shorter while it is sent is cut off", function()
    serve(function(s, folder)
      shell("truncate -s 64M " .. folder .. "/shrinks")
      local p = s:connect()
      p:send(plain "/f/shrinks")
      assert(p:read_head())
      shell("truncate -s 1M " .. folder .. "/shrinks")
      local rest, tcp = p:read_rest()
      assert.is_true(#rest < 64 * MiB)
      assert.equal("reset", tcp)
      p:drop()
    end, { receive_buffer = 4096 })
  end)

  it("that grows while it is sent ends where it ended", function()
    serve(function(s, folder)
      shell("truncate -s 4M " .. folder .. "/grows")
      local p = s:connect()
      p:send(plain "/f/grows")
      assert(p:receive_raw())
      shell("truncate -s 8M " .. folder .. "/grows")
      assert.same({ 4 * MiB, "fin" }, { swallow(p) })
      p:drop()
    end, { receive_buffer = 4096 })
  end)

  it("is not sent for ever to whom takes nothing", function()
    serve(function(s, folder)
      shell("truncate -s 64M " .. folder .. "/large")
      local p = s:connect()
      p:send(plain "/f/large")
      scene.await("the end", function() return s.server:stats().requests[200] end)
      local _, tcp = p:read_rest()
      assert.equal("reset", tcp)
      p:drop()
    end, { receive_buffer = 4096, send_timeout = 0.2 })
  end)

  for what, leave in pairs { reset = "reset", close = "drop" } do
    it("is closed when the peer leaves in the middle: " .. what, function()
      serve(function(s, folder)
        shell("truncate -s 64M " .. folder .. "/large")
        local p = s:connect()
        p:send(plain "/f/large")
        assert(p:read_head())
        p[leave](p)
        scene.await("the end", function() return s.server:stats().requests[200] end)
      end, { receive_buffer = 4096 })
    end)
  end

  it("is sent to its end during a shutdown, within drain", function()
    serve(function(s, folder)
      shell("truncate -s 4M " .. folder .. "/large")
      local p = s:connect()
      p:send(plain "/f/large")
      assert(p:receive_raw())
      moonsocket.go(function() s.server:shutdown { drain = 30 } end)
      assert.same({ 4 * MiB, "fin" }, { swallow(p) })
      p:drop()
    end, { receive_buffer = 4096 })
  end)

  it("is closed at the end of drain", function()
    serve(function(s, folder)
      shell("truncate -s 64M " .. folder .. "/large")
      local p = s:connect()
      p:send(plain "/f/large")
      assert(p:read_head())
      s.server:shutdown { drain = 0.05 }
      local _, tcp = p:read_rest()
      assert.equal("reset", tcp)
      p:drop()
    end, { receive_buffer = 4096 })
  end)
end)
