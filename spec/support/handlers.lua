-- Handlers for scenes that many specs share: record.got keeps what they got.
local handlers = {}

--- An echo with on_message.
function handlers.echo(ws, _, record)
  record.got = {}
  ws:on_message(function(message, kind)
    record.got[#record.got + 1] = message
    ws:send(message, kind)
  end)
end

--- The same as a loop.
function handlers.echo_loop(ws, _, record)
  record.got = {}
  for message, kind in ws:messages() do
    record.got[#record.got + 1] = message
    ws:send(message, kind)
  end
end

return handlers
