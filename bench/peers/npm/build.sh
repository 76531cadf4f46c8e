#!/bin/sh
# Packages of npm: build.sh ws. Leaves build/bench/peers/NAME and NAME.version.
set -eu
out=$PWD/build/bench/peers
work=$PWD/build/bench/npm
mkdir -p "$work"
npm install --silent --no-audit --no-fund --prefix "$work" ws@8.23.0 bufferutil@4.1.0
# a module is looked for beside the file that imports it
cp "bench/peers/npm/$1.mjs" "$work/"
printf '#!/bin/sh\nexec node "%s" "$@"\n' "$work/$1.mjs" >"$out/$1"
chmod +x "$out/$1"
echo "8.23.0 with bufferutil 4.1.0, Node $(node --version)" >"$out/$1.version"
