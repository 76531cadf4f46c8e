#!/bin/sh
# Packages of pip: build.sh websockets. Leaves build/bench/peers/NAME and NAME.version.
set -eu
out=build/bench/peers
venv=$PWD/build/bench/venv
version=17.4
[ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "$1==$version"
printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$venv/bin/python" "$PWD/bench/peers/pip/$1_server.py" >"$out/$1"
chmod +x "$out/$1"
echo "$version, $("$venv/bin/python" --version)" >"$out/$1.version"
