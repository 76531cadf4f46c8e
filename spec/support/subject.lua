-- What the specs of a file are about: a server or a client over TCP; or, where over_tls loads the file once more, the
-- same over TLS. Such a file takes its scenes from here.
local client_scene = require "spec.support.client_scene"
local scene = require "spec.support.scene"

local subject = { scene = scene, client_scene = client_scene, tls = false }

--- Defines the specs of a file once more.
-- @param environment the caller's _ENV, which has describe and it
function subject.over_tls(path, environment)
  local chunk = assert(loadfile(path, "t", environment))
  subject.scene, subject.client_scene, subject.tls = scene.over_tls, client_scene.over_tls, true
  chunk()
  subject.scene, subject.client_scene, subject.tls = scene, client_scene, false
end

return subject
