-- From this folder: lua5.4 server.lua [address]
local moonsocket = require "moonsocket"
local chat = require "chat"

local server = assert(chat.open(arg[1] or "127.0.0.1:8080"))
print(("listening on %s/lobby?name=ann"):format(server.url))
moonsocket.run()
