#!/bin/sh
# Random input for each of the named fuzzers, for so many seconds; what was found interesting is kept for the next time.
set -u
seconds=$1
shift
status=0
for fuzzer in "$@"; do
	name=$(basename "$fuzzer" _fuzz)
	corpus=build/fuzz/corpus/$name
	mkdir -p "$corpus"
	if "$fuzzer" -max_total_time="$seconds" -timeout=10 -max_len=4096 -artifact_prefix="build/fuzz/$name-" \
		"$corpus" "spec/fuzz/seeds/$name" >"build/fuzz/$name.log" 2>&1; then
		echo "$name: $(sed -n 's/^Done \(.*\)/\1/p' "build/fuzz/$name.log")"
	else
		cat "build/fuzz/$name.log"
		status=1
	fi
done
exit $status
