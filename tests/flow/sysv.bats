#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: sysv mem/sysv ns/ipc
# System V IPC, judged by the program that uses it.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; }
teardown() {
	local pid
	for pid in $(cat "/proc/$PID/task/$PID/children" 2>/dev/null) $PID; do
		kill -9 "$pid" 2>/dev/null || true
	done
	rm -rf "$IMG"
}

start() { # start CASE [COMMAND run in the namespace before]
	unshare -i sh -c "${2:-:}; exec '$BUILD/tests/kit/sysv' $1 '$IMG/d'" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
}

@test "segments, whole and in parts, removed, locked, sparse; semaphores; messages; owners" {
	start all
	dump -R
	dump
	until_true gone "$PID"
	[ "$(du -sk "$IMG/img" | cut -f 1)" -lt 4000 ] # a sparse segment stays sparse
	restore
	dump
	until_true gone "$PID"
	restore
	verify
}

@test "limits below what there is" {
	start all
	nsenter -t "$PID" -i sh -c 'echo 4096 > /proc/sys/kernel/shmmax; echo 1000 > /proc/sys/kernel/msgmnb; echo 8000 > /proc/sys/kernel/msgmax'
	dump
	until_true gone "$PID"
	restore
	[ "$(nsenter -t "$PID" -i cat /proc/sys/kernel/shmmax)" = 4096 ]
	[ "$(nsenter -t "$PID" -i cat /proc/sys/kernel/msgmax)" = 8000 ]
	verify
}

@test "shm_rmid_forced" {
	start forced "echo 1 > /proc/sys/kernel/shm_rmid_forced"
	dump
	until_true gone "$PID"
	restore
	[ "$(nsenter -t "$PID" -i cat /proc/sys/kernel/shm_rmid_forced)" = 1 ]
	verify
}

@test "shm_rmid_forced and a segment that nobody has attached: refused" {
	start forced-detached "echo 1 > /proc/sys/kernel/shm_rmid_forced"
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *"shm_rmid_forced is set"* ]]
	verify
}

@test "SEM_UNDO is reported" {
	start undo
	run dump
	[ "$status" -eq 0 ]
	[[ "$output" == *SEM_UNDO* ]]
	until_true gone "$PID"
	restore
	verify
}

@test "a segment of the host's ipc namespace is refused before anything is stopped" {
	"$BUILD/tests/kit/sysv" forced "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *"of the host"* ]]
	verify
}
