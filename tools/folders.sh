# Sourced by what runs all specs. Each folder of them has a process of its own, because busted keeps all that it has run,
# and there are as many at a time as there are processors.

# Runs a command, and shows what it says when it is over.
quietly() {
	local said status
	said=$("$@" 2>&1)
	status=$?
	printf '%s\n' "$said"
	return $status
}

# for_each_folder LEFT_OUT COMMAND [ARG...]: runs the command with each folder but one ("": none) as its last argument,
# and once with the specs in none. Succeeds if all did.
for_each_folder() {
	local left_out=$1 failed folder status=0
	shift
	failed=$(mktemp)
	for folder in spec/*/; do
		[[ ${folder%/} != "$left_out" ]] && compgen -G "$folder*_spec.lua" >/dev/null || continue
		while (($(jobs -pr | wc -l) >= $(getconf _NPROCESSORS_ONLN))); do wait -n; done
		{ quietly "$@" "${folder%/}" || echo "$folder" >>"$failed"; } &
	done
	{ quietly "$@" spec/*_spec.lua || echo spec >>"$failed"; } &
	wait
	[[ ! -s $failed ]] || status=1
	rm "$failed"
	return $status
}
