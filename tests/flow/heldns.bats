#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/nsfile ns/cgroup cgroup-tops
# Namespaces that no task is in, held by a descriptor or a mount; mounts of what was deleted.
load ../kit/kind

setup() { setup_kind; }
teardown() {
	teardown_kind
	[ -z "${CG:-}" ] || find "$CG" -depth -type d -exec rmdir {} + 2>/dev/null || true
}

@test "ipc: messages of both sorts" { keeps heldns ipc; }
@test "uts: a name" { keeps heldns uts; }
@test "time: clocks that are ahead" { keeps heldns time; }
@test "mnt: a file system of its own, mounted twice" { AROUND="spaces user" keeps heldns mnt; }
@test "user: in each other, without maps, owners of others" { keeps heldns users; }
@test "cgroup: whose it is" { keeps heldns cgroup; }
# where the directories are gone; with a task that stands outside of it, too
begins() { # begins CASE
	CG=/sys/fs/cgroup/pids/stasis-heldns-$$
	mkdir -p "$CG/a/b" 2>/dev/null || skip "this kernel has no pids cgroups of version 1 mounted"
	printf %s "$CG" >"$IMG/d/cgroup"
	start_kind heldns "$1"
	dump
	until_true gone "$PID"
	rmdir "$CG/a/b" "$CG/a"
	restore --pidfile "$IMG/pid"
	PID=$(cat "$IMG/pid")
	verify
	end_kind
}
@test "cgroup: where it begins" { begins cgroup; }
@test "cgroup: where that of a task that stands outside begins" { begins outside; }
@test "a cgroup namespace that begins in a directory that was removed is refused" {
	CG=/sys/fs/cgroup/pids/stasis-heldns-$$
	mkdir -p "$CG/a/b" 2>/dev/null || skip "this kernel has no pids cgroups of version 1 mounted"
	printf %s "$CG" >"$IMG/d/cgroup"
	start_kind heldns cgroup
	rmdir "$CG/a/b" "$CG/a"
	not_dumped "find where it begins"
	rm "$IMG/d/cgroup"
	verify
}
@test "mounts that show them" { AROUND="spaces user" keeps heldns shown; }
@test "mounts of a deleted file and directory, open and somebody's directory" { AROUND="spaces user" keeps heldns deleted; }
@test "detached mounts: of a directory, with others on it, of a new file system" { AROUND="spaces user" keeps heldns detached; }
@test "pid: one whose first task has ended" { keeps heldns pid; }
@test "mnt namespaces of tasks in the host's are refused" {
	start_kind heldns mnt
	refused "mnt namespace ["
}
@test "pid namespaces of tasks outside of the tree are refused" {
	local other
	mkfifo "$IMG/wait"
	unshare -pf --kill-child sh -c 'read -r x' <"$IMG/wait" 3>&- &
	other=$!
	exec 4>"$IMG/wait"
	until_true test -e "/proc/$other/ns/pid_for_children"
	ln -s "/proc/$other/ns/pid_for_children" "$IMG/d/other"
	start_kind heldns open
	refused "pid namespace ["
	exec 4>&-
	wait "$other" || true
}
