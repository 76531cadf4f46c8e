#!/bin/sh
# What is written in Lua: build.sh moonsocket | lua-http. Leaves build/bench/peers/NAME and NAME.version.
set -eu
out=build/bench/peers
case $1 in
moonsocket) version="this checkout" ;;
lua-http) version=$("$LUA" -e 'io.write(require("http.version").version)') ;;
esac
printf '#!/bin/sh\nexec %s %s/bench/peers/lua/%s.lua "$@"\n' "$LUA" "$PWD" "$1" >"$out/$1"
chmod +x "$out/$1"
echo "$version" >"$out/$1.version"
