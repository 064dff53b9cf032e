#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/seccomp task/creds task/prctl task/cpu task/dispatch task/numa task/keys task/sched task/pdeathsig task/altstack task/dumpable fd/memfd fd/nsfile mem-numa mem/anon mem/file
# What prctl(2) and its like set for threads, processes and memory.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; }
teardown() {
	[ -z "${PID:-}" ] || kill -9 "$PID" 2>/dev/null || true
	rm -rf "$IMG"
}

start() {
	"$BUILD/tests/kit/states" "$1" "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
	! grep -qx "$1" "$IMG/d/lacks" || skip "this kernel or machine has no $1"
}
cycle() {
	dump
	until_true gone "$PID"
	restore
}
keeps() {
	start "$1"
	dump -R
	cycle
	cycle
	verify
}

@test "dispatch of system calls, MDWE, merging, I/O flusher, speculation, TSC, memory errors, slack, subreaper, signal at the parent's death, membarrier, memory policy, personality, session keyring" {
	keeps all
}
@test "protection keys: of memory, in registers, allocated or not" { keeps pkeys; }
@test "memory policy of a mapping" { keeps mbind; }
@test "name of a mapping" { keeps vma-name; }
@test "deadline scheduling" { keeps deadline; }
@test "not dumpable" { keeps dumpable; }
@test "a sealed memfd" { keeps memfd; }
@test "a descriptor of a namespace" { keeps nsfile; }
@test "mapped files, private and shared" { keeps map; }
@test "threads with ids, capabilities, seccomp, policy, nice, CPU, I/O priority, name, signals of their own" {
	keeps apart
}
@test "a thread with a namespace of its own is refused" {
	start own-namespace
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *"is in a uts namespace of its own"* ]]
	[ -z "$(ls "$IMG/img")" ]
	verify
}
