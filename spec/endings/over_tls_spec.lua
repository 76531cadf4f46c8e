-- Every ending over TLS. What exists over TLS alone is in spec/tls/endings_spec.lua.
local certificates = require "spec.support.certificates"
local subject = require "spec.support.subject"

describe("over TLS:", function()
  teardown(certificates.remove)

  for _, name in ipairs {
    "callbacks", "close_frames", "half_closed", "heartbeat", "limits", "local_close", "network", "on_closing", "paused",
    "pressure", "protocol_errors", "shutdown", "untaken",
  } do
    subject.over_tls(("spec/endings/%s_spec.lua"):format(name), _ENV)
  end
  subject.over_tls("spec/client/endings_spec.lua", _ENV)
end)
