#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/tun fd/reg
# Odd files, judged by the program that has them.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; PID=; LOOP=; }
teardown() {
	local pid
	for pid in $(cat "/proc/$PID/task/$PID/children" 2>/dev/null) $PID; do
		kill -9 "$pid" 2>/dev/null || true
	done
	[ -z "$LOOP" ] || { until_true gone "$PID"; losetup -d "$LOOP"; }
	rm -rf "$IMG"
}

start() { # start CASE [ARG]
	${NET:-} "$BUILD/tests/kit/odd" "$1" "$IMG/d" "${@:2}" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true eval 'test -e "$IMG/d/ready" || ! kill -0 "$PID" 2>/dev/null'
	[ -e "$IMG/d/ready" ] || { PID=; skip "there is none here"; }
}
keeps() { # keeps CASE [ARG]: a look, then two generations
	start "$@"
	dump -R
	dump
	until_true gone "$PID"
	restore
	dump
	until_true gone "$PID"
	restore
	verify
}
refused() { # refused TEXT CASE: before anything is stopped
	start "${@:2}"
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *"$1"* ]] || { echo "$output" >&2; return 1; }
	[ -z "$(ls "$IMG/img")" ]
}

@test "POSIX semaphores and shared memory, named and not" { keeps shm; }
@test "several names of one file, all removed" { keeps links; }
@test "a deleted file far larger than what is in it" { keeps sparse; }
@test "files below a deleted directory, which is a working directory" { keeps below; }
@test "files in /proc of tasks that live" { keeps proc; }
@test "files in /proc of a task that has ended" { keeps dead; }
@test "block devices" {
	truncate -s 1M "$IMG/disk"
	LOOP=$(losetup -f --show "$IMG/disk") || skip "no loop devices"
	keeps block "$LOOP"
}
@test "/dev/net/tun without a device" { keeps tun; }
@test "tun and tap devices; one lives on only if it did" {
	NET="unshare -n"
	start tun-attached
	shape() { sed 's/valid_lft.*//; s/state [A-Z]*//; s/ stable-privacy//' "$1"; }
	in_net() { nsenter -t "$PID" -n "$@"; }
	in_net ip addr add 10.77.0.1/24 dev odd-tun0
	in_net ip link set odd-tun0 up mtu 1300
	in_net ip addr show > "$IMG/before"
	dump -R
	for _ in 1 2; do
		dump
		until_true gone "$PID"
		restore
		in_net ip addr show > "$IMG/after"
		diff <(shape "$IMG/before") <(shape "$IMG/after")
		[ -z "$(in_net ip -d link show odd-tun0 | grep 'persist on')" ]
	done
	verify
}
@test "a tun device of the host's network namespace: refused" { refused "the host's network namespace" tun-attached; }
@test "a listener of seccomp notifications: refused" { refused "seccomp notification" listener; }
