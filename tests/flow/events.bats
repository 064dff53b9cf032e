#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/eventfd fd/eventpoll fd/timerfd fd/signalfd fd/inotify fd/fanotify fd/pidfd
# Descriptors that tell of events, judged by the program that has them.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; }
teardown() {
	local pid
	for pid in $(cat "/proc/$PID/task/$PID/children" 2>/dev/null) $PID; do
		kill -9 "$pid" 2>/dev/null || true
	done
	rm -rf "$IMG"
}

start() { # start WHAT
	"$BUILD/tests/kit/events" "$1" "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
}

# one that runs on as if nothing had been, then two generations
keeps() {
	start "$1"
	dump -R
	dump
	until_true gone "$PID"
	restore
	dump
	until_true gone "$PID"
	restore
	verify
}

@test "epoll: numbers reused, nested, watched twice, many" { keeps epoll; }
@test "epoll: edges and one-shot targets, told and not told" { keeps epoll-once; }
@test "epoll: a target that the task has closed is refused, and the task runs on" {
	start epoll-lost
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *EPOLL_CTL_DEL* ]]
	verify
}
@test "timerfd" { keeps timerfd; }
@test "signalfd" { keeps signalfd; }
@test "inotify: files, directories, one without a name, numbers" { keeps inotify; }
@test "fanotify: inodes, a mount, ignored masks" { keeps fanotify; }
@test "fanotify: one that decides on permissions is refused" {
	start fanotify-perm
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *permission* ]]
	verify
}
@test "pidfd: of a child, a zombie, dead ones" { keeps pidfd; }
