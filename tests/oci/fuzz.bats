#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Hostile archives at random: wire/fuzz.py. By hand: FUZZ_SEED=N FUZZ_SECONDS=600 bats tests/oci/fuzz.bats
load ../kit/runc
load ../kit/fuzz

setup() {
	setup_runc
	setup_fuzz
}
teardown() {
	teardown_fuzz
	teardown_runc
}

@test "broken archives: show, check and restore end with a sentence; nothing is written outside or left behind" {
	bundle b '.mounts |= map(select(.type != "cgroup")) | .process.args = ["/bin/sh", "-c", "while :; do busybox sleep 0.1; done"]'
	start b "$ID"
	STASIS_RUNTIME_ROOT=$STATE "$BUILD/stasis" checkpoint "$ID" --export "$DIR/good.tar"
	r delete -f "$ID"
	mkdir "$DIR/all"
	mv "$DIR/b" "$DIR/good.tar" "$DIR/all"
	fuzz archives "$DIR/all"
}
