#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/sleep task/regs mem/vdso ns/time
# A task asleep in each blocking system call. The kit's program says what each call returned, and when.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; }
teardown() {
	[ -z "${PID:-}" ] || kill -9 "$PID" 2>/dev/null || true
	rm -rf "$IMG"
}

start() {
	unshare -i "$BUILD/tests/kit/sleeps" "$1" "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
}
slept() { [ "$(cut -d. -f1 /proc/uptime)" -ge "$1" ]; }
later() { until_true slept "$(($(cut -d. -f1 /proc/uptime) + $1))"; }
verify() {
	kill -TERM "$PID" 2>/dev/null || [ -s "$W" ]
	for _ in 1 2 3; do [ -s "$W" ] || until_true test -s "$W" 2>/dev/null || true; done
	[ "$(cat "$W")" = OK ] || { cat "$W" >&2; return 1; }
}

@test "without end: dumps are not seen" {
	start endless
	for i in 1 2 3; do dump -R --file-locks; done
	verify
}

@test "without end: a restored one sleeps on, and wakes as it would have" {
	start endless
	dump --file-locks
	until_true gone "$PID"
	restore --file-locks
	dump --file-locks
	until_true gone "$PID"
	restore --file-locks
	verify
}

@test "six seconds: dumps neither shorten nor lengthen them" {
	start timed
	later 4
	dump -R
	verify
}

@test "six seconds: a restored one sleeps for the rest" {
	start timed
	later 4
	dump
	until_true gone "$PID"
	restore
	verify
}

@test "six seconds, in a time namespace with offsets" {
	unshare -iT --monotonic 1000 --boottime 5000 "$BUILD/tests/kit/sleeps" timed "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
	later 2
	dump
	until_true gone "$PID"
	restore
	verify
}
