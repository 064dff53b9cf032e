#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/sleep task/sigpending task/itimer task/regs
# Tasks that are stopped at the worst moments: restartable sequences, sleeps, polls, queued signals, timers.
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	W=$IMG/snags
	mkdir "$IMG/img"
	"$BUILD/tests/kit/snags" "$W" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$W.ready"
}
teardown() { teardown_work; }

@test "a hundred dumps that let it run on" {
	for i in $(seq 100); do
		dump -R
	done
	verify
}

@test "five generations" {
	for i in 1 2 3 4 5; do
		was=$(beat)
		until_true beats_on "$((was + 5))"
		dump
		until_true gone "$PID"
		restore
	done
	verify
}
