#!/bin/sh
# Packs the working tree as a source rock, without any network, installs that into a tree of its own and loads it.
set -eu
name=moonsocket-scm
top=$PWD
work=$top/build/rock
rm -rf "$work"
mkdir -p "$work/$name"
luarocks() { command luarocks --lua-version 5.4 "$@"; }

cp -R bin lua src LICENSE "$name-1.rockspec" "$work/$name"
find "$work/$name" -name '*.o' -delete
cd "$work"
tar -czf "$name.tar.gz" "$name"
source="url = \"file://$work/$name.tar.gz\", dir = \"$name\""
sed "s|url = \"[^\"]*\"|$source|" "$top/$name-1.rockspec" >"$name-1.rockspec"
luarocks pack "$name-1.rockspec"

luarocks build --tree tree "$name-1.src.rock" >build.log 2>&1 || { cat build.log; exit 1; }
eval "$(luarocks --tree tree path)"
cd /
"$work/tree/bin/moonsocket" --version
"$LUA" - <<'END'
local moonsocket = require "moonsocket"
assert(type(moonsocket.serve) == "function")
print("loaded " .. package.searchpath("moonsocket.core", package.cpath))
END
