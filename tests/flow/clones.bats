#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Threads that share with some others only, or are in namespaces of their own; tasks in one memory. They look at
# themselves before and after.
load ../kit/kind

setup() {
	setup_kind
	WITH=(setsid)
}
teardown() { teardown_kind; }

@test "threads that share descriptors or directories with some others" { keeps clones groups; }
@test "threads in network, uts, ipc namespaces of their own" { keeps clones net; }
@test "threads in mount namespaces of their own" { AROUND="spaces user" keeps clones mounts; }
@test "... in a user namespace below the tree's, or of one below that" { keeps clones below; }
@test "... of a user namespace below the tree's, with mounts" { AROUND="spaces user" keeps clones mounts-below; }
@test "threads where their process could not send them again are refused" {
	start_kind clones stays
	refused "nor to one below"
	clean_kind
	start_kind clones birth
	refused "another time namespace"
}
@test "sockets of a network namespace that no task is in" { keeps clones lone-socket; }
@test "... nor a descriptor: refused" {
	start_kind clones nothing-else
	refused "that nothing else in the tree holds"
}
@test "attributes that each thread has alone" { keeps clones attributes; }
@test "adjustments of semaphores that two tasks have in common" { AROUND="spaces user" keeps clones undo; }
@test "tasks that share an I/O context" { keeps clones io; }
@test "... dumped and restored with an I/O priority that is not theirs" {
	start_kind clones io
	nice_dump() { ionice -c 3 "$BUILD/stasis" "$@"; }
	nice_dump dump -t "$PID" -D "$IMG/img" -v2 >"$IMG/log" 2>&1
	! grep "I/O context" "$IMG/log"
	until_true gone "$PID"
	nice_dump restore -D "$IMG/img" -d
	verify
}
@test "tasks in one memory, with threads and namespaces of their own" { keeps clones tasks; }

settled() { ! pgrep -x stasis-warden >/dev/null; }
killed() { # killed CASE: kill -9 of dumps at random moments, then of supervisor and tracer at once
	start_kind clones "$1"
	for _ in $(seq 20); do
		dump_exec -R >/dev/null 2>&1 3>&- &
		d=$!
		read -rt "0.0$((RANDOM % 10))$((RANDOM % 10))" <> <(:) || true
		kill -9 "$d" 2>/dev/null || true
		wait "$d" || true
	done
	cat >"$IMG/both" <<-'END'
		#!/bin/sh
		[ "$CRTOOLS_SCRIPT_ACTION" = post-dump ] || exit 0
		kill -9 $(pgrep -P "$PPID" -x stasis-warden) && kill -9 "$PPID"
	END
	chmod +x "$IMG/both"
	for _ in $(seq 5); do
		until_true settled
		run dump -R --action-script "$IMG/both"
		[ "$status" -eq 137 ] || { echo "$status: $output" >&2; return 1; }
	done
	until_true settled
	dump -R # and nothing is left that would be in its way
	verify
}
@test "kill -9 of the supervisor: threads with tables of their own" { killed groups; }
@test "kill -9 of the supervisor: threads in namespaces of their own" { killed net; }
@test "kill -9 of the supervisor: tasks in one memory" { killed tasks; }

all_gone() { [ -z "$(pgrep -x clones)" ]; }
@test "kill -9 of a restore leaves nothing behind, or all of it" {
	start_kind clones tasks
	dump
	until_true gone "$PID"
	for _ in $(seq 20); do
		restore_exec >/dev/null 2>&1 3>&- &
		d=$!
		read -rt "0.0$((RANDOM % 10))" <> <(:) || true
		kill -9 "$d" 2>/dev/null || true
		wait "$d" || true
		until_true settled
		until_true all_gone || break # it was quick enough
	done
	! gone "$PID" || restore
	verify
}
