#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: mem/anon
# Tasks that share memory, descriptors, working directory, signal handlers without being threads.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; }
teardown() {
	local pid
	for pid in $(cat "/proc/$PID/task/$PID/children" 2>/dev/null) $PID; do
		kill -9 "$pid" 2>/dev/null || true
	done
	rm -rf "$IMG"
}

start() { # start CASE [COMMAND...]
	"${@:2}" "$BUILD/tests/kit/share" "$1" "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
}

@test "every combination of CLONE_VM, CLONE_FILES, CLONE_FS, CLONE_SIGHAND; exit signals" {
	start all
	dump -R
	dump
	until_true gone "$PID"
	restore
	dump
	until_true gone "$PID"
	restore
	verify
}

@test "shared memory is stored once" {
	start all
	dump
	until_true gone "$PID"
	[ "$(ls "$IMG"/img/mm-*.img | wc -l)" -eq 5 ] # the program's and those of four children without CLONE_VM
	restore
	verify
}

@test "siblings that share with one another, not with their parent" {
	start siblings
	dump
	until_true gone "$PID"
	restore
	verify
}

@test "vfork: the moment until the child ends is waited for" {
	start vfork
	for n in 1 2 3 4 5; do dump -R; done
	dump
	until_true gone "$PID"
	restore
	verify
}

@test "vfork: a child that stays in its parent's memory is refused, and nothing is changed" {
	start vfork-long
	read -rt 0.1 <> <(:) || true
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *"vfork()"* ]]
	kill -TERM "$PID" # it waits, or the parent would be in the next vfork() already
	kill -9 "$(cat "/proc/$PID/task/$PID/children")" # the child: its parent goes on
	verify
}

@test "an orphan in the session of a task that is neither its ancestor nor its sibling" {
	start orphan
	dump
	until_true gone "$PID"
	restore
	verify
}
