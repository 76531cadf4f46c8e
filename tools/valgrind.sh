#!/usr/bin/env bash
# The specs (or those named) under memcheck, the servers that they start included: no error, nothing definitely lost.
set -u
. tools/folders.sh
logs=$PWD/build/valgrind
rm -rf "$logs"
mkdir -p "$logs"

# The pattern holds for what is in a folder, not for files that are named.
run() {
	valgrind --quiet --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
		--num-callers=30 --keep-debuginfo=yes --trace-children=yes \
		--trace-children-skip='*/python*,*/openssl,*/ip,*/nft,*/git,*/nm' --error-exitcode=99 \
		--log-file="$logs/%p.log" \
		"$LUA" tools/busted.lua --ignore-lua --exclude-pattern=memory_spec "$@"
}

# Left out without arguments, as they take minutes here: memory_spec, which plays some 500 scenes, and spec/subjects,
# which plays every ending again in each role and over TLS. The sanitizers play them, too.
if (($# > 0)); then run "$@"; else for_each_folder spec/subjects run; fi
status=$?

# an error in a server that a spec has started shows in its log only
for log in "$logs"/*.log; do
	if [[ -s $log ]]; then
		cat "$log"
		status=1
	fi
done
exit $status
