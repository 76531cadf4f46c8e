-- moonsocket.testing: for a user's own suite. Servers on free ports, a peer that can do wrong, every way a connection
-- can end, and assertions for busted. library/moonsocket/testing.lua documents it; docs/testing.md is the guide.

local moonsocket = require "moonsocket"
local certificate = require "moonsocket.testing.certificate"
local endings = require "moonsocket.testing.endings"
local peer = require "moonsocket.testing.peer"
local settings = require "moonsocket.testing.settings"

local testing = { certificate = certificate, endings = endings, peer = peer, settings = settings }

--- Starts a server on a free port of 127.0.0.1: server.url is where.
-- @param handler as moonsocket.serve's
-- @param options likewise
-- @return server, or nil, message, errno
function testing.server(handler, options) return moonsocket.serve("127.0.0.1:0", handler, options) end

local has_luassert, luassert = pcall(require, "luassert")
if has_luassert then require "moonsocket.testing.assertions"(luassert) end

return testing
