#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Kernel objects of programs in a container of runc: own namespaces, own mounts of mqueue, tmpfs and proc. Each
# program judges itself, after two generations.
load ../kit/runc

setup() { setup_runc; }
teardown() { teardown_runc; }

keeps() { # keeps PROGRAM CASE
	[ -n "$(command -v runc)" ] || skip "no runc"
	bundle b '.process.args = ["/bin/'"$1"'", "'"$2"'", "/data"] |
		.process.capabilities |= with_entries(.value += ["CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE"])'
	cp "$BUILD/tests/kit/$1" "$DIR/b/rootfs/bin/"
	start b "$ID"
	until_true test -e "$DIR/b/rootfs/data/ready"
	for g in 1 2; do
		checkpoint "$ID" "$DIR/img$g"
		resume b "$ID" "$DIR/img$g"
	done
	r kill "$ID" TERM
	until_true test -s "$DIR/b/rootfs/data/verdict"
	[ "$(cat "$DIR/b/rootfs/data/verdict")" = OK ] || { cat "$DIR/b/rootfs/data/verdict" >&2; false; }
}

@test "POSIX message queues" { keeps mqueue all; }
@test "POSIX semaphores and shared memory" { keeps odd shm; }
@test "files in /proc" { keeps odd proc; }
@test "files in /proc of a task that has ended" { keeps odd dead; }
@test "files below deleted directories" { keeps odd below; }
