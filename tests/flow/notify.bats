#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/notify notify
# Seccomp filters that leave calls to a listener, judged by who listens.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

@test "who answers for a process goes on" { keeps notify alone; }
@test "who answers for a process with threads goes on" { keeps notify threads; }
@test "a call that waits for its answer is told of again" { keeps notify waits; }
@test "a filter of two processes and its listener: refused" {
	start_kind notify shared
	not_dumped "1 listeners and 2 filters"
	verify
}
@test "a listener in an epoll: refused" { start_kind notify epoll; not_dumped "watches a seccomp listener"; verify; }
@test "a listener in a message: refused" { start_kind notify sent; not_dumped "is in a message"; verify; }
@test "a filter that nobody listens to: reported" {
	start_kind notify unheard
	run dump
	[ "$status" -eq 0 ]
	[[ "$output" == *"1 filters leave system calls to a listener that no task of the tree has"* ]]
	until_true gone "$PID"
	restore
	verify
}
