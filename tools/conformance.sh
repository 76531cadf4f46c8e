#!/bin/sh
# Autobahn's cases for servers and for clients, played by kosoku from a virtual environment under build/. --large:
# also those that take minutes.
set -eu
venv=build/conformance/venv
wanted=kosoku==0.1.0

if ! "$venv/bin/pip" freeze 2>/dev/null | grep -qx "$wanted"; then
	python3 -m venv --clear "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check "$wanted"
fi
exec "$venv/bin/python" spec/conformance/run.py "$@" "$venv/bin/kosoku" build/conformance "$LUA" \
	spec/conformance/server.lua spec/conformance/client.lua
