#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: mem/anon mem/shared
# Memory of hugetlbfs pages, judged by the program that uses it.
load ../kit/kind

setup() {
	setup_kind
	HUGE=$(cat /proc/sys/vm/nr_hugepages)
	echo $((HUGE + 40)) > /proc/sys/vm/nr_hugepages
	[ "$(cat /proc/sys/vm/nr_hugepages)" -ge $((HUGE + 40)) ] || skip "no 40 huge pages here"
	WITH=(unshare -i)
	FREE=0
}
teardown() {
	end_kind
	echo "$HUGE" > /proc/sys/vm/nr_hugepages
	teardown_kind
}

pages_free() { awk '/^HugePages_Free/ { print $2 }' /proc/meminfo; }
looked() { FREE=$(pages_free); }
restored() { [ "$(pages_free)" -ge "$FREE" ]; } # what was shared by copy-on-write still is

@test "MAP_HUGETLB private, forked, shared, in part; memfd; SHM_HUGETLB" { AROUND="plain spaces" keeps huge all; } # SHM_HUGETLB: root of the host

@test "too few huge pages: the restore says so and leaves nothing" {
	start_kind huge all
	dump
	until_true gone "$PID"
	echo 0 > /proc/sys/vm/nr_hugepages # those of others too, as far as they are free
	run restore
	[ "$status" -ne 0 ]
	[[ "$output" == *"vm.nr_hugepages"* ]] || { echo "$output" >&2; return 1; }
	gone "$PID"
	PID=
}
