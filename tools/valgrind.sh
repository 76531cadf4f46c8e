#!/usr/bin/env bash
# The specs (or those named) under memcheck, the servers that they start included: no error, nothing definitely lost.
set -u
. tools/folders.sh
logs=$PWD/build/valgrind
rm -rf "$logs"
mkdir -p "$logs"

run() {
	valgrind --quiet --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
		--num-callers=30 --keep-debuginfo=yes --trace-children=yes \
		--trace-children-skip='*/python*,*/openssl,*/ip,*/nft,*/git,*/nm' --error-exitcode=99 \
		--log-file="$logs/%p.log" \
		"$LUA" tools/busted.lua --ignore-lua "$@"
}

run_quick() {
	local spec quick=()
	for spec in "$@"; do [[ $spec == */memory_spec.lua ]] || quick+=("$spec"); done
	run "${quick[@]}"
}

# Left out without arguments, as they take minutes here, and the sanitizers play them, too: memory_spec, with some 500
# scenes; spec/subjects, every ending again in each role and over TLS; and what starts program after program.
if (($# > 0)); then run "$@"; else for_each_folder "spec spec/cli spec/subjects" run_quick; fi
status=$?

# an error in a server that a spec has started shows in its log only
for log in "$logs"/*.log; do
	if [[ -s $log ]]; then
		cat "$log"
		status=1
	fi
done
exit $status
