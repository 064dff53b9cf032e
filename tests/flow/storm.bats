#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A tree whose threads, mappings, descriptors and children change as fast as they can, while it is dumped.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

storm() { # storm SURROUNDING
	SURROUNDING=$1
	clean_kind
	start_kind storm all
	for _ in $(seq 15); do
		dump -R
	done
	for _ in 1 2 3; do
		cycle
	done
	verify
}

@test "dumped fifteen times as it runs on, then three generations" { storm plain; }
@test "in namespaces of its own" { storm spaces; }
