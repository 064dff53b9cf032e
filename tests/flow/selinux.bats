#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: lsm
# Contexts of SELinux, where the kernel has it and nobody has loaded a policy yet: contrib/on-kernel brings such a kernel.
load ../kit/kind

setup() {
	[ -e /sys/fs/selinux/load ] || skip "this kernel has $(cat /sys/kernel/security/lsm 2>/dev/null || echo no SELinux)"
	setup_kind
	if [ "$(tr -d '\0' < /proc/self/attr/current)" = kernel ]; then
		checkpolicy -U allow -c 30 -o "$IMG/policy" "$BATS_TEST_DIRNAME/../kit/selinux.conf" >/dev/null
		cat "$IMG/policy" > /sys/fs/selinux/load
	fi
	grep -q base_t /proc/self/attr/current || skip "this kernel has a policy of others"
}
teardown() {
	echo 0 > /sys/fs/selinux/enforce 2>/dev/null || true
	[ -z "${IMG:-}" ] || teardown_kind
}

@test "of a process, its sockets and files; of what it will make" { keeps labels process; }
@test "of threads, one of them bounded" { keeps labels threads; }
@test "enforced: of threads whose process may not choose their numbers" {
	echo 1 > /sys/fs/selinux/enforce
	keeps labels threads
}
