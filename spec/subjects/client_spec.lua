-- Every ending in a client's role. What a client alone does is in spec/client/.
local subject = require "spec.support.subject"

describe("a client:", function()
  subject.again("a client", _ENV, {
    "callbacks", "close_frames", "half_closed", "heartbeat", "limits", "local_close", "network", "on_closing", "paused",
    "pressure", "protocol_errors",
  })
end)
