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

# Those that take longest begin first: a long one that begins last would have a processor to itself.
longest="spec/subjects spec/tls spec/endings spec/misuse"

# The folders with specs, in the order in which they begin.
folders() { printf '%s\n' $longest "$(dirname spec/*_spec.lua spec/*/*_spec.lua)" | awk '!seen[$0]++'; }

# for_each_folder LEFT_OUT COMMAND [ARG...]: runs the command with the specs of each folder, but for those in the list
# LEFT_OUT, as its last arguments. Succeeds if all did.
for_each_folder() {
	local left_out=$1 failed folder status=0
	shift
	failed=$(mktemp)
	for folder in $(folders); do
		[[ " $left_out " != *" $folder "* ]] || continue
		while (($(jobs -pr | wc -l) >= $(getconf _NPROCESSORS_ONLN))); do wait -n; done
		{ quietly "$@" "$folder"/*_spec.lua || echo "$folder" >>"$failed"; } &
	done
	wait
	[[ ! -s $failed ]] || status=1
	rm "$failed"
	return $status
}
