#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/sleep task/regs
# A task in every blocking call: what it sees of a dump is nothing, of a restore what its manual page allows.
load ../kit/kind

setup() {
	setup_kind
	WITH=(unshare -i)
}
teardown() { teardown_kind; }

judged() { # it waits itself for the timeouts
	kill -TERM "$PID"
	until_true test -s "$W" || until_true test -s "$W"
	[ "$(cat "$W")" = OK ] || { cat "$W" >&2; return 1; }
}

@test "nothing is done to them" { start_kind block all; judged; }

@test "dump --leave-running, twice" {
	start_kind block all
	dump -R --file-locks
	dump -R --file-locks
	judged
}

@test "restore" {
	start_kind block all
	cycle --file-locks
	judged
}

@test "dump --leave-running, then dump and restore, in a user namespace" {
	SURROUNDING=user
	clean_kind
	start_kind block all
	dump -R --file-locks
	cycle --file-locks
	judged
}
