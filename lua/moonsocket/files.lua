-- A folder's files as pages. The core opens them: no symbolic link is followed, and only regular files are sent.

local headers = require "moonsocket.headers"

local files = {}

local types = {
  html = "text/html; charset=utf-8", htm = "text/html; charset=utf-8",
  css = "text/css; charset=utf-8",
  js = "text/javascript; charset=utf-8", mjs = "text/javascript; charset=utf-8",
  json = "application/json", map = "application/json", webmanifest = "application/manifest+json",
  txt = "text/plain; charset=utf-8", md = "text/markdown; charset=utf-8", csv = "text/csv; charset=utf-8",
  xml = "application/xml", svg = "image/svg+xml", wasm = "application/wasm", pdf = "application/pdf",
  png = "image/png", jpg = "image/jpeg", jpeg = "image/jpeg", gif = "image/gif", webp = "image/webp",
  avif = "image/avif", ico = "image/x-icon",
  woff = "font/woff", woff2 = "font/woff2", ttf = "font/ttf",
  mp3 = "audio/mpeg", ogg = "audio/ogg", mp4 = "video/mp4", webm = "video/webm",
}

--- The Content-Type of a file of that name.
function files.type_of(name)
  local extension = name:match "%.([^.]+)$"
  return extension and types[extension:lower()] or "application/octet-stream"
end

-- What may be a name in the folder: none that leads out of it, is hidden, or is something else to another system.
local function is_name(segment) return segment ~= "" and not segment:find "^%." and not segment:find "[/\\%z]" end

--- The path below the folder of the segments behind the prefix, which have been percent-decoded.
-- @return the path, or nil where no file can have it; "" at the end stands for index.html
function files.path(segments)
  local names = table.move(segments, 1, #segments, 1, {})
  if names[#names] == "" then names[#names] = "index.html" end
  for _, name in ipairs(names) do
    if not is_name(name) then return nil end
  end
  return table.concat(names, "/")
end

local function not_found() return 404, "there is no such file", "" end

-- Links in a page count from the folder only if the page's own path ends with a slash.
local function moved(request)
  local query = request.query ~= "" and "?" .. request.query or ""
  return 301, "", assert(headers.response { Location = request.path .. "/" .. query })
end

--- Answers a request for a file.
-- @param folder the core's
-- @param segments of the path behind the prefix
-- @return status, body or file, header lines
function files.respond(folder, segments, request)
  if #segments == 0 then return moved(request) end
  local path = files.path(segments)
  if not path then return not_found() end
  local file, changed = folder:open(path) -- or nil, and whether it is a folder
  if not file then
    if changed and segments[#segments] ~= "" then return moved(request) end
    return not_found()
  end
  local given = { ["Last-Modified"] = changed, ["X-Content-Type-Options"] = "nosniff" }
  if request.headers["if-modified-since"] == changed then return 304, "", headers.response(given) end
  given["Content-Type"] = files.type_of(path)
  return 200, file, headers.response(given)
end

return files
