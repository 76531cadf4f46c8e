#!/bin/sh
# Real peers of other languages, from their registries into build/, and what is said with them in both roles; and real
# proxies.
set -eu
folder=build/interop
python=websockets==17.4
node=ws@8.23.0

if ! "$folder/venv/bin/pip" freeze 2>/dev/null | grep -qx "$python"; then
	python3 -m venv --clear "$folder/venv"
	"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$python"
fi
if [ "$(cat "$folder/node/installed" 2>/dev/null)" != "$node" ]; then
	mkdir -p "$folder/node"
	npm install --silent --no-audit --no-fund --prefix "$folder/node" "$node" >/dev/null
	echo "$node" >"$folder/node/installed"
fi
# a module is looked for beside the file that imports it
cp spec/interop/node_peer.mjs "$folder/node/"
PYTHON="$folder/venv/bin/python" NODE_PEER="$folder/node/node_peer.mjs" \
	tools/specs.sh spec/interop/peers.lua spec/interop/proxies.lua
