#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Stopping by the freezer of cgroup v2; a container that was found frozen stays so.
load ../kit/helper

setup() {
	local top
	for top in /sys/fs/cgroup/unified /sys/fs/cgroup; do
		[ -e "$top/cgroup.procs" ] && [ -e "$top/cgroup.controllers" ] && break
	done
	[ -e "$top/cgroup.controllers" ] || skip "no cgroup v2"
	CG=$top/stasis-test-$$-$BATS_TEST_NUMBER
	mkdir "$CG"
	[ -e "$CG/cgroup.freeze" ] || skip "no freezer in cgroup v2"
	setup_work
	echo "$PID" > "$CG/cgroup.procs"
	for p in $(cat "/proc/$PID/task/$PID/children"); do echo "$p" > "$CG/cgroup.procs"; done
}
teardown() {
	[ -n "${CG:-}" ] || return 0
	echo 0 > "$CG/cgroup.freeze" 2>/dev/null || true
	[ -z "${PID:-}" ] || teardown_work
	until_true rmdir "$CG" 2>/dev/null || true
}

frozen() { grep -q 'frozen 1' "$CG/cgroup.events"; }

@test "running tasks are frozen, dumped, and run on" {
	local before
	dump -R --freeze-cgroup "$CG"
	! frozen
	[ "$(cat "$CG/cgroup.freeze")" = 0 ]
	before=$(beat)
	until_true beats_on "$before"
	verify
}

@test "found frozen, it stays frozen, and goes on when it is thawed" {
	local before
	echo 1 > "$CG/cgroup.freeze"
	until_true frozen
	before=$(beat)
	dump -R --freeze-cgroup "$CG"
	[ "$(cat "$CG/cgroup.freeze")" = 1 ]
	until_true frozen
	[ "$(beat)" -le $((before + 1)) ] # nobody has gone on meanwhile, but for the moment of the stop
	echo 0 > "$CG/cgroup.freeze"
	until_true beats_on "$((before + 1))"
	verify
}

@test "found frozen, dumped and ended; the restored ones run" {
	echo 1 > "$CG/cgroup.freeze"
	until_true frozen
	dump --freeze-cgroup "$CG"
	until_true gone "$PID"
	echo 0 > "$CG/cgroup.freeze"
	restore
	verify
}
