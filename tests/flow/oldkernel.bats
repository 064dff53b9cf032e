#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Dumps without ioctl(PAGEMAP_SCAN), as before Linux 6.7: pages are found by reading /proc/PID/pagemap. Restores without
# prctl(PR_TIMER_CREATE_RESTORE_IDS), as before 6.15: ids of timers are counted up to.
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	mkdir "$IMG/img" "$IMG/d"
	W=$IMG/d/verdict
	PID=
	HUGE=$(cat /proc/sys/vm/nr_hugepages)
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

start() { # start PROGRAM CASE
	unshare -i "$BUILD/tests/kit/$1" "$2" "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
}
old_dump() { "$BUILD/tests/kit/older" "$BUILD/stasis" dump -t "$PID" -D "$IMG/img" "$@"; }

@test "the calls are the ones that are denied" {
	for what in pagemap_scan timer_cr_ids; do
		"$BUILD/stasis" check --feature $what
		run "$BUILD/tests/kit/older" "$BUILD/stasis" check --feature $what
		[ "$status" -eq 1 ]
	done
}

@test "memory of forked tasks, private and shared" {
	start share all
	old_dump -R
	old_dump
	until_true gone "$PID"
	restore
	old_dump
	until_true gone "$PID"
	restore
	verify
}

@test "huge pages: no more is written than with the call" {
	"$BUILD/tests/kit/idle" 64 thp </dev/null >"$IMG/out" 2>/dev/null 3>&- &
	PID=$!
	until_true grep -q ready "$IMG/out"
	dump -R
	size=$(stat -c %s "$IMG"/img/pages-1.img)
	old_dump
	until_true gone "$PID"
	[ "$(stat -c %s "$IMG"/img/pages-1.img)" -eq "$size" ]
	restore
	dump
	until_true gone "$PID"
	[ "$(stat -c %s "$IMG"/img/pages-1.img)" -eq "$size" ]
}

@test "pages of hugetlbfs" {
	echo $((HUGE + 40)) > /proc/sys/vm/nr_hugepages
	[ "$(cat /proc/sys/vm/nr_hugepages)" -ge $((HUGE + 40)) ] || skip "no 40 huge pages here"
	start huge all
	old_dump
	until_true gone "$PID"
	restore
	verify
}

@test "ids of timers" {
	for case in all many; do
		rm -f "$IMG"/d/*
		start timers $case
		dump
		until_true gone "$PID"
		"$BUILD/tests/kit/older" "$BUILD/stasis" restore -D "$IMG/img" -d
		verify
		until_true gone "$PID"
	done
}
