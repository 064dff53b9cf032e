#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: ns/cgroup cgroup-dump
# Tasks come back to their cgroups; directories that are gone are made again, with their limits.
bats_require_minimum_version 1.5.0
load ../kit/helper

# directories of hierarchies that this host has: pids of v1 or v2, else a named one
setup() {
	IMG=$(mktemp -d)
	mkdir "$IMG/img"
	G=stasis-test-$$-$RANDOM
	V1=$(awk '$(NF-2) == "cgroup" && $NF ~ /(^|,)pids(,|$)/ { print $5; exit }' /proc/self/mountinfo)
	V2=$(awk '$(NF-2) == "cgroup2" { print $5; exit }' /proc/self/mountinfo)
	[ -n "$V1$V2" ]
	TOP=${V1:-$V2}
	mkdir -p "$TOP/$G/a/b" "${V2:-$TOP}/$G/x"
	"$BUILD/tests/kit/idle" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	echo "$PID" > "$TOP/$G/a/cgroup.procs"
}

teardown() {
	kill -9 "$PID" 2>/dev/null || true
	for f in /sys/fs/cgroup/freezer/"$G"/freezer.state; do
		[ ! -e "$f" ] || echo THAWED > "$f"
	done
	until_true gone "$PID"
	clear_dirs
	rm -rf "$IMG"
}

clear_dirs() {
	local d
	for d in "$TOP/$G/a/b" "$TOP/$G/a" "${V2:-$TOP}/$G/x" "${V2:-$TOP}/$G" "$TOP/$G" \
		"$TOP/$G-new/a/b" "$TOP/$G-new/a" "$TOP/$G-new"; do
		[ ! -d "$d" ] || rmdir "$d"
	done
}

@test "set, directories below, owner and limit come back" {
	[ -z "$V2" ] || echo "$PID" > "$V2/$G/x/cgroup.procs"
	[ -z "$V2" ] || echo 5 > "$V2/$G/x/cgroup.max.depth"
	[ -z "$V1" ] || echo 77 > "$TOP/$G/a/pids.max"
	chown 12:13 "$TOP/$G/a"
	cat "/proc/$PID/cgroup" > "$IMG/before"
	dump
	until_true gone "$PID"
	clear_dirs
	restore
	diff "/proc/$PID/cgroup" "$IMG/before"
	[ -d "$TOP/$G/a/b" ]
	[ "$(stat -c %u:%g "$TOP/$G/a")" = 12:13 ]
	[ -z "$V1" ] || [ "$(cat "$TOP/$G/a/pids.max")" = 77 ]
	[ -z "$V2" ] || [ "$(cat "$V2/$G/x/cgroup.max.depth")" = 5 ]
}

@test "a failed restore leaves no directory behind" {
	dump
	until_true gone "$PID"
	clear_dirs
	truncate -s 100 "$IMG/img/pages-1.img"
	run ! restore
	[ ! -e "$TOP/$G" ]
}

@test "--manage-cgroups=ignore stays where the restorer is" {
	dump
	until_true gone "$PID"
	clear_dirs
	restore --manage-cgroups=ignore
	diff "/proc/$PID/cgroup" /proc/self/cgroup
	[ ! -e "$TOP/$G" ]
}

@test "found frozen: frozen again where the cgroup is made anew, and not where it exists or we are in it" {
	local f t
	f=$(awk '$(NF-2) == "cgroup" && $NF ~ /(^|,)freezer(,|$)/ { print $5; exit }' /proc/self/mountinfo)
	[ -n "$f" ] || skip "no freezer of version 1"
	mkdir -p "$f/$G"
	echo "$PID" > "$f/$G/cgroup.procs"
	state_is() { [ "$(cat "$f/$G/freezer.state")" = "$1" ]; }
	echo FROZEN > "$f/$G/freezer.state"
	until_true state_is FROZEN
	dump --freeze-cgroup "$f/$G"
	until_true gone "$PID"
	# it exists, thawed: it belongs to whoever made it
	echo THAWED > "$f/$G/freezer.state"
	restore
	state_is THAWED
	kill -9 "$PID"
	until_true gone "$PID"
	# full wants it frozen; but this restorer would stop itself
	timeout -s KILL 20 sh -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$f/$G" \
		"$BUILD/stasis" restore -D "$IMG/img" -d --manage-cgroups=full || { echo THAWED > "$f/$G/freezer.state"; false; }
	state_is THAWED
	kill -9 "$PID"
	until_true gone "$PID"
	rmdir "$f/$G"
	clear_dirs
	restore
	until_true state_is FROZEN
	kill -9 "$PID"
	echo THAWED > "$f/$G/freezer.state"
	until_true gone "$PID"
	rmdir "$f/$G"
}
