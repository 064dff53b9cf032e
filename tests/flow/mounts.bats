#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Mounts. The first is a property test; MOUNTS_SECONDS=600 bats ... tries more trees, a failure prints its seed:
# tests/kit/mounts.py BUILD DIR SEED repeats it.
load ../kit/helper

setup() { IMG=$(mktemp -d); }
teardown() { rm -rf --one-file-system "$IMG"; }

@test "random mount trees: propagation, namespaces, overmounts, hidden and partial file systems" {
	SECONDS_MAX=${MOUNTS_SECONDS:-20} python3 "$BATS_TEST_DIRNAME/../kit/mounts.py" "$BUILD" "$IMG"
}
