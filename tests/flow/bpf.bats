#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/bpf fd/bpfprog cgroup-bpf
# BPF maps and programs, judged by the program that has them.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

# maps: root of the host
@test "hash, array, LRU and LPM maps with entries; frozen, shared, read-only descriptors" {
	AROUND="plain spaces" keeps bpf all
}

@test "entries that are cut short are refused" {
	start_kind bpf all
	dump
	until_true gone "$PID"
	truncate -s -20 "$IMG/img/bpfmap-data.img"
	run restore
	[ "$status" -ne 0 ]
	[[ "$output" == *"cut short"* ]] || { echo "$output" >&2; return 1; }
}

@test "programs: fields of packets, calls on maps and others, devices; with their maps and who shares them" {
	AROUND="plain spaces" keeps bpf programs
}

@test "programs that are cut short are refused" {
	start_kind bpf programs
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
	ln -s "$cg/a" "$D/cg"
	start_kind bpf attached
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

@test "a program of another type: refused" { start_kind bpf other; refused "BPF program some_xdp, which is of a type"; }
@test "a map that is mapped: refused" { start_kind bpf mapped; refused "BPF map mapped"; }
