#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/bpf
# What the kernel gives no way to save is refused by preflight: which object, why, and what to do.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img"; PID=; }
teardown() { [ -z "$PID" ] || kill -9 "$PID" 2>/dev/null || true; rm -rf "$IMG"; }

refused() { # refused WHAT TEXT
	"$BUILD/tests/kit/hopeless" "$1" "$IMG/ready" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true eval 'test -e "$IMG/ready" || ! kill -0 "$PID" 2>/dev/null'
	[ -e "$IMG/ready" ] || { PID=; skip "this kernel has none"; }
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *"$2"* ]] || { echo "$output" >&2; return 1; }
	[ -z "$(ls "$IMG/img")" ] # nothing was stopped, nothing written
	kill -0 "$PID"
}

@test "io_uring" { refused io_uring "run the program without io_uring"; }
@test "an AIO context" { refused aio "has an AIO context"; }
@test "memfd_secret" { refused secret "secret memory"; }
@test "userfaultfd" { refused userfaultfd "is a userfaultfd"; }
@test "a perf event" { refused perf "end the measurement first"; }
@test "a BPF map" { refused bpf-map "bpf-map"; }
@test "MAP_HUGETLB" { refused huge "MAP_HUGETLB"; }
