std = "lua54"
max_line_length = 120
exclude_files = { "build", "lua_modules" }

-- luacheck 1.1 does not know what LuaRocks allows in a rockspec of format 3.0
files["*.rockspec"] = { std = "+rockspec", ignore = { "131" } }
files["spec/**/*_spec.lua"] = { std = "+busted" }
files["spec/interop/*.lua"] = { std = "+busted" }
files["spec/deployment/*.lua"] = { std = "+busted" }
files["examples/**/*_spec.lua"] = { std = "+busted" }
