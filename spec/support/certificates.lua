-- Certificates for one run of the specs, made by openssl: a private key has no place in a repository.
local certificates = {}

local folder, made

local function openssl(arguments)
  local command = "cd '" .. folder .. "' && openssl " .. arguments .. " >>openssl.log 2>&1"
  assert(os.execute(command), "failed: openssl " .. arguments)
end

-- issuer (none: by itself), names (subjectAltName), subject, extensions (further ones), days, bits (of an RSA key),
-- password (of the key); pem: those whose certificates the file holds, in order.
local AUTHORITY = "basicConstraints=critical,CA:TRUE"
local LEAF = "DNS:localhost,IP:127.0.0.1,IP:::1"
local kinds = {
  ca = { extensions = AUTHORITY },
  stranger = { extensions = AUTHORITY },           -- an authority that nobody trusts
  localhost = { issuer = "ca", names = LEAF },
  second = { issuer = "ca", names = LEAF },        -- the same names
  elsewhere = { issuer = "ca", names = "DNS:example.com" },
  unknown = { issuer = "stranger", names = LEAF },
  expired = { issuer = "ca", names = LEAF, days = -1 },
  lonely = { names = LEAF },                       -- signed by itself
  nameless = { issuer = "ca", subject = "localhost" }, -- has its name in the subject alone
  partial = { issuer = "ca", names = "DNS:local*,DNS:lo*.example.org" },
  wild = { issuer = "ca", names = "DNS:*.example.org" },
  chat = { issuer = "ca", names = "DNS:chat.example.org" },
  rsa = { issuer = "ca", names = "DNS:rsa.example.org", bits = 2048 },
  short = { issuer = "ca", names = LEAF, bits = 512 }, -- too short a key for anybody
  secret = { issuer = "ca", names = LEAF, password = "secret" },
  client = { issuer = "ca", names = "DNS:client" },
  no_client = { issuer = "ca", names = "DNS:client", extensions = "extendedKeyUsage=serverAuth" },
  only_client = { issuer = "ca", names = LEAF, extensions = "extendedKeyUsage=clientAuth" },
  middle = { issuer = "ca", extensions = AUTHORITY }, -- an authority between
  below = { issuer = "middle", names = LEAF },     -- without the authority between
  chain = { pem = { "below", "middle" } },
  reversed = { pem = { "middle", "below" } },
  both = { pem = { "ca", "stranger" } },
}

local make

local function read(file)
  local opened <close> = assert(io.open(folder .. "/" .. file))
  return opened:read "a"
end

local function write(file, text)
  local opened <close> = assert(io.open(folder .. "/" .. file, "w"))
  assert(opened:write(text))
end

local function concatenate(name, parts)
  local texts = {}
  for i, part in ipairs(parts) do texts[i] = read(make(part) .. ".pem") end
  write(name .. ".pem", table.concat(texts))
end

-- A key, a request for a certificate of it, and the certificate.
local function issue(name, kind)
  openssl(kind.bits and ("genrsa -out %s.key %d"):format(name, kind.bits)
    or ("ecparam -name prime256v1 -genkey -noout -out %s.key"):format(name))
  openssl(("req -new -key %s.key -subj '/CN=%s' -out %s.csr"):format(name, kind.subject or name, name))
  local names = kind.names and "subjectAltName=" .. kind.names .. "\n" or ""
  write(name .. ".ext", names .. (kind.extensions or "") .. "\n")
  local issuer = kind.issuer and ("-CA %s.pem -CAkey %s.key -CAcreateserial"):format(make(kind.issuer), kind.issuer)
    or ("-signkey %s.key"):format(name)
  openssl(("x509 -req -in %s.csr %s -days %d -extfile %s.ext -out %s.pem")
    :format(name, issuer, kind.days or 2, name, name))
  if kind.password then
    openssl(("pkcs8 -topk8 -in %s.key -passout pass:%s -out %s.enc"):format(name, kind.password, name))
    assert(os.rename(("%s/%s.enc"):format(folder, name), ("%s/%s.key"):format(folder, name)))
  end
end

function make(name)
  if not folder then
    folder, made = os.tmpname(), {}
    os.remove(folder)
    assert(os.execute("mkdir -m 700 '" .. folder .. "'"))
  end
  local kind = assert(kinds[name], name)
  if not made[name] then
    made[name] = true
    if kind.pem then concatenate(name, kind.pem) else issue(name, kind) end
  end
  return name
end

--- The path of a certificate ("localhost.pem") or key ("localhost.key") of one of the kinds above.
function certificates.path(file)
  make(file:match "^[^.]*")
  return folder .. "/" .. file
end

--- The text of one.
function certificates.text(file)
  certificates.path(file)
  return read(file)
end

--- cert and key of a leaf, as the option tls takes them.
function certificates.of(name)
  return { cert = certificates.path(name .. ".pem"), key = certificates.path(name .. ".key") }
end

--- A file of the specs' own beside them; its path.
function certificates.write(file, text)
  make "ca"
  write(file, text)
  return folder .. "/" .. file
end

--- Removes them all.
function certificates.remove()
  if folder then os.execute("rm -rf '" .. folder .. "'") end
  folder = nil
end

return certificates
