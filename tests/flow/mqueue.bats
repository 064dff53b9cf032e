#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/mqueue mqueue
# POSIX message queues, judged by the program that uses them.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; }
teardown() {
	local pid
	for pid in $(cat "/proc/$PID/task/$PID/children" 2>/dev/null) $PID; do
		kill -9 "$pid" 2>/dev/null || true
	done
	rm -rf "$IMG"
}

start() { # start CASE [COMMAND run in the namespace before]
	unshare -i sh -c "${2:-:}; exec '$BUILD/tests/kit/mqueue' $1 '$IMG/d'" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
}
refused() { # refused TEXT: and it runs on
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *"$1"* ]] || { echo "$output" >&2; return 1; }
}

@test "priorities, order, removed names, queues of nobody, blocked tasks, notifications" {
	start all
	dump -R
	dump -R
	dump
	until_true gone "$PID"
	restore
	dump
	until_true gone "$PID"
	restore
	verify
}

@test "limits below what there is" {
	start all
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
	start many "echo 3000 > /proc/sys/fs/mqueue/msg_max"
	for us in 0 5000 10000 15000 20000 25000 30000 35000 40000 50000 60000 80000; do
		timeout -s KILL "0.$(printf %06d "$us")" "$BUILD/stasis" dump -t "$PID" -D "$IMG/img" -R || true
	done
	dump
	until_true gone "$PID"
	restore
	verify
}

@test "messages and somebody to be notified of some: refused, nothing is touched" {
	start both
	refused "waits to be notified (mq_notify)"
	verify
}

@test "SIGEV_THREAD: refused" {
	start thread
	refused "SIGEV_THREAD"
	[ -z "$(ls "$IMG/img")" ]
	verify
}

@test "a queue of the host's ipc namespace: refused" {
	"$BUILD/tests/kit/mqueue" host "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
	refused "of another ipc namespace"
	[ -z "$(ls "$IMG/img")" ]
	verify
}

@test "damaged images of queues are refused" {
	start all
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
