-- A chat with its page, in one process. From this folder:
--   lua5.4 server.lua [address]      then open the page that it names, in two browsers
-- It needs lua-cjson. Ctrl-C closes every connection with 1001; the pages come back when it runs again.
local moonsocket = require "moonsocket"
local chat = require "chat"

io.stdout:setvbuf "line"

local server = assert(chat.open(arg[1] or "127.0.0.1:8080"))
print(("listening on %s, page at http://%s/#lobby"):format(server.url, server.address))
moonsocket.run()
