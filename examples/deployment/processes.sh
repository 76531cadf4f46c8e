#!/bin/sh
# Runs N servers that share a port (the option reuse_port), until they end. SIGTERM goes to each.
#   processes.sh N COMMAND [ARGUMENT...]      processes.sh 4 lua5.4 server.lua 127.0.0.1:8080
set -u
number=$1
shift
pids=
for _ in $(seq "$number"); do
	"$@" &
	pids="$pids $!"
done
# $pids is a list of words
# shellcheck disable=SC2086
trap 'kill $pids' TERM
trap : INT # a terminal sends it to each
status=0
for pid in $pids; do
	wait "$pid"
	ended=$?
	while kill -0 "$pid" 2>/dev/null; do # it was the signal that ended wait
		wait "$pid"
		ended=$?
	done
	[ "$ended" = 0 ] || status=1
done
exit $status
