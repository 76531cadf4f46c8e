#!/usr/bin/env bash
# The specs (or those named) under memcheck, the servers that they start included: no error, nothing definitely lost.
set -u
# Left out without arguments, as they take minutes here: memory_spec, which plays some 500 scenes, and spec/subjects/,
# which plays every ending again in each role and over TLS. The sanitizers play them, too.
logs=$PWD/build/valgrind
rm -rf "$logs"
mkdir -p "$logs"

run() {
	valgrind --quiet --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
		--num-callers=30 --keep-debuginfo=yes --trace-children=yes \
		--trace-children-skip='*/python*,*/openssl,*/ip,*/nft,*/git,*/nm' --error-exitcode=99 \
		--log-file="$logs/%p.log" \
		"$LUA" tools/busted.lua --ignore-lua --exclude-pattern=memory_spec "$@"
}

# One of many: what it says is shown when it is over.
run_quietly() {
	local said
	said=$(run "$@" 2>&1) || touch "$logs/failed"
	printf '%s\n%s\n' "$1" "$said"
}

# Each folder in a process, as in test.sh, and as many at a time as there are processors.
run_folders() {
	local folder
	for folder in spec/*/; do # the pattern holds for what is in a folder, not for files that are named
		[[ $folder != spec/subjects/ ]] && compgen -G "$folder*_spec.lua" >/dev/null || continue
		while (($(jobs -pr | wc -l) >= $(getconf _NPROCESSORS_ONLN))); do wait -n; done
		run_quietly "${folder%/}" &
	done
	run_quietly spec/*_spec.lua
	wait
}

if (($# > 0)); then
	run "$@" || touch "$logs/failed"
else
	run_folders
fi

status=0
[[ ! -e $logs/failed ]] || status=1
# an error in a server that a spec has started shows in its log only
for log in "$logs"/*.log; do
	if [[ -s $log ]]; then
		cat "$log"
		status=1
	fi
done
exit $status
