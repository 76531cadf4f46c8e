#!/bin/sh
# Runs the specs of the files that are named, and ends with one line "N passed, N failed".
"$LUA" tools/busted.lua --ignore-lua --output=plainTerminal "$@" |
	awk '/^[0-9]+ success/ { passed = $1; failed = $4 + $7 } { print }
		END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 || !passed }'
