#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/sleep task/regs mem/vdso ns/time
# A task asleep in each blocking system call. The kit's program says what each call returned, and when.
load ../kit/kind

setup() {
	setup_kind
	WITH=(unshare -i)
}
teardown() { teardown_kind; }

slept() { [ "$(cut -d. -f1 /proc/uptime)" -ge "$1" ]; }
later() { until_true slept "$(($(cut -d. -f1 /proc/uptime) + $1))"; }
verify() {
	kill -TERM "$PID" 2>/dev/null || [ -s "$W" ]
	for _ in 1 2 3; do [ -s "$W" ] || until_true test -s "$W" 2>/dev/null || true; done
	[ "$(cat "$W")" = OK ] || { cat "$W" >&2; return 1; }
}

@test "without end: dumps are not seen" {
	start_kind sleeps endless
	for i in 1 2 3; do dump -R --file-locks; done
	verify
}

@test "without end: a restored one sleeps on, and wakes as it would have" { keeps sleeps endless -- --file-locks; }

@test "six seconds: dumps neither shorten nor lengthen them" {
	start_kind sleeps timed
	later 4
	dump -R
	verify
}

@test "six seconds: a restored one sleeps for the rest" {
	start_kind sleeps timed
	later 4
	dump
	until_true gone "$PID"
	restore
	verify
}

@test "six seconds, in a user and a time namespace with offsets" {
	SURROUNDING=user
	clean_kind
	start_kind sleeps timed
	later 2
	cycle
	verify
}
