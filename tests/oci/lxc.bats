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

@test "five generations, with a TCP connection from the host through the veth" {
	begin "$N"
	until_true has_lease
	exec 4<>"/dev/tcp/$(lease)/7"
	for g in 1 2 3 4 5; do
		echo "before $g" >&4
		read -rt 5 line <&4
		[ "$line" = "before $g" ]
		echo "under way $g" >&4
		checkpoint "$N" "$DIR/img$g" -s
		resume "$N" "$DIR/img$g"
		again "$N"
		read -rt 20 line <&4
		[ "$line" = "under way $g" ]
	done
	exec 4>&-
	[ "$(pgrep -cx stasis-ttys)" = 1 ] # the holder of one generation ends with it
	lxc stop "$N" -k
	until_true no_holder
}

lease() { awk '{ print $3 }' "$DIR/leases"; }
has_lease() { [ -s "$DIR/leases" ] && has_proc "$N" "nc -l"; }
no_holder() { ! pgrep -x stasis-ttys >/dev/null; }

@test "a container without a network" {
	stock "$N"
	sed -i 's/^lxc.net.*//' "$P/$N/config"
	echo 'lxc.net.0.type = empty' >>"$P/$N/config"
	sed -i '/udhcpc/d' "$P/$N/rootfs/etc/init.d/rcS"
	start "$N"
	until_true booted "$N"
	checkpoint "$N" "$DIR/img" -s
	resume "$N" "$DIR/img"
	again "$N"
	[ "$(inside "$N" ls /sys/class/net)" = lo ]
}

@test "one goes on while another is checkpointed and restored" {
	CONTAINERS="$N $N-b"
	begin "$N"
	begin "$N-b"
	checkpoint "$N" "$DIR/img" -s
	again "$N-b"
	resume "$N" "$DIR/img"
	again "$N"
	again "$N-b"
	is "$N-b" RUNNING
}

@test "terminals: who sits on tty1 is not hung up, tty2 can be opened" {
	begin "$N"
	getty=$(inside "$N" pidof getty)
	checkpoint "$N" "$DIR/img" -s
	resume "$N" "$DIR/img"
	again "$N"
	[ "$(inside "$N" pidof getty)" = "$getty" ]
	[ "$(inside "$N" readlink "/proc/$getty/fd/0")" = /dev/tty1 ]
	inside "$N" sh -c 'echo x > /dev/tty2 && echo x > /dev/tty1 && echo x > /dev/console'
}

@test "lxc-stop ends a restored container in order" {
	begin "$N"
	checkpoint "$N" "$DIR/img" -s
	resume "$N" "$DIR/img"
	again "$N"
	lxc stop "$N" -t 20
	is "$N" STOPPED
}
