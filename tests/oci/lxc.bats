#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Containers of Debian's lxc: checkpointed and restored by lxc-checkpoint, with us as its criu.
bats_require_minimum_version 1.5.0
load ../kit/lxc

setup() { setup_lxc; }
teardown() { teardown_lxc; }

booted() { has_proc "$1" getty && has_proc "$1" counter && counts_beyond "$1" 3; }
begin() { # begin NAME: a stock container that has come up
	stock "$1"
	start "$1"
	until_true booted "$1"
}

@test "stock busybox: gone after lxc-checkpoint -s, goes on after -r" {
	begin "$N"
	mounts "$N" >"$DIR/before"
	checkpoint "$N" "$DIR/img" -s
	is "$N" STOPPED
	n=$(count "$N")
	resume "$N" "$DIR/img"
	is "$N" RUNNING
	again "$N"
	[ "$(count "$N")" -lt "$((n + 2000))" ] # it did not begin anew
	mounts "$N" >"$DIR/after"
	diff "$DIR/before" "$DIR/after"
	[ "$(inside "$N" hostname)" = "$N" ]
	has_proc "$N" getty
}

@test "without -s it goes on; the checkpoint can be restored when it is gone, with -r -d" {
	begin "$N"
	checkpoint "$N" "$DIR/img"
	is "$N" RUNNING
	again "$N"
	lxc stop "$N" -k
	is "$N" STOPPED
	echo 0 >"$P/$N/rootfs/count"
	resume "$N" "$DIR/img" -d
	again "$N"
	is "$N" RUNNING
}
