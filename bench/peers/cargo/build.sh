#!/bin/sh
# What comes from crates: build.sh uwebsockets | fastwebsockets. Leaves build/bench/peers/NAME and NAME.version.
set -eu
out=build/bench/peers
here=bench/peers/cargo
export CARGO_TARGET_DIR=build/bench/cargo

# Of a crate that Cargo.toml names: its version and the folder of its source.
crate() {
	cargo metadata --quiet --format-version 1 --manifest-path "$work/Cargo.toml" | python3 -c '
import json, os, sys
crate = next(each for each in json.load(sys.stdin)["packages"] if each["name"] == sys.argv[1])
print(crate["version"], os.path.dirname(crate["manifest_path"]))' "$1"
}

# cargo writes beside Cargo.toml
work=build/bench/cargo/$1
mkdir -p "$work"
cp -r "$here/$1/." "$work"
case $1 in
uwebsockets) # the crate ships uWebSockets' source, which is built as its own makefile does
	found=$(crate libuwebsockets-sys)
	version=${found%% *}
	source=${found#* }/uWebSockets
	flags="-O3 -march=native -flto=auto -w -DLIBUS_USE_OPENSSL -I$source/uSockets/src -I$source/src"
	for file in "$source"/uSockets/src/*.c "$source"/uSockets/src/eventing/*.c "$source"/uSockets/src/crypto/*.c; do
		${CC:-cc} $flags -c -o "$work/$(basename "$file").o" "$file"
	done
	${CXX:-c++} $flags -std=c++20 -o "$out/$1" "$work/server.cpp" "$source/uSockets/src/crypto/sni_tree.cpp" \
		"$work"/*.o -lssl -lcrypto -lz
	echo "crate libuwebsockets-sys $version" >"$out/$1.version" ;;
*)
	cargo build --quiet --release --manifest-path "$work/Cargo.toml"
	cp "$CARGO_TARGET_DIR/release/$1" "$out/$1"
	echo "crate $(crate "$1" | sed 's/ .*//')" >"$out/$1.version" ;;
esac
