-- What the specs of a file are about: as a rule, a server or a client over TCP; where again loads the file once more,
-- another one. Such a file takes from here, in its first lines, what it plays with, and leaves out what makes no sense
-- for its subject.
local client_scene = require "spec.support.client_scene"
local mirrored_scene = require "spec.support.mirrored_scene"
local peer = require "spec.support.peer"
local raw_server = require "spec.support.raw_server"
local scene = require "spec.support.scene"

local subjects = {
  ["a server"] = { role = "server", tls = false, scene = scene, client_scene = client_scene, peer = peer },
  ["a server over TLS"] = {
    role = "server", tls = true, scene = scene.over_tls, client_scene = client_scene.over_tls, peer = peer,
  },
  ["a client"] = { role = "client", tls = false, scene = mirrored_scene, peer = raw_server },
  ["a client over TLS"] = { role = "client", tls = true, scene = mirrored_scene.over_tls, peer = raw_server },
}

local subject = {}

local function become(name)
  for key, value in pairs(subjects[name]) do subject[key] = value end
end

--- Defines the specs of files of spec/endings/ once more.
-- @param name of the subject
-- @param environment the caller's _ENV, which has describe and it
-- @param files their names without "_spec.lua"
function subject.again(name, environment, files)
  become(name)
  for _, file in ipairs(files) do assert(loadfile(("spec/endings/%s_spec.lua"):format(file), "t", environment))() end
  become "a server"
end

--- it, where the subject is a server; else nothing. What a client does instead is in spec/client/.
function subject.serving(it) return subject.role == "server" and it or function() end end

become "a server"

return subject
