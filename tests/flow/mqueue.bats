#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/mqueue mqueue
# POSIX message queues, judged by the program that uses them.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

own() { WITH=(unshare -i sh -c "${1:-:}; exec \"\$@\"" -); } # own [COMMAND]: an ipc namespace, in which it runs before

# a look changes nothing, and the next one finds what it found
looked() { dump -R; }
@test "priorities, order, removed names, queues of nobody, blocked tasks, notifications" { own; keeps mqueue all; }

@test "limits below what there is" {
	own
	start_kind mqueue all
	nsenter -t "$PID" -i sh -c 'cd /proc/sys/fs/mqueue; echo 1 > queues_max; echo 1 > msg_max; echo 128 > msgsize_max'
	dump
	until_true gone "$PID"
	restore
	[ "$(nsenter -t "$PID" -i cat /proc/sys/fs/mqueue/queues_max)" = 1 ]
	[ "$(nsenter -t "$PID" -i cat /proc/sys/fs/mqueue/msgsize_max)" = 128 ]
	verify
}

@test "the dumper killed at any moment: no message is lost or changes its place" {
	local us
	own "echo 3000 > /proc/sys/fs/mqueue/msg_max"
	start_kind mqueue many
	for us in 0 5000 10000 15000 20000 25000 30000 35000 40000 50000 60000 80000; do
		timeout -s KILL "0.$(printf %06d "$us")" "$BUILD/stasis" dump -t "$PID" -D "$IMG/img" -R || true
	done
	dump
	until_true gone "$PID"
	restore
	verify
}

@test "messages and somebody to be notified of some: refused, nothing is touched" {
	own
	start_kind mqueue both
	not_dumped "waits to be notified (mq_notify)"
	verify
}

@test "SIGEV_THREAD: refused" {
	own
	start_kind mqueue thread
	refused "SIGEV_THREAD"
}

@test "a queue of the host's ipc namespace: refused" {
	start_kind mqueue host
	refused "of another ipc namespace"
}

@test "damaged images of queues are refused" {
	own
	start_kind mqueue all
	dump
	until_true gone "$PID"
	img=$(echo "$IMG"/img/ipcns-mq-*.img)
	cp "$img" "$IMG/good"
	for n in 9 30 60; do
		head -c "$n" "$IMG/good" > "$img"
		run restore
		[ "$status" -ne 0 ]
		gone "$PID"
	done
}
