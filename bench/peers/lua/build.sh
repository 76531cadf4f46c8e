#!/bin/sh
# This checkout, which make has installed: build.sh moonsocket. Leaves build/bench/peers/NAME and NAME.version.
set -eu
out=build/bench/peers
printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$LUA" "$PWD/bench/peers/lua/$1.lua" >"$out/$1"
chmod +x "$out/$1"
echo "this checkout, $("$LUA" -v | sed 's/  .*//')" >"$out/$1.version"
