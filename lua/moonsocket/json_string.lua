-- A string as JSON: for what is written as JSON without a library (RFC 8259 sections 7 and 8.1).

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(c) return escapes[c] or ("\\u%04x"):format(c:byte()) end

-- Each byte that is not UTF-8 becomes U+FFFD.
local function repair(text)
  local pieces, from = {}, 1
  local valid, wrong = utf8.len(text)
  while not valid do
    pieces[#pieces + 1] = text:sub(from, wrong - 1)
    from = wrong + 1
    valid, wrong = utf8.len(text, from)
  end
  pieces[#pieces + 1] = text:sub(from)
  return table.concat(pieces, "\u{FFFD}")
end

--- @return the text in quotes
return function(text) return ('"%s"'):format(repair(text):gsub('[%z\1-\31\127"\\]', escape)) end
