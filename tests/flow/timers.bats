#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/posixtimer task/itimer
# Timers on every clock: ids, what is left, whose CPU time, in which thread they ring.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; }
teardown() {
	[ -z "${PID:-}" ] || kill -9 "$PID" 2>/dev/null || true
	rm -rf "$IMG"
}

start() {
	"$BUILD/tests/kit/timers" "$1" "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
}

@test "dumps change nothing in them" {
	start all
	for i in 1 2 3; do dump -R; done
	verify
}

@test "two generations" {
	start all
	for i in 1 2; do
		dump
		until_true gone "$PID"
		restore
	done
	verify
}
