#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/nsfile
# Namespaces that no task is in, held by a descriptor or a mount; mounts of what was deleted.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

@test "ipc: messages of both sorts" { keeps heldns ipc; }
@test "uts: a name" { keeps heldns uts; }
@test "time: clocks that are ahead" { keeps heldns time; }
@test "mnt: a file system of its own, mounted twice" { AROUND="spaces user" keeps heldns mnt; }
@test "user: in each other, without maps, owners of others" { keeps heldns users; }
@test "mounts that show them" { AROUND="spaces user" keeps heldns shown; }
@test "mounts of a deleted file and directory, open and somebody's directory" { AROUND="spaces user" keeps heldns deleted; }
@test "detached mounts: of a directory, with others on it, of a new file system" { AROUND="spaces user" keeps heldns detached; }
@test "pid and cgroup namespaces, and mnt namespaces of tasks in the host's, are refused" {
	for which in pid cgroup mnt; do
		clean_kind
		start_kind heldns $which
		refused "$which namespace ["
	done
}
