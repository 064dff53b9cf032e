#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/uring mem/uring task/uring
# io_uring, judged by the program that has it.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; }
teardown() {
	local pid
	for pid in $(cat "/proc/$PID/task/$PID/children" 2>/dev/null) $PID; do
		kill -9 "$pid" 2>/dev/null || true
	done
	rm -rf "$IMG"
}

start() { # start CASE
	"$BUILD/tests/kit/uring" "$1" "$IMG/d" </dev/null >/dev/null 2>"$IMG/err" 3>&- &
	PID=$!
	until_true eval 'test -e "$IMG/d/ready" || ! kill -0 "$PID" 2>/dev/null'
	[ -e "$IMG/d/ready" ] || skip "this kernel has no io_uring"
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
	verify || { cat "$IMG/err"; false; }
}

refused() { # refused CASE TEXT
	start "$1"
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *"$2"* ]] || { echo "$output" >&2; return 1; }
	verify
}

@test "rings: unread completions, requests not submitted, numbers far along" { keeps rings; }
@test "rings of many pages" { keeps large; }
@test "a ring without an array" { keeps noarray; }
@test "registered buffers, epoll on a ring" { keeps buffers; }
@test "a ring that tasks share, one by its memory only" { keeps shared; }
@test "a ring named by an index" { keeps indexed; }
@test "one of two rings named by an index is refused" { refused which "does not show which"; }
@test "requests that wait for a descriptor are refused" { refused poll "1 requests in flight that wait for descriptors"; }
@test "a timeout is refused" { refused timeout "with 1 requests in flight"; }
@test "a request that a worker thread waits for is refused" { refused worker "with 1 requests in flight"; }
@test "a registered eventfd is refused" { refused eventfd "has a registered eventfd"; }
@test "entries of double size are refused" { refused wide "entries of double size"; }
