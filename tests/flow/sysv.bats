#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: sysv mem/sysv ns/ipc task/semundo
# System V IPC, judged by the program that uses it.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

own() { WITH=(unshare -i sh -c "${1:-:}; exec \"\$@\"" -); } # own [COMMAND]: an ipc namespace, in which it runs before
restored() { [ "$(du -sk "$IMG/img" | cut -f 1)" -lt 4000 ]; } # a sparse segment stays sparse

@test "segments, whole and in parts, removed, locked, sparse; semaphores; messages; owners" { own; keeps sysv all; }

@test "limits below what there is" {
	own
	start_kind sysv all
	nsenter -t "$PID" -i sh -c 'echo 4096 > /proc/sys/kernel/shmmax; echo 1000 > /proc/sys/kernel/msgmnb; echo 8000 > /proc/sys/kernel/msgmax'
	dump
	until_true gone "$PID"
	restore
	[ "$(nsenter -t "$PID" -i cat /proc/sys/kernel/shmmax)" = 4096 ]
	[ "$(nsenter -t "$PID" -i cat /proc/sys/kernel/msgmax)" = 8000 ]
	verify
}

@test "shm_rmid_forced" {
	own "echo 1 > /proc/sys/kernel/shm_rmid_forced"
	start_kind sysv forced
	dump
	until_true gone "$PID"
	restore
	[ "$(nsenter -t "$PID" -i cat /proc/sys/kernel/shm_rmid_forced)" = 1 ]
	verify
}

@test "shm_rmid_forced and a segment that nobody has attached: refused" {
	own "echo 1 > /proc/sys/kernel/shm_rmid_forced"
	start_kind sysv forced-detached
	not_dumped "shm_rmid_forced is set"
	verify
}

@test "SEM_UNDO: what a task will leave behind" { own; keeps sysv undo; }
@test "SEM_UNDO that has come to nothing" { own; keeps sysv undo-none; }
@test "SEM_UNDO of the host's semaphores is reported" {
	start_kind sysv undo-host
	run dump -R
	[ "$status" -eq 0 ]
	[[ "$output" == *"semaphores of the host"*SEM_UNDO* ]]
	verify
}

@test "a segment of the host's ipc namespace is refused before anything is stopped" {
	start_kind sysv forced
	refused "of the host"
}
