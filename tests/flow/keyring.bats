#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/keys
# Keys in keyrings, judged by the program that has them.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; }
teardown() {
	local pid
	for pid in $(cat "/proc/$PID/task/$PID/children" 2>/dev/null) $PID; do
		kill -9 "$pid" 2>/dev/null || true
	done
	rm -rf "$IMG"
}

start() { # start CASE
	"$BUILD/tests/kit/keyring" "$1" "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true eval 'test -e "$IMG/d/ready" || ! kill -0 "$PID" 2>/dev/null'
	[ -e "$IMG/d/ready" ] || skip "this kernel has no keys"
}

@test "keys of the session, the process and the thread, with owners and permissions; a child shares them" {
	start keys
	dump -R
	dump -v4 -o log
	grep -q "keys are kept, but will have other numbers" "$IMG/img/log"
	until_true gone "$PID"
	restore
	dump
	until_true gone "$PID"
	restore
	verify
}
@test "a key that cannot be read, and one that expires, are reported" {
	start logon
	dump -R -v4 -o log
	grep -q "key a:secret of type logon cannot be read; it is not kept" "$IMG/img/log"
	grep -q "key short expires, which is not kept" "$IMG/img/log"
	verify
}
