#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/prctl task/regs
# Threads that are not quite of their process: the main one has ended, or some have files of their own.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; }
teardown() {
	local pid
	for pid in $(cat /proc/"$PID"/task/*/children 2>/dev/null) $PID; do
		kill -9 "$pid" 2>/dev/null || true
	done
	rm -rf "$IMG"
}

start() {
	"$BUILD/tests/kit/threads" "$1" "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
}

@test "the main thread has ended, others run" {
	start leader
	dump -R
	dump
	until_true gone "$PID"
	restore
	dump -R
	dump
	until_true gone "$PID"
	restore
	verify
}

@test "threads with descriptors, a working directory of their own" {
	start unshared
	dump -R
	dump
	until_true gone "$PID"
	restore
	verify
}
