#!/bin/sh
# The system's packages: build.sh libwebsockets | lua-http. Leaves build/bench/peers/NAME and NAME.version.
set -eu
out=build/bench/peers
here=$PWD/bench/peers/system
case $1 in
libwebsockets)
	# flags are lists of words
	# shellcheck disable=SC2046
	${CC:-cc} -std=gnu11 -O2 -o "$out/$1" "$here/$1.c" $(pkg-config --cflags --libs libwebsockets) -lssl -lcrypto
	pkg-config --modversion libwebsockets | sed 's/-$//' >"$out/$1.version" ;;
lua-http)
	version=$("$LUA" "$here/$1.lua" version)
	printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$LUA" "$here/$1.lua" >"$out/$1"
	chmod +x "$out/$1"
	echo "$version, $("$LUA" -v | sed 's/  .*//')" >"$out/$1.version" ;;
esac
