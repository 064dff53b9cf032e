#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: filelock
# Locks on files, judged by the program that has them.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

@test "POSIX, flock, OFD, a lease; by two tasks; two generations" { keeps locks all -- --file-locks; }

@test "without --file-locks a lock is refused before anything is stopped" {
	start_kind locks all
	refused "--file-locks"
}

@test "restore wants --file-locks too, and makes nothing without" {
	start_kind locks all
	dump -l
	until_true gone "$PID"
	run restore
	[ "$status" -ne 0 ]
	[[ "$output" == *--file-locks* ]]
	gone "$PID"
	restore -l
	verify
}

@test "a lock that somebody else has meanwhile: the restore says so and leaves nothing" {
	start_kind locks all
	dump -l
	until_true gone "$PID"
	exec 8<>"$IMG/d/ex"
	flock -n 8
	run restore -l
	[ "$status" -ne 0 ]
	[[ "$output" == *"somebody else has the file locked"* ]] || { echo "$output" >&2; false; }
	gone "$PID"
	exec 8>&-
	restore -l
	verify
}

@test "a lock taken by a process that is gone, for the tree" {
	start_kind locks inherit
	until_true test -s "$IMG/d/kid"
	PID=$(cat "$IMG/d/kid")
	dump -l
	until_true gone "$PID"
	restore -l
	verify
}

@test "a lock shared with a process outside is refused" {
	start_kind locks inherit-stay
	until_true test -s "$IMG/d/kid"
	OUTER=$PID
	PID=$(cat "$IMG/d/kid")
	not_dumped "is shared with process $OUTER outside" -l
	kill -9 "$OUTER"
}

@test "a lease that is being broken is refused" { start_kind locks breaking; refused "breaking the lease" -l; }
@test "a flock on a file that is only mapped is refused without --file-locks" { start_kind locks mapped; refused "use --file-locks"; }
@test "a flock on a file that is only mapped, through two generations" { keeps locks mapped -- -l; }
@test "a flock on a file in a socket's queue is refused" {
	start_kind locks queued
	not_dumped "is locked, but" -l
	verify
}
