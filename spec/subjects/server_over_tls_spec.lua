-- Every ending over TLS. What exists there alone is in spec/tls/endings_spec.lua.
local certificates = require "spec.support.certificates"
local subject = require "spec.support.subject"

describe("a server over TLS:", function()
  teardown(certificates.remove)
  subject.again("a server over TLS", _ENV, {
    "callbacks", "close_frames", "half_closed", "heartbeat", "limits", "local_close", "network", "on_closing",
    "opening", "paused", "pressure", "protocol_errors", "shutdown", "untaken", "../client/endings",
  })
end)
