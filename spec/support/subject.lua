-- What the specs of a file are about: a server over TCP, or, when subject.again loads the file once more, the same
-- over TLS. Such a file takes its scene from here.
local certificates = require "spec.support.certificates"
local scene = require "spec.support.scene"

local subject = { scene = scene }

--- Defines the specs of a file once more.
-- @param path of the file
-- @param changed scene =
-- @param environment the caller's _ENV, which has describe and it
function subject.again(path, changed, environment)
  local before = subject.scene
  subject.scene = changed.scene
  assert(loadfile(path, "t", environment))()
  subject.scene = before
end

return subject
