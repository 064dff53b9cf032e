#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/tun fd/reg fd/memfd psi ghost-attr covered
# Odd files, judged by the program that has them.
bats_require_minimum_version 1.5.0
load ../kit/kind

setup() { setup_kind; }
teardown() {
	end_kind
	[ -z "${LOOP:-}" ] || losetup -d "$LOOP"
	teardown_kind
}

@test "POSIX semaphores and shared memory, named and not" { keeps odd shm; }
@test "several names of one file, all removed" { keeps odd links; }
@test "a deleted file far larger than what is in it" { keeps odd sparse; }
@test "files below a deleted directory, which is a working directory" { keeps odd below; }
@test "extended attributes, ACLs and nanoseconds of files and directories without a name" { keeps odd attrs; }
@test "secret memory (memfd_secret)" { keeps odd secret; }
@test "a memfd sealed against writing, but for who has it mapped (F_SEAL_FUTURE_WRITE)" { keeps odd future; }
@test "a program that was executed from a memfd" { keeps odd executed; }
@test "files below what is mounted, and under it" { AROUND="spaces user" keeps odd covered; } # it mounts
@test "triggers of pressure stalls" { keeps odd psi; }
@test "files in /proc of tasks that live" { keeps odd proc; }
@test "files in /proc of a task that has ended" { keeps odd dead; }
@test "a root in /proc of a task that has ended, as of a sandbox" { keeps odd rooted; }
@test "the same in a user namespace that has no root" { keeps odd boxed; }
@test "block devices" {
	truncate -s 1M "$IMG/disk"
	LOOP=$(losetup -f --show "$IMG/disk") || skip "no loop devices"
	AROUND=plain keeps odd block "$LOOP"
}
@test "/dev/net/tun without a device" { keeps odd tun; }
@test "tun and tap devices; one lives on only if it did" {
	WITH=(unshare -n)
	start_kind odd tun-attached
	shape() { sed 's/valid_lft.*//; s/state [A-Z]*//; s/ stable-privacy//' "$1"; }
	in_net() { nsenter -t "$PID" -n "$@"; }
	in_net ip addr add 10.77.0.1/24 dev odd-tun0
	in_net ip link set odd-tun0 up mtu 1300
	in_net ip addr show > "$IMG/before"
	dump -R
	for _ in 1 2; do
		cycle
		in_net ip addr show > "$IMG/after"
		diff <(shape "$IMG/before") <(shape "$IMG/after")
		[ -z "$(in_net ip -d link show odd-tun0 | grep 'persist on')" ]
	done
	verify
}
@test "a tun device of the host's network namespace: refused" {
	start_kind odd tun-attached
	refused "the host's network namespace"
}
@test "signals of changes in a directory: their loss is reported" {
	start_kind odd dnotify
	run --separate-stderr dump -R
	[ "$status" -eq 0 ] && [[ $stderr == *F_NOTIFY* ]]
}
