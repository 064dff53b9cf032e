#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: mem/anon
# Tasks that have memory reserved, or share memory, descriptors, working directory, signal handlers without being threads.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

@test "every combination of CLONE_VM, CLONE_FILES, CLONE_FS, CLONE_SIGHAND; exit signals" { keeps share all; }

@test "shared memory is stored once" {
	start_kind share all
	dump
	until_true gone "$PID"
	[ "$(ls "$IMG"/img/mm-*.img | wc -l)" -eq 5 ] # the program's and those of four children without CLONE_VM
	restore
	verify
}

@test "siblings that share with one another, not with their parent" { keeps share siblings; }

@test "vfork: the moment until the child ends is waited for" {
	start_kind share vfork
	for n in 1 2 3 4 5; do dump -R; done
	dump
	until_true gone "$PID"
	restore
	verify
}

@test "vfork: a child that stays in its parent's memory is refused, and nothing is changed" {
	start_kind share vfork-long
	read -rt 0.1 <> <(:) || true
	not_dumped "vfork()"
	kill -TERM "$PID" # it waits, or the parent would be in the next vfork() already
	kill -9 "$(cat "/proc/$PID/task/$PID/children")" # the child: its parent goes on
	verify
}

@test "reserved addresses, eight times of what memory there is, and what a child makes of them" { keeps reserve reserved; }

@test "an orphan in the session of a task that is neither its ancestor nor its sibling" { keeps share orphan; }
