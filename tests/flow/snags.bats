#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/sleep task/sigpending task/itimer task/regs
# Tasks that are stopped at the worst moments: restartable sequences, sleeps, polls, queued signals, timers.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

@test "a hundred dumps that let it run on" {
	start_kind snags all
	for i in $(seq 100); do
		dump -R
	done
	verify
}

@test "five generations" {
	start_kind snags all
	for i in 1 2 3 4 5; do
		was=$(beat)
		until_true beats_on "$((was + 5))"
		cycle
	done
	verify
}

@test "two generations, in namespaces too" { AROUND="spaces user" keeps snags all; }
