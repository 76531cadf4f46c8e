-- Every ending over TLS.
local certificates = require "spec.support.certificates"
local scene = require "spec.support.scene"
local subject = require "spec.support.subject"

describe("over TLS:", function()
  teardown(certificates.remove)

  for _, name in ipairs {
    "callbacks", "close_frames", "half_closed", "heartbeat", "limits", "local_close", "network", "on_closing", "paused",
    "pressure", "protocol_errors", "shutdown", "untaken",
  } do
    subject.again(("spec/endings/%s_spec.lua"):format(name), { scene = scene.over_tls }, _ENV)
  end
end)
