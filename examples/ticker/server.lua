-- Prices that change four times a second, and a page with a live chart of them. From the folder above:
--   lua5.4 examples/ticker/server.lua [address]      then open the page that it names, as often as you like
-- A topic for each symbol: what is published under it is framed once for all who watch it. Who is too slow misses
-- prices, but is not sent away. It needs lua-cjson.
local cjson = require "cjson"
local moonsocket = require "moonsocket"

io.stdout:setvbuf "line"

local HERE = debug.getinfo(1, "S").source:match "^@(.-)[^/]*$"

local INTERVAL = 0.25 -- s between prices
local KEPT = 240      -- prices of each symbol, for those who come

-- { prices = the latest KEPT, the oldest first; snapshot = all of them as a message, until the next one }
local symbols = {
  MOON = { prices = { 100 } },
  TIDE = { prices = { 42 } },
  STAR = { prices = { 512 } },
}

-- ---- prices

local function next_price(price)
  return math.max(1, price * (1 + (math.random() - 0.5) / 100))
end

local function rounded(price) return math.floor(price * 100 + 0.5) / 100 end

local function tick(symbol)
  local prices = symbol.prices
  prices[#prices + 1] = rounded(next_price(prices[#prices]))
  if #prices > KEPT then table.remove(prices, 1) end
  symbol.snapshot = nil
end

-- What a newcomer is sent. However many come between two prices, it is encoded and framed once.
local function snapshot(name)
  local symbol = symbols[name]
  symbol.snapshot = symbol.snapshot or moonsocket.prepare(cjson.encode {
    symbol = name, interval = INTERVAL, prices = symbol.prices,
  })
  return symbol.snapshot
end

for _, symbol in pairs(symbols) do
  for _ = 1, KEPT do tick(symbol) end -- as if it had run for a while
end

-- ---- the server

-- A client watches one symbol: what it says is the symbol's name.
local callbacks = {
  message = function(ws, name)
    if not symbols[name] then
      ws:close(1008, "say MOON, TIDE or STAR")
      return
    end
    for _, topic in ipairs(ws:topics()) do ws:unsubscribe(topic) end
    ws:send(snapshot(name))
    ws:subscribe(name)
  end,
}

local function page()
  local file <close> = assert(io.open(HERE .. "page/index.html"))
  return 200, file:read "a", {
    ["Content-Type"] = "text/html; charset=utf-8",
    ["Content-Security-Policy"] = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
      .. "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  }
end

local router = moonsocket.router()
router:websocket("/prices", callbacks, {
  max_message = 16, max_rate = 10, on_overflow = "drop", max_buffered = 16384,
})
router:get("/", page)
router:files("/page/", HERE .. "page")

local server = assert(moonsocket.serve(arg[1] or "127.0.0.1:8080", router))

moonsocket.every(INTERVAL, function()
  for name, symbol in pairs(symbols) do
    tick(symbol)
    server:publish(name, cjson.encode { symbol = name, price = symbol.prices[#symbol.prices] })
  end
end)

print(("listening on %s, page at http://%s/"):format(server.url, server.address))
moonsocket.run()
