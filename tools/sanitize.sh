#!/usr/bin/env bash
# The specs (or those named) with the module built by `make sanitize`: AddressSanitizer and UBSan, also in the servers
# that the specs start. Leaks are valgrind's task: Lua unloads the module before they could be named.
set -u
. tools/folders.sh
reports=$PWD/build/sanitize/reports
rm -rf "$reports"
mkdir -p "$reports"

library() { "${CC:-cc}" -print-file-name="$1"; }
preload="$(library libasan.so):$(library libubsan.so)"
export LUA_CPATH="$PWD/build/sanitize/?.so;$LUA_CPATH"
export ASAN_OPTIONS="detect_leaks=0:log_path=$reports/report"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$reports/report"

run() { LD_PRELOAD=$preload "$LUA" tools/busted.lua --ignore-lua "$@"; }

if (($# > 0)); then run "$@"; else for_each_folder "" run; fi
status=$?

for report in "$reports"/*; do
	if [[ -s $report ]]; then
		cat "$report"
		status=1
	fi
done
exit $status
