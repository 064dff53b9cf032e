#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: ns/mnt
# A file system on a device of its own: an image of ext4 on a loop device, mounted in the tasks' namespace alone.
bats_require_minimum_version 1.5.0
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	mkdir "$IMG/img" "$IMG/at"
	PID=
	truncate -s 8M "$IMG/disk"
	mkfs.ext4 -q "$IMG/disk"
	LOOP=$(losetup -f --show "$IMG/disk") || { LOOP=; skip "this kernel has no loop devices"; }
}
teardown() {
	[ -z "$PID" ] || kill -9 "$PID" 2>/dev/null || true
	[ -z "$PID" ] || until_true gone "$PID"
	[ -z "$LOOP" ] || losetup -d "$LOOP"
	rm -rf --one-file-system "$IMG"
}

# a task with its mount, in which it has a file open and its directory
begin() {
	unshare -m "$BUILD/tests/kit/reap" sh -c "mount -o noatime $LOOP '$IMG/at' && cd '$IMG/at' && mkdir d && cd d &&
		exec 5>log && echo begun >&5 && touch '$IMG/ready' && exec sleep 1000" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/ready"
}
own_mount() { grep " $IMG/at " "/proc/$PID/mountinfo" | cut -d' ' -f3-; }

@test "it is refused, with what would do; with --enable-fs it is mounted anew from its device" {
	begin
	before=$(own_mount)
	run dump -j --root / --external 'mnt[]'
	[ "$status" -ne 0 ]
	[[ $output = *"--enable-fs TYPE"* ]] || { echo "$output" >&2; return 1; }
	[ -z "$(ls "$IMG/img")" ]
	for g in 1 2; do
		dump -j --root / --external 'mnt[]' --enable-fs ext4
		until_true gone "$PID"
		restore -j --root / --external 'mnt[]' --enable-fs ext4
		[ "$(own_mount)" = "$before" ]
	done
	child=$(cat "/proc/$PID/task/$PID/children")
	[ "$(cat "/proc/${child% }/cwd/log")" = begun ]
	[ "$(readlink "/proc/${child% }/fd/5")" = "$IMG/at/d/log" ]
}
