#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/eventfd fd/eventpoll fd/timerfd fd/signalfd fd/inotify fd/fanotify fd/pidfd
# Descriptors that tell of events, judged by the program that has them.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

@test "epoll: numbers reused, nested, watched twice, many" { keeps events epoll; }
@test "epoll: edges and one-shot targets, told and not told" { keeps events epoll-once; }
@test "epoll: targets that the task has closed, but another has open" { keeps events epoll-lost; }
@test "epoll: an instance that is in a message" { keeps events epoll-sent; }
@test "epoll: busy polling" { keeps events epoll-poll; }
@test "epoll: a target that is only in a message is refused, and the task runs on" {
	start_kind events epoll-queued
	not_dumped EPOLL_CTL_DEL
	verify
}
@test "timerfd" { keeps events timerfd; }
@test "signalfd" { keeps events signalfd; }
@test "inotify: files, directories, one without a name, numbers" { keeps events inotify; }
@test "inotify: on an overlay" { AROUND="spaces user" keeps events inotify-overlay; } # it mounts one
@test "inotify: a program is told that events are lost" { keeps events inotify-lost; }
@test "fanotify: inodes, a mount, ignored masks" { AROUND="plain spaces" keeps events fanotify; } # of mounts: root of the host
@test "fanotify: a file system" { AROUND=spaces keeps events fanotify-system; } # it mounts it, as root of the host
@test "fanotify: a program is told that events are lost" { AROUND="plain spaces" keeps events fanotify-lost; }
@test "fanotify: one that decides on permissions is refused" {
	start_kind events fanotify-perm
	not_dumped permission
	verify
}
@test "pidfd: of a child, a zombie, dead ones" { keeps events pidfd; }
