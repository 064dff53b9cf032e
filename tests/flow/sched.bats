#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/sched
# How a task is scheduled comes back: CPUs, policy, nice, I/O priority.
load ../kit/kind

setup() {
	setup_kind
	"$BUILD/tests/kit/idle" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
}
teardown() { teardown_kind; }

@test "bound to one CPU" {
	[ "$(nproc)" -gt 1 ] || skip "one CPU"
	taskset -cp 1 "$PID"
	cycle
	[ "$(taskset -cp "$PID")" = "pid $PID's current affinity list: 1" ]
}

@test "nice, batch policy, I/O priority" {
	renice -n 7 -p "$PID"
	chrt -b -p 0 "$PID"
	ionice -c 2 -n 6 -p "$PID"
	cycle
	[ "$(ps -o ni= -p "$PID" | tr -d ' ')" = 7 ]
	chrt -p "$PID" | grep -q SCHED_BATCH
	[ "$(ionice -p "$PID")" = "best-effort: prio 6" ]
}

@test "reset on fork" {
	chrt -R -b -p 0 "$PID"
	cycle
	chrt -p "$PID" | grep -q 'SCHED_BATCH|SCHED_RESET_ON_FORK'
}

@test "a limit that may not be raised is said, and the task runs" {
	dump
	until_true gone "$PID"
	(ulimit -Sn 600 && ulimit -Hn 600 && exec setpriv --bounding-set=-sys_resource \
		"$BUILD/stasis" restore -D "$IMG/img" -d -v2 -o said)
	grep "task $PID: limit 7 cannot be raised to [0-9]* without CAP_SYS_RESOURCE" "$IMG/img/said"
	grep '^Max open files  *600  *600 ' "/proc/$PID/limits"
}
