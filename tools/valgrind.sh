#!/bin/sh
# The specs (or those named) under memcheck, the servers that they start included: no error, nothing definitely lost.
set -u
# memory_spec plays some 500 scenes, which takes minutes here; the sanitizers play them, too.
logs=build/valgrind
rm -rf "$logs"
mkdir -p "$logs"

valgrind --quiet --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
	--num-callers=30 --keep-debuginfo=yes --trace-children=yes \
	--trace-children-skip='*/python*,*/openssl,*/ip,*/nft,*/git,*/nm' --error-exitcode=99 --log-file="$logs/%p.log" \
	"$LUA" tools/busted.lua --ignore-lua --exclude-pattern=memory_spec "$@"
status=$?

# an error in a server that a spec has started shows in its log only
for log in "$logs"/*.log; do
	if [ -s "$log" ]; then
		cat "$log"
		status=1
	fi
done
exit $status
