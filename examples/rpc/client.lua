-- A client of JSON-RPC 2.0: calls at once, errors, a batch, notifications, a call that the end of the connection fails.
--   lua5.4 client.lua [url]
local cjson = require "cjson"
local moonsocket = require "moonsocket"
local rpc = require "rpc"

local ws = assert(moonsocket.connect(arg[1] or "ws://127.0.0.1:8080/"))

-- What the server may call here.
local methods = {
  progress = function(params) print(("progress %d"):format(params[1])) end,
}

local server = rpc.attach(ws, methods)

-- Prints a call's outcome.
local function outcome_of(call)
  return function(result, failure)
    print(call, failure and ("failed: %d %s"):format(failure.code, failure.message) or cjson.encode(result))
  end
end

-- The second is answered first: neither waits for the other.
server:call("sleep", { seconds = 0.2 }, outcome_of "sleep")
server:call("add", { 19, 23 }, outcome_of "add")
server:call("divide", { 1, 0 }, outcome_of "divide")
server:call("subtract", { 1, 2 }, outcome_of "subtract")
server:call("count", { to = 2 }, outcome_of "count")
server:notify("log", { "hello from the client" })
server:batch {
  { "add", { 1, 2 }, outcome_of "add, in a batch" },
  { "log", { "a notification in a batch" } },
  { "divide", { 1, 4 }, outcome_of "divide, in a batch" },
}

moonsocket.after(0.4, function()
  server:call("sleep", { seconds = 60 }, outcome_of "a call that the end comes before")
  ws:close()
end)
moonsocket.run()
