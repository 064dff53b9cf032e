#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/bpf
# BPF maps, judged by the program that has them.
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

@test "a map that a program uses: refused" { start_kind bpf used; refused "uses"; }
@test "a map that is mapped: refused" { start_kind bpf mapped; refused "BPF map mapped"; }
