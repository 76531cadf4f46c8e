-- Every ending of a client over TLS, but for heartbeat and pressure, which take seconds: they run for either role and
-- over TLS, not for each pair of them.
local certificates = require "spec.support.certificates"
local subject = require "spec.support.subject"

describe("a client over TLS:", function()
  teardown(certificates.remove)
  subject.again("a client over TLS", _ENV, {
    "callbacks", "close_frames", "half_closed", "limits", "local_close", "network", "on_closing", "paused",
    "protocol_errors",
  })
end)
