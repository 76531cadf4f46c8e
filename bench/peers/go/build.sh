#!/bin/sh
# Go modules: build.sh gorilla | gws. Leaves build/bench/peers/NAME and NAME.version.
set -eu
out=$PWD/build/bench/peers
cd bench/peers/go
go build -o "$out/$1" "./$1"
case $1 in
gorilla) module=github.com/gorilla/websocket ;;
gws) module=github.com/lxzan/gws ;;
esac
echo "$(go list -m -f '{{.Version}}' "$module"), $(go env GOVERSION)" >"$out/$1.version"
