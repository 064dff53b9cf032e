#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: pstree
# Who is whose: groups and sessions of dead leaders, orphans of a subreaper, zombies, stopped tasks.
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
	"$@" "$BUILD/tests/kit/kin" all "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
}

@test "a shell's child" {
	start env
	dump -R --shell-job
	dump --shell-job
	until_true gone "$PID"
	restore --shell-job
	dump -R --shell-job
	dump --shell-job
	until_true gone "$PID"
	restore --shell-job
	verify
}

@test "a session of its own" {
	start setsid
	dump -R
	dump
	until_true gone "$PID"
	restore
	verify
}
