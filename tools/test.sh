#!/usr/bin/env bash
# Runs every test and ends with one line "N passed, N failed". `make test` calls it, with the C unit tests' names.
set -u
. tools/folders.sh
mkdir -p build
counts=build/test-counts
: >"$counts"

# Runs a command that speaks TAP (ok, not ok) or ends as busted does (N successes / N failures / N errors / N pending),
# shows what is not a success, and counts.
count() {
	name=$1
	shift
	{ "$@"; echo "exit $?"; } 2>&1 | awk -v name="$name" -v counts="$counts" -v planned=-1 '
		/^ok .*# SKIP/ { skipped++; print; next }
		/^ok /         { passed++; next }
		/^not ok /     { failed++ }
		/^1\.\.[0-9]/  { planned = substr($0, 4); next }
		/^[0-9]+ success(es)? \/ .* pending/ {
			passed = $1; failed = $4 + $7; skipped = $10; planned = passed + failed + skipped
			next
		}
		/^exit [0-9]/  { status = $2; next }
		               { print }
		END {
			if ((status != 0 || planned != passed + failed + skipped) && !failed) {
				printf "not ok - %s broke off with status %s after %d tests\n", name, status, passed + skipped
				failed++
			}
			printf "%-22s %5d passed%s%s\n", name, passed,
				failed ? ", " failed " failed" : "", skipped ? ", " skipped " skipped" : ""
			print passed + 0, failed + 0 >>counts
		}'
}

# A command that only succeeds or fails is one test.
check() {
	if output=$("$@" 2>&1); then
		echo "ok 1 - $*"
	else
		echo "$output"
		echo "not ok 1 - $*"
	fi
	echo 1..1
}

for unit in "$@"; do
	count "$(basename "$unit")" "$unit"
done
count luacheck check luacheck --quiet --no-color .
count rockspec check luarocks --lua-version 5.4 lint moonsocket-scm-1.rockspec
count_folder() { count "$(dirname "$1")" "$LUA" tools/busted.lua --ignore-lua --output=plainTerminal "$@"; }
for_each_folder "" count_folder

awk '{ passed += $1; failed += $2 } END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 }' "$counts"
