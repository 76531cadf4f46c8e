#!/bin/sh
# What stands on nothing: build.sh floor. Leaves build/bench/peers/NAME and NAME.version.
set -eu
out=build/bench/peers
${CC:-cc} -std=gnu11 -O2 -o "$out/$1" "bench/peers/c/$1.c" -lssl -lcrypto
echo "epoll, recv, send; TLS by OpenSSL" >"$out/$1.version"
