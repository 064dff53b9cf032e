#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/pipe fd/fifo fd/reg fd/memfd fd/eventfd fd/eventpoll fd/signalfd fd/timerfd fd/inotify fd/fanotify fd/pidfd fd/unix fd/inet fd/netlink fd/packet fd/vsock fd/tty fd/tun fd/mqueue fd/nsfile fd/bpf
# Open files of every sort that tasks have in common: by fork, by SCM_RIGHTS, by CLONE_FILES, in a message.
load ../kit/kind

setup() {
	setup_kind
	WITH=(unshare -i)
}
teardown() { teardown_kind; }

@test "one open file of every sort, had by related and unrelated tasks and by a message" {
	AROUND="plain spaces" keeps common all -- --tcp-established
	AROUND=user keeps common mapped -- --tcp-established
}
