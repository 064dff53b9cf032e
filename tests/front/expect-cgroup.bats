#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: cgroup-dump cgroup-restore
# What a caller says about cgroups: which limits are kept, which hierarchies, where they are mounted.
bats_require_minimum_version 1.5.0
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	mkdir "$IMG/img"
	G=stasis-expect-$$-$RANDOM
	CPU=$(mounted cpu) PIDS=$(mounted pids)
	if [ -z "$CPU" ] || [ -z "$PIDS" ]; then skip "this kernel has no cgroups of version 1 here"; fi
	mkdir "$CPU/$G" "$PIDS/$G"
	"$BUILD/tests/kit/idle" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	echo "$PID" >"$CPU/$G/cgroup.procs"
	echo "$PID" >"$PIDS/$G/cgroup.procs"
}
teardown() {
	[ -z "${PID:-}" ] || end
	[ ! -d "$IMG/yard" ] || umount "$IMG"/yard/* || true
	rm -rf "$IMG"
}
mounted() { awk -v c="$1" '$(NF-2) == "cgroup" && $NF ~ "(^|,)" c "(,|$)" { print $5; exit }' /proc/self/mountinfo; }
end() {
	local d
	kill -9 "$PID" 2>/dev/null || true
	until_true gone "$PID"
	for d in "$CPU/$G" "$PIDS/$G"; do [ ! -d "$d" ] || rmdir "$d"; done
}
limits() {
	echo 50000 >"$CPU/$G/cpu.cfs_quota_us"
	echo 20000 >"$CPU/$G/cpu.cfs_burst_us"
	echo 77 >"$PIDS/$G/pids.max"
}
dump_end() {
	dump "$@"
	end
}
props() { printf '"cpu":\n - "strategy": "%s"\n - "properties": [%s]\n' "$1" "$2"; } # props STRATEGY NAMES

@test "--cgroup-props: merged ones are kept, and a restore that does not know them says so" {
	limits
	dump_end --cgroup-props "$(props merge '"cpu.stat"')"
	run --separate-stderr restore
	[ "$status" -eq 0 ] && [[ $stderr == *"cpu.stat is not set"* ]]
	[ "$(cat "$CPU/$G/cpu.cfs_burst_us")" = 20000 ]
	[ "$(cat "$PIDS/$G/pids.max")" = 77 ]
}

@test "--cgroup-props: those that a restore names are set, others not" {
	limits
	dump_end
	run --separate-stderr restore --cgroup-props "$(props replace '"cpu.cfs_quota_us"')"
	[ "$status" -eq 0 ] && [[ $stderr == *"cpu.cfs_burst_us is not set"* ]]
	[ "$(cat "$CPU/$G/cpu.cfs_burst_us")" = 0 ]
	[ "$(cat "$CPU/$G/cpu.cfs_quota_us")" = 50000 ]
	[ "$(cat "$PIDS/$G/pids.max")" = 77 ]
}

@test "--cgroup-props-file: those that replace leave the known ones out" {
	limits
	{ printf '"pids":\n - "strategy": "replace"\n - "properties": []\n'; props merge '"cpu.stat"'; } >"$IMG/props"
	dump_end --cgroup-props-file "$IMG/props"
	restore --cgroup-props-file "$IMG/props"
	[ "$(cat "$CPU/$G/cpu.cfs_burst_us")" = 20000 ]
	[ "$(cat "$PIDS/$G/pids.max")" = max ]
}

@test "a text that is wrong is refused before anything is stopped" {
	for bad in 'cpu:' '"cpu"' '"cpu": - "strategy": "x"' '"cpu": - "strategy": "merge" - "properties": ["a" "b"]' \
		'"cpu": - "strategy": "merge" - "properties": ["../a"]' '"cpu": - "strategy": "merge" - "properties": ["a'; do
		run -1 dump --cgroup-props "$bad"
		[[ $output == *"cgroup-props: line 1: wanted"* ]] || { echo "$bad: $output"; false; }
		run -1 restore --cgroup-props "$bad"
	done
	run -1 dump --cgroup-props-file "$IMG/none"
	[[ $output == *"cgroup-props-file $IMG/none: No such file"* ]]
	kill -0 "$PID"
}

@test "--cgroup-dump-controller: only these; in the others tasks are where the restorer is" {
	limits
	dump_end --cgroup-dump-controller cpu --cgroup-dump-controller name=systemd
	restore
	grep -q ":cpu:/$G$" "/proc/$PID/cgroup"
	! grep -q ":pids:/$G$" "/proc/$PID/cgroup"
	[ ! -e "$PIDS/$G" ]
}

@test "--cgroup-yard: the hierarchies are where the caller has mounted them" {
	limits
	mkdir -p "$IMG"/yard/{cpu,pids}
	mount --bind "$CPU" "$IMG/yard/cpu"
	dump --cgroup-yard "$IMG/yard" -R 2>"$IMG/err" && { echo "pids is no mount"; false; }
	grep -q "yard/pids is no mount of hierarchy \"pids\"" "$IMG/err"
	mount --bind "$PIDS" "$IMG/yard/pids"
	dump_end --cgroup-yard "$IMG/yard" --cgroup-dump-controller cpu --cgroup-dump-controller pids
	restore --cgroup-yard "$IMG/yard"
	[ "$(cat "$PIDS/$G/pids.max")" = 77 ]
	grep -q ":cpu:/$G$" "/proc/$PID/cgroup"
}
