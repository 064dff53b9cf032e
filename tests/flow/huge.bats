#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: mem/anon mem/shared
# Memory of hugetlbfs pages, judged by the program that uses it.
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	mkdir "$IMG/img" "$IMG/d"
	W=$IMG/d/verdict
	PID=
	HUGE=$(cat /proc/sys/vm/nr_hugepages)
	echo $((HUGE + 40)) > /proc/sys/vm/nr_hugepages
	[ "$(cat /proc/sys/vm/nr_hugepages)" -ge $((HUGE + 40)) ] || skip "no 40 huge pages here"
}
teardown() {
	local pid
	for pid in $(cat "/proc/$PID/task/$PID/children" 2>/dev/null) $PID; do
		kill -9 "$pid" 2>/dev/null || true
	done
	[ -z "$PID" ] || until_true gone "$PID"
	echo "$HUGE" > /proc/sys/vm/nr_hugepages
	rm -rf "$IMG"
}

start() {
	unshare -i "$BUILD/tests/kit/huge" all "$IMG/d" </dev/null >/dev/null 2>"$IMG/err" 3>&- &
	PID=$!
	until_true eval 'test -e "$IMG/d/ready" || ! kill -0 "$PID" 2>/dev/null'
	[ -e "$IMG/d/ready" ] || { cat "$IMG/err" >&2; return 1; }
}
pages_free() { awk '/^HugePages_Free/ { print $2 }' /proc/meminfo; }

@test "MAP_HUGETLB private, forked, shared, in part; memfd; SHM_HUGETLB" {
	start
	before=$(pages_free)
	dump -R
	dump
	until_true gone "$PID"
	restore
	[ "$(pages_free)" -ge "$before" ] # what was shared by copy-on-write still is
	dump
	until_true gone "$PID"
	restore
	verify
}

@test "too few huge pages: the restore says so and leaves nothing" {
	start
	dump
	until_true gone "$PID"
	echo "$HUGE" > /proc/sys/vm/nr_hugepages
	run restore
	[ "$status" -ne 0 ]
	[[ "$output" == *"vm.nr_hugepages"* ]] || { echo "$output" >&2; return 1; }
	gone "$PID"
	PID=
}
