#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: cgroup-dump cgroup-xattr
# Limits that are reached already, device rules, tasks in different cgroups below one top, threaded domains.
bats_require_minimum_version 1.5.0
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	mkdir "$IMG/img"
	G=stasis-cgs-$$-$RANDOM
	DIRS=
	PIDS=
}
teardown() {
	local d
	kill -9 $PIDS 2>/dev/null || true
	for d in $PIDS; do until_true gone "$d"; done
	clear_dirs
	rm -rf "$IMG"
}
clear_dirs() { local d; for d in $(printf '%s\n' $DIRS | sort -r); do rmdir "$d" 2>/dev/null || true; done; }

hierarchy() { # hierarchy CONTROLLER: where it is mounted, of version 1
	awk -v c="$1" '$(NF-2) == "cgroup" && $NF ~ "(^|,)"c"(,|$)" { print $5; exit }' /proc/self/mountinfo
}
need() { # need CONTROLLER...: directories of ours in TOP_CONTROLLER
	local c top
	for c in "$@"; do
		top=$(hierarchy "$c")
		[ -n "$top" ] || skip "this kernel has no $c cgroups of version 1 mounted"
		mkdir -p "$top/$G/a" "$top/$G/b"
		DIRS="$DIRS $top/$G $top/$G/a $top/$G/b"
		printf -v "TOP_$c" %s "$top/$G"
	done
}
# a shell with a child in the other directory; both wait
family() {
	sh -c "$1"'; sleep 1000 & echo $! >"$0/child"; wait' "$IMG" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -s "$IMG/child"
	CHILD=$(cat "$IMG/child")
	PIDS="$PID $CHILD"
}
again() { # dump, and restore where no directory is left
	dump -j
	until_true gone "$PID"
	until_true gone "$CHILD"
	clear_dirs
	restore -j "$@"
}

@test "tasks in two cgroups, pids and memory at their limits" {
	need pids memory
	family :
	echo "$PID" >"$TOP_pids/a/cgroup.procs"
	echo "$CHILD" >"$TOP_pids/b/cgroup.procs"
	echo 1 >"$TOP_pids/a/pids.max"
	echo 1 >"$TOP_pids/b/pids.max"
	echo "$PID" >"$TOP_memory/a/cgroup.procs"
	echo 8192 >"$TOP_memory/a/memory.soft_limit_in_bytes"
	echo 4194304 >"$TOP_memory/a/memory.limit_in_bytes"
	again
	[ "$(cat "$TOP_pids/a/pids.max" "$TOP_pids/b/pids.max" | tr '\n' ' ')" = "1 1 " ]
	[ "$(cat "$TOP_memory/a/memory.limit_in_bytes")" = 4194304 ]
	[ "$(cat "$TOP_pids/a/cgroup.procs")" = "$PID" ]
	[ "$(cat "$TOP_pids/b/cgroup.procs")" = "$CHILD" ]
}

