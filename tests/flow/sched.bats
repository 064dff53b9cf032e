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

@test "what the restorer was given is not theirs: CPUs, memory policy, I/O priority, merging of memory" {
	[ "$(nproc)" -gt 1 ] || skip "one CPU"
	dump
	until_true gone "$PID"
	ionice -c 3 taskset -c 1 /usr/bin/python3 -c '
import ctypes, os, sys
c = ctypes.CDLL(None)
assert c.syscall(238, 2, ctypes.byref(ctypes.c_ulong(1)), 64) == 0 # set_mempolicy: MPOL_BIND, node 0
c.prctl(67, 1, 0, 0, 0) # PR_SET_MEMORY_MERGE
os.execv(sys.argv[1], sys.argv[1:])' "$BUILD/stasis" restore -D "$IMG/img" -d
	[ "$(taskset -cp "$PID" | grep -o '[^ ]*$')" = "$(taskset -cp $$ | grep -o '[^ ]*$')" ]
	[ "$(ionice -p "$PID")" = "$(ionice -p $$)" ]
	! grep -v ' default ' "/proc/$PID/numa_maps"
	! grep 'ksm_merge_any: yes' "/proc/$PID/ksm_stat"
}

@test "a limit that may not be raised is said, and the task runs" {
	dump
	until_true gone "$PID"
	(ulimit -Sn 600 && ulimit -Hn 600 && exec setpriv --bounding-set=-sys_resource \
		"$BUILD/stasis" restore -D "$IMG/img" -d -v2 -o said)
	grep "task $PID: limit 7 cannot be raised to [0-9]* without CAP_SYS_RESOURCE" "$IMG/img/said"
	grep '^Max open files  *600  *600 ' "/proc/$PID/limits"
}
