-- A large message through readers and writers, in bounded memory on both ends. `make streaming` has one of 2 GiB.
describe("a message of 64 MiB", function()
  for _, how in ipairs { "plain", "compressed" } do
    it("goes both ways in less than 20 MiB, " .. how, function()
      local program <close> = assert(io.popen(("%s spec/streaming/large.lua 64 %s 2>&1"):format(arg[-1], how)))
      local said = program:read "a"
      assert.is_truthy(program:close(), said)
      assert.is_truthy(said:find "server: 64 MiB" and said:find "client: 64 MiB", said)
    end)
  end
end)
