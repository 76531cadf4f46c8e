#!/bin/sh
# What is written in C: build.sh floor | libwebsockets. Leaves build/bench/peers/NAME and NAME.version.
set -eu
out=build/bench/peers
case $1 in
floor) libraries= version="a bare epoll loop" ;;
libwebsockets) libraries=$(pkg-config --libs libwebsockets) version=$(pkg-config --modversion libwebsockets) ;;
esac
# $libraries is a list of words
# shellcheck disable=SC2086
${CC:-cc} -std=gnu11 -O2 -Wall -Wextra -o "$out/$1" "bench/peers/c/$1.c" $libraries
echo "$version" >"$out/$1.version"
