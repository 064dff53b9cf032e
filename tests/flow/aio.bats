#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: mem/aio
# Contexts of io_setup(2), judged by the program that uses them.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; }
teardown() {
	local pid
	for pid in $(cat "/proc/$PID/task/$PID/children" 2>/dev/null) $PID; do
		kill -9 "$pid" 2>/dev/null || true
	done
	rm -rf "$IMG"
}

@test "AIO contexts: unread events, rings that wrap, full ones; they work on" {
	"$BUILD/tests/kit/aio" "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
	run dump -R
	[ "$status" -eq 0 ]
	[[ "$output" == *"IOCB_CMD_POLL"* ]]
	dump
	until_true gone "$PID"
	restore
	dump
	until_true gone "$PID"
	restore
	verify
}
