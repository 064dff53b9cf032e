#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: filelock
# Locks on files, judged by the program that has them.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; }
teardown() {
	local pid
	for pid in $(cat "/proc/$PID/task/$PID/children" 2>/dev/null) $PID ${OUTER:-}; do
		kill -9 "$pid" 2>/dev/null || true
	done
	rm -rf "$IMG"
}

start() { # start CASE
	"$BUILD/tests/kit/locks" "$1" "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
}

refused() { # refused TEXT [OPTION...]
	local text=$1
	shift
	run dump "$@"
	[ "$status" -ne 0 ]
	[[ "$output" == *"$text"* ]] || { echo "$output" >&2; return 1; }
	[ ! -e "$IMG/img/inventory.img" ]
	verify
}

@test "POSIX, flock, OFD, a lease; by two tasks; two generations" {
	start all
	dump -R -l
	dump --file-locks
	until_true gone "$PID"
	restore -l
	dump -l
	until_true gone "$PID"
	restore --file-locks
	verify
}

@test "without --file-locks a lock is refused before anything is stopped" {
	start all
	refused "--file-locks"
}

@test "restore wants --file-locks too, and makes nothing without" {
	start all
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
	start all
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
	start inherit
	until_true test -s "$IMG/d/kid"
	PID=$(cat "$IMG/d/kid")
	dump -l
	until_true gone "$PID"
	restore -l
	verify
}

@test "a lock shared with a process outside is refused" {
	start inherit-stay
	until_true test -s "$IMG/d/kid"
	OUTER=$PID
	PID=$(cat "$IMG/d/kid")
	run dump -l
	[ "$status" -ne 0 ]
	[[ "$output" == *"is shared with process $OUTER outside"* ]] || { echo "$output" >&2; false; }
}

@test "a lease that is being broken is refused" { start breaking; refused "breaking the lease" -l; }
@test "a flock on a file that is only mapped is refused without --file-locks" { start mapped; refused "use --file-locks"; }
@test "a flock on a file that is only mapped, through two generations" {
	start mapped
	dump -R -l
	for g in 1 2; do
		dump -l
		until_true gone "$PID"
		restore -l
	done
	verify
}
@test "a flock on a file in a socket's queue is refused" { start queued; refused "is locked, but" -l; }