@test "limits of single devices, bursts, idleness, attributes of directories" {
	local disk attr='import os, sys; os.setxattr(sys.argv[1], sys.argv[2], b"a\0b")'
	need blkio cpu
	disk=$(cat /sys/block/*/dev | head -n 1)
	[ -n "$disk" ] || skip "this kernel has no block device"
	family :
	echo "$PID" >"$TOP_blkio/a/cgroup.procs"
	echo "$CHILD" >"$TOP_cpu/b/cgroup.procs"
	echo "$disk 1048576" >"$TOP_blkio/a/blkio.throttle.read_bps_device"
	echo "$disk 700" >"$TOP_blkio/a/blkio.throttle.write_iops_device"
	[ ! -e "$TOP_cpu/b/cpu.cfs_burst_us" ] || {
		echo 50000 >"$TOP_cpu/b/cpu.cfs_quota_us"
		echo 12000 >"$TOP_cpu/b/cpu.cfs_burst_us"
	}
	[ ! -e "$TOP_cpu/b/cpu.idle" ] || echo 1 >"$TOP_cpu/b/cpu.idle"
	python3 -c "$attr" "$TOP_cpu/b" trusted.unit
	values() {
		( cd "$TOP_blkio/a" && grep . blkio.throttle.*_device )
		( cd "$TOP_cpu/b" && grep . cpu.cfs_* cpu.idle cpu.shares ) || true
		python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "trusted.unit"))' "$TOP_cpu/b"
	}
	values >"$IMG/before"
	grep -q "$disk 700" "$IMG/before"
	again
	values | diff "$IMG/before" -
}

@test "device rules of version 1: what was denied is" {
	need devices
	family :
	for d in a b; do
		echo a >"$TOP_devices/$d/devices.deny"
		echo 'c 1:3 rwm' >"$TOP_devices/$d/devices.allow"
		echo 'b 7:0 r' >"$TOP_devices/$d/devices.allow"
	done
	echo 'c 5:* rw' >"$TOP_devices/a/devices.allow"
	echo "$PID" >"$TOP_devices/a/cgroup.procs"
	echo "$CHILD" >"$TOP_devices/b/cgroup.procs"
	sort "$TOP_devices/a/devices.list" "$TOP_devices/b/devices.list" >"$IMG/before"
	again
	sort "$TOP_devices/a/devices.list" "$TOP_devices/b/devices.list" | diff - "$IMG/before"
}

@test "threads of one process in different cgroups of a threaded domain" {
	local v2
	v2=$(awk '$(NF-2) == "cgroup2" { print $5; exit }' /proc/self/mountinfo)
	[ -n "$v2" ] || skip "this kernel has no cgroups of version 2 mounted"
	mkdir "$v2/$G" "$v2/$G/a" "$v2/$G/b"
	DIRS="$v2/$G $v2/$G/a $v2/$G/b"
	python3 -c '
import threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
time.sleep(1000)' </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	CHILD=$PID
	PIDS=$PID
	two_threads() { [ "$(ls "/proc/$PID/task" | wc -l)" = 2 ]; }
	until_true two_threads
	echo "$PID" >"$v2/$G/cgroup.procs"
	echo threaded >"$v2/$G/a/cgroup.type"
	echo threaded >"$v2/$G/b/cgroup.type"
	TID=$(ls "/proc/$PID/task" | grep -vx "$PID")
	echo "$PID" >"$v2/$G/a/cgroup.threads"
	echo "$TID" >"$v2/$G/b/cgroup.threads"
	cat "/proc/$PID/task/$PID/cgroup" "/proc/$PID/task/$TID/cgroup" >"$IMG/before"
	again
	cat "/proc/$PID/task/$PID/cgroup" "/proc/$PID/task/$TID/cgroup" | diff - "$IMG/before"
	[ "$(cat "$v2/$G/a/cgroup.type" "$v2/$G/b/cgroup.type" | sort -u)" = threaded ]
	[ "$(cat "$v2/$G/cgroup.type")" = "domain threaded" ]
}

@test "a child that is where the dumper is, while its parent is not" {
	need pids
	family :
	echo "$PID" >"$TOP_pids/a/cgroup.procs"
	home=$(cat "/proc/$CHILD/cgroup")
	again
	[ "$(cat "/proc/$CHILD/cgroup")" = "$home" ]
	[ "$(cat "$TOP_pids/a/cgroup.procs")" = "$PID" ]
}

@test "modes: none and props want the directories there, strict wants none, full and props set limits again" {
	need pids
	family :
	echo "$PID" >"$TOP_pids/a/cgroup.procs"
	echo "$CHILD" >"$TOP_pids/a/cgroup.procs"
	echo 50 >"$TOP_pids/a/pids.max"
	dump -j
	until_true gone "$PID"
	until_true gone "$CHILD"
	clear_dirs
	for mode in none props; do
		run restore -j --manage-cgroups=$mode
		[ "$status" -ne 0 ]
		[[ $output = *"is missing; make it"* ]]
	done
	[ ! -e "$TOP_pids" ]
	mkdir -p "$TOP_pids/a"
	run restore -j --manage-cgroups=strict
	[ "$status" -ne 0 ]
	[[ $output = *"exists already"* ]]
	for mode in none:max soft:max props:50 full:50; do
		echo max >"$TOP_pids/a/pids.max"
		restore -j --manage-cgroups=${mode%:*}
		[ "$(cat "$TOP_pids/a/pids.max")" = "${mode#*:}" ]
		grep -qx "$PID" "$TOP_pids/a/cgroup.procs"
		kill -9 "$PID" "$CHILD"
		until_true gone "$PID"
		until_true gone "$CHILD"
	done
	clear_dirs
	restore -j --cgroup-root "pids:/$G/moved"
	DIRS="$DIRS $TOP_pids/moved"
	grep -qx "$PID" "$TOP_pids/moved/cgroup.procs"
	[ "$(cat "$TOP_pids/moved/pids.max")" = 50 ]
}

@test "version 2: a limit whose directories are all gone; what the host does not give is reported" {
	local v2 max=hugetlb.2MB.max
	v2=$(awk '$(NF-2) == "cgroup2" { print $5; exit }' /proc/self/mountinfo)
	grep -qw hugetlb "${v2:-/none}/cgroup.subtree_control" || skip "this kernel has no limits of version 2 to give"
	mkdir "$v2/$G" "$v2/$G/a" "$v2/$G/a/b"
	DIRS="$v2/$G $v2/$G/a $v2/$G/a/b"
	echo +hugetlb >"$v2/$G/cgroup.subtree_control"
	echo +hugetlb >"$v2/$G/a/cgroup.subtree_control"
	family :
	echo "$PID" >"$v2/$G/a/b/cgroup.procs"
	echo "$CHILD" >"$v2/$G/a/b/cgroup.procs"
	echo 4194304 >"$v2/$G/a/b/$max"
	again
	[ "$(cat "$v2/$G/a/b/$max")" = 4194304 ]
	kill -9 "$PID" "$CHILD"
	until_true gone "$PID"
	until_true gone "$CHILD"
	clear_dirs
	mkdir "$v2/$G" "$v2/$G/a"
	run restore -j
	[ "$status" -eq 0 ]
	[ ! -e "$v2/$G/a/b/$max" ]
	[[ $output = *"$max is not set to 4194304"* ]]
}

@test "frozen in a directory of their own: refused, and left as they are" {
	local f=$(hierarchy freezer) v2
	v2=$(awk '$(NF-2) == "cgroup2" { print $5; exit }' /proc/self/mountinfo)
	[ -n "$f$v2" ] || skip "this kernel has no freezer"
	family :
	for f in ${f:+"$f freezer.state FROZEN THAWED"} ${v2:+"$v2 cgroup.freeze 1 0"}; do
		set -- $f
		mkdir "$1/$G" "$1/$G/a"
		DIRS="$DIRS $1/$G $1/$G/a"
		echo "$CHILD" >"$1/$G/a/cgroup.procs"
		state_is() { [ "$(cat "$2")" = "$1" ]; }
		echo "$3" >"$1/$G/a/$2"
		until_true state_is "$3" "$1/$G/a/$2"
		run dump -j
		[ "$status" -ne 0 ] || { echo "$4" >"$1/$G/a/$2"; false; }
		[[ $output = *"is frozen, with its cgroup /$G/a"* ]] || { echo "$4" >"$1/$G/a/$2"; false; }
		state_is "$3" "$1/$G/a/$2"
		echo "$4" >"$1/$G/a/$2"
	done
	until_true state_is "$4" "$1/$G/a/$2"
	again
	grep -qx "$CHILD" "$1/$G/a/cgroup.procs"
}

@test "a restore that is killed leaves none of many directories" {
	need pids
	family :
	echo "$PID" >"$TOP_pids/a/cgroup.procs"
	echo "$CHILD" >"$TOP_pids/b/cgroup.procs"
	mkdir "$TOP_pids/a/"{1..400}
	DIRS="$DIRS $(echo "$TOP_pids/a/"{1..400})"
	dump -j
	until_true gone "$PID"
	until_true gone "$CHILD"
	clear_dirs
	# shellcheck disable=SC2016 # the script's
	printf '#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" != post-restore ] || { ls %s/a | wc -l >%s/seen; kill -9 $PPID; }\n' \
		"$TOP_pids" "$IMG" >"$IMG/script"
	chmod +x "$IMG/script"
	run restore -j --action-script "$IMG/script"
	[ "$status" -eq 137 ]
	[ "$(cat "$IMG/seen")" -ge 400 ]
	until_true test ! -e "$TOP_pids"
	gone "$PID"
}
