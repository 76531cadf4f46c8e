-- Certificates for one run of the specs, made by openssl: a private key has no place in a repository.
local certificates = {}

local folder

local function openssl(arguments)
  local command = "cd '" .. folder .. "' && openssl " .. arguments .. " >>openssl.log 2>&1"
  assert(os.execute(command), "failed: openssl " .. arguments)
end

local function new_key(name) openssl(("ecparam -name prime256v1 -genkey -noout -out %s.key"):format(name)) end

local function authority(name)
  new_key(name)
  openssl(("req -x509 -new -key %s.key -subj '/CN=%s' -days 2 -out %s.pem"):format(name, name, name))
end

local function leaf(name, issuer, names)
  new_key(name)
  openssl(("req -new -key %s.key -subj '/CN=%s' -out %s.csr"):format(name, name, name))
  local extensions = assert(io.open(folder .. "/" .. name .. ".ext", "w"))
  extensions:write("subjectAltName=" .. names .. "\n")
  extensions:close()
  openssl(("x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days 2 -extfile %s.ext -out %s.pem")
    :format(name, issuer, issuer, name, name))
end

local function make()
  folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir -m 700 '" .. folder .. "'"))
  authority "ca"
  authority "stranger"
  leaf("localhost", "ca", "DNS:localhost,IP:127.0.0.1,IP:::1")
  leaf("second", "ca", "DNS:localhost,IP:127.0.0.1")
  leaf("elsewhere", "ca", "DNS:example.com")
  leaf("unknown", "stranger", "DNS:localhost,IP:127.0.0.1")
  leaf("client", "ca", "DNS:client")
end

--- The path of a certificate ("localhost.pem") or key ("localhost.key"): ca, stranger (an authority that nobody
-- trusts), localhost, second (the same names), elsewhere (another name), unknown (the stranger's), client.
function certificates.path(name)
  if not folder then make() end
  return folder .. "/" .. name
end

--- The text of one.
function certificates.text(name)
  local file = assert(io.open(certificates.path(name)))
  local text = file:read "a"
  file:close()
  return text
end

--- cert and key of a leaf, as the option tls takes them.
function certificates.of(name)
  return { cert = certificates.path(name .. ".pem"), key = certificates.path(name .. ".key") }
end

--- Removes them all.
function certificates.remove()
  if folder then os.execute("rm -rf '" .. folder .. "'") end
  folder = nil
end

return certificates
