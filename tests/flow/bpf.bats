#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/bpf
# Shows: fd/bpfprog cgroup-bpf
# BPF maps, judged by the program that has them.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; PID=; }
teardown() { [ -z "$PID" ] || kill -9 "$PID" 2>/dev/null || true; rm -rf "$IMG"; }

start() { # start CASE
	"$BUILD/tests/kit/bpf" "$1" "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true eval 'test -e "$IMG/d/ready" || ! kill -0 "$PID" 2>/dev/null'
	[ -e "$IMG/d/ready" ] || { PID=; skip "this kernel has none"; }
}
twice() { # two generations, after a look
	dump -R
	for g in 1 2; do
		dump
		until_true gone "$PID"
		restore
	done
	verify
}
refused() { # refused TEXT: and nothing was stopped
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *"$1"* ]] || { echo "$output" >&2; return 1; }
	[ -z "$(ls "$IMG/img")" ]
	verify
}

@test "hash, array, LRU and LPM maps with entries; frozen, shared, read-only descriptors" {
	start all
	twice
}

@test "entries that are cut short are refused" {
	start all
	dump
	until_true gone "$PID"
	truncate -s -20 "$IMG/img/bpfmap-data.img"
	run restore
	[ "$status" -ne 0 ]
	[[ "$output" == *"cut short"* ]] || { echo "$output" >&2; return 1; }
}

@test "programs: fields of packets, calls on maps and others, devices; with their maps and who shares them" {
	start programs
	twice
}

@test "programs that are cut short are refused" {
	start programs
	dump
	until_true gone "$PID"
	truncate -s -20 "$IMG/img/bpf-progs.img"
	run restore
	[ "$status" -ne 0 ]
	[[ "$output" == *bpf-progs.img* ]] || { echo "$output" >&2; return 1; }
}

@test "programs of a cgroup are attached to it again, where it is made anew" {
	local v2 cg
	v2=$(awk '$(NF-2) == "cgroup2" { print $5; exit }' /proc/self/mountinfo)
	cg=$v2/stasis-bpf-$$
	mkdir -p "$cg/a"
	ln -s "$cg/a" "$IMG/d/cg"
	start attached
	echo "$PID" >"$cg/a/cgroup.procs"
	for g in 1 2; do
		dump
		until_true gone "$PID"
		rmdir "$cg/a" "$cg"
		restore
	done
	verify
	until_true gone "$PID"
	rmdir "$cg/a" "$cg"
}

@test "a program of another type: refused" { start other; refused "BPF program some_xdp, which is of a type"; }
@test "a map that is mapped: refused" { start mapped; refused "BPF map mapped"; }
