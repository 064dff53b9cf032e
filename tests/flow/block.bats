#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/sleep task/regs
# A task in every blocking call: what it sees of a dump is nothing, of a restore what its manual page allows.
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	mkdir "$IMG/img" "$IMG/d"
	W=$IMG/d/verdict
	unshare -i "$BUILD/tests/kit/block" "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
}
teardown() {
	local pid
	for pid in $(cat "/proc/$PID/task/$PID/children" 2>/dev/null) $PID; do
		kill -9 "$pid" 2>/dev/null || true
	done
	rm -rf "$IMG"
}

judged() { # it waits itself for the timeouts
	kill -TERM "$PID"
	until_true test -s "$W" || until_true test -s "$W"
	[ "$(cat "$W")" = OK ] || { cat "$W" >&2; return 1; }
}

@test "nothing is done to them" { judged; }

@test "dump --leave-running, twice" {
	dump -R --file-locks
	dump -R --file-locks
	judged
}

@test "restore" {
	dump --file-locks
	until_true gone "$PID"
	restore --file-locks
	judged
}

@test "dump --leave-running, then dump and restore" {
	dump -R --file-locks
	dump --file-locks
	until_true gone "$PID"
	restore --file-locks
	judged
}
