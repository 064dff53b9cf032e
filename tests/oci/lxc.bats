#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Containers of Debian's lxc: checkpointed and restored by lxc-checkpoint, with us as its criu.
bats_require_minimum_version 1.5.0
load ../kit/lxc
load ../kit/trips

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
	ln -sfn 0 "$P/$N/rootfs/count"
	resume "$N" "$DIR/img" -d
	again "$N"
	is "$N" RUNNING
}

@test "five generations, with a TCP connection under load from the host through the veth" {
	begin "$N"
	until_true has_lease
	load_client "$DIR" "$(lease)" 7
	for g in 1 2 3 4 5; do
		checkpoint "$N" "$DIR/img$g" -s
		kill -0 "$CLIENT"
		resume "$N" "$DIR/img$g" -d
		again "$N"
		trips_on
	done
	trips_end
	[ "$(pgrep -cx stasis-ttys)" = 1 ] # the holder of one generation ends with it
	lxc stop "$N" -k
	until_true no_holder
}

@test "under another name, onto another bridge, while another container runs" {
	CONTAINERS="$N $N-b $N-new"
	begin "$N-b"
	begin "$N"
	until_true has_address "$N"
	ip=$(address_of "$N")
	load_client "$DIR" "$ip" 7
	checkpoint "$N" "$DIR/img" -s
	# the address moves from one bridge to the other, the connection with it
	lxc copy "$N" -N "$N-new" -R
	ip link add "${BRIDGE}b" type bridge
	ip link set "${BRIDGE}b" up
	ip route add "$ip/32" dev "${BRIDGE}b" src $HOST
	sed -i "s/^lxc.net.0.link.*/lxc.net.0.link = ${BRIDGE}b/" "$P/$N-new/config"
	resume "$N-new" "$DIR/img" -d
	is "$N-new" RUNNING
	again "$N-new"
	again "$N-b"
	trips_on
	trips_end
	[ -n "$(ip -o link show master "${BRIDGE}b" up)" ]
	is "$N-b" RUNNING
}
address_of() { inside "$1" ip -4 -o addr show dev eth0 | awk '{ sub("/.*", "", $4); print $4 }'; }
has_address() { [ -n "$(address_of "$1")" ]; }

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

# a task of the container in mnt, uts and net namespaces of its own, as units of systemd are
nested() {
	cat >"$P/$1/rootfs/bin/nested" <<-'END'
		#!/bin/sh
		hostname inner
		mkdir -p /mnt
		mount -t tmpfs -o size=64k none /mnt
		mkdir /mnt/a /mnt/b
		mount --bind /tmp /mnt/a
		mount --bind /mnt/b /tmp
		mount -o remount,ro,bind /home
		mount --make-shared /mnt
		ip addr add 192.0.2.1/32 dev lo
		cd /mnt/b
		exec 5>/mnt/log
		i=0
		while :; do i=$((i+1)); echo $i > n && mv n count; echo $i >&5; sleep 0.05; done
	END
	chmod +x "$P/$1/rootfs/bin/nested"
	echo '::respawn:/bin/unshare --propagation slave -m -u -n /bin/sh /bin/nested' >>"$P/$1/rootfs/etc/inittab"
}
nested_pid() { pgrep -f "^/bin/sh /bin/nested"; }
nested_count() { number "/proc/$(nested_pid)/root/mnt/b/count"; }
number() { local n; n=$(cat "$1" 2>/dev/null || true); echo "${n:-0}"; }
nested_beyond() { [ "$(nested_count)" -gt "$1" ]; }
in_ns() { nsenter -t "$(nested_pid)" "$@"; }
groups() { awk '{ print $5, $4, $6; for (i = 7; $i != "-"; i++) printf "%s ", substr($i, 1, 6); print "" }' "/proc/$1/mountinfo"; }

@test "a task in namespaces of its own: mounts, host name, network, files that only it sees" {
	stock "$N"
	mkdir -p "$P/$N/rootfs/home" "$P/$N/rootfs/mnt"
	nested "$N"
	start "$N"
	until_true booted "$N"
	until_true nested_beyond 3
	groups "$(nested_pid)" | sort >"$DIR/before"
	for g in 1 2; do
		checkpoint "$N" "$DIR/img$g" -s
		resume "$N" "$DIR/img$g"
		n=$(nested_count)
		[ "$n" -gt 3 ]
		until_true nested_beyond "$((n + 3))"
		again "$N"
	done
	groups "$(nested_pid)" | sort >"$DIR/after"
	diff "$DIR/before" "$DIR/after"
	[ "$(in_ns -u hostname)" = inner ]
	[ "$(inside "$N" hostname)" = "$N" ]
	in_ns -n ip -o addr show dev lo | grep -q 192.0.2.1
	[ -e "/proc/$(nested_pid)/root/tmp/count" ]
	[ ! -e "/proc/$(pid_of "$N")/root/tmp/count" ]
	[ "$(stat -c %d "/proc/$(nested_pid)/root/mnt/a")" = "$(stat -c %d "/proc/$(pid_of "$N")/root/tmp")" ]
}

# The ids of a container that has a user namespace, started by root.
@test "an id-mapped container: its root is another outside" {
	printf 'lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n' >"$DIR/idmap"
	cat /etc/lxc/default.conf >>"$DIR/idmap"
	chmod 755 "$DIR" "$P"
	CREATE=(-f "$DIR/idmap")
	begin "$N"
	[ "$(stat -c %u "/proc/$(pid_of "$N")")" = 100000 ]
	until_true has_lease
	load_client "$DIR" "$(lease)" 7
	for g in 1 2; do
		checkpoint "$N" "$DIR/img$g" -s
		resume "$N" "$DIR/img$g" -d
		again "$N"
		trips_on
	done
	trips_end
	[ "$(stat -c %u "/proc/$(pid_of "$N")")" = 100000 ]
	grep -q '0 *100000 *65536' "/proc/$(pid_of "$N")/uid_map"
}

@test "stasis finds it by its name, wherever lxcpath is; with its terminals passed in, checkpoints it while it runs on" {
	begin "$N"
	[ "$(stasis list --json | jq -r --arg n "$N" '.[] | select(.name == $n) | "\(.runtime) \(.pid) \(.status)"')" = "lxc $(pid_of "$N") running" ]
	ttys=()
	for i in 1 2 3 4 5 6; do # one after the other, as the error says
		if stasis checkpoint "$N" -R "${ttys[@]}" -D "$DIR/img" > "$DIR/out" 2>&1; then break; fi
		cat "$DIR/out" >&2
		ttys+=(--external "$(grep -o 'tty\[[0-9a-f:]*\]' "$DIR/out")")
		is "$N" RUNNING
	done
	grep -q 'only lxc itself restores' "$DIR/out"
	stasis check "$DIR/img"
	stasis show "$DIR/img" | grep -q getty
	is "$N" RUNNING
	again "$N"
}
