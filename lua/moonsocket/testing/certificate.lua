-- A certificate for this machine, made by openssl when it is first asked for. It is on no disk, ends with the program.

local COMMAND = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
  .. "-addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1 -keyout - -out - 2>&1"

local function pem_of(output, what)
  return output:match(("%%-%%-%%-%%-%%-BEGIN %s%%-%%-%%-%%-%%-\n.-END %s%%-%%-%%-%%-%%-"):format(what, what))
end

local made

--- @return { cert =, key = }, PEM, as a server's option tls takes it; a client trusts it by tls = { ca = its cert }
return function()
  if not made then
    local pipe <close> = assert(io.popen(COMMAND))
    local output = pipe:read "a"
    local cert, key = pem_of(output, "CERTIFICATE"), pem_of(output, "PRIVATE KEY")
    if not cert or not key then error("certificate: the program openssl is needed, 1.1.1 or later: " .. output, 2) end
    made = { cert = cert, key = key }
  end
  return { cert = made.cert, key = made.key }
end
