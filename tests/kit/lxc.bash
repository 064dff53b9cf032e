# SPDX-License-Identifier: Apache-2.0
# Helpers for bats: containers of Debian's lxc, with our criu in its PATH, on a bridge of their own.
load ../kit/helper

BRIDGE=lxcbr0 # the one of /etc/lxc/default.conf
HOST=10.0.3.1

setup_lxc() {
	PATH=$BUILD:$PATH
	DIR=$(mktemp -d)
	P=$DIR/lxc
	N=stasis-$$-$BATS_TEST_NUMBER
	CONTAINERS=$N
	CREATE=() # options
	mkdir "$P"
	[ "$(cat /proc/1/comm)" = reap ] || { echo "namespaces of our own are needed: use tests/run" >&2; return 1; }
	net_up
}

# A bridge, a DHCP server on it, and a /sys that shows them.
net_up() {
	if ! ip link show $BRIDGE >/dev/null 2>&1; then
		ip link add $BRIDGE type bridge
		ip addr add $HOST/24 dev $BRIDGE
		ip link set $BRIDGE up
	fi
	if [ ! -e /sys/class/net/$BRIDGE ]; then
		mkdir "$DIR/cg"
		mount --rbind /sys/fs/cgroup "$DIR/cg"
		mount -t sysfs sysfs /sys
		mount --move "$DIR/cg" /sys/fs/cgroup
	fi
	dnsmasq --keep-in-foreground --interface=$BRIDGE --bind-interfaces --except-interface=lo --port=0 \
		--dhcp-range=10.0.3.10,10.0.3.99 --dhcp-leasefile="$DIR/leases" --conf-file=/dev/null \
		--pid-file="$DIR/dnsmasq.pid" </dev/null >/dev/null 2>&1 3>&- &
	DNSMASQ=$!
}

teardown_lxc() {
	local n d
	for n in $CONTAINERS; do
		lxc stop "$n" -k >/dev/null 2>&1 || true
	done
	kill "$DNSMASQ" ${CLIENT:-} 2>/dev/null || true
	# what LXC leaves behind when its monitor ends badly
	for n in $CONTAINERS; do
		for d in $(find /sys/fs/cgroup -depth -type d -name "lxc.*.$n*" 2>/dev/null); do
			rmdir "$d" 2>/dev/null || true
		done
	done
	rm -rf --one-file-system "$DIR"
}

lxc() { # lxc COMMAND NAME OPTIONS...
	local c=$1 n=$2
	shift 2
	"lxc-$c" -P "$P" -n "$n" "$@" 3>&-
}

# stock NAME: as the busybox template makes it; its init also starts a counter and an echo server
stock() {
	lxc create "$1" "${CREATE[@]}" -t busybox </dev/null >"$DIR/create" 2>&1 || { cat "$DIR/create" >&2; return 1; }
	local root=$P/$1/rootfs
	cat >"$root/bin/counter" <<-'END'
		#!/bin/sh
		i=0
		while :; do i=$((i+1)); ln -sfn $i /count; sleep 0.05; done
	END
	chmod +x "$root/bin/counter"
	echo '::respawn:/bin/nc -l -p 7 -e /bin/cat' >>"$root/etc/inittab"
	echo '::respawn:/bin/counter' >>"$root/etc/inittab"
}

start() { lxc start "$1" -d -o "$DIR/start.log" </dev/null || { grep ERROR "$DIR/start.log" >&2; return 1; }; }
state() { lxc info "$1" -sH; }
is() { [ "$(state "$1")" = "$2" ]; }
pid_of() { lxc info "$1" -pH; }
inside() { lxc attach "$1" -- "${@:2}" </dev/null; }
count() { local n; n=$(readlink "$P/$1/rootfs/count" || true); echo "${n:-0}"; }
counts_beyond() { [ "$(count "$1")" -gt "$2" ]; }
again() { local n; n=$(count "$1"); until_true counts_beyond "$1" "$((n + 3))"; } # it counts on
has_proc() { inside "$1" ps | grep -q "$2"; }

checkpoint() { # checkpoint NAME IMAGES OPTIONS...
	mkdir -p "$2"
	lxc checkpoint "$1" -D "$2" "${@:3}" -v -o "$DIR/cp.log" -l DEBUG >"$DIR/out" 2>&1 </dev/null ||
		{ cat "$DIR/out" >&2; return 1; }
}

# The monitor of LXC 5.0.2 dies of a container that was restored with lxc.tty.max above 0, as soon as
# anybody speaks to it (lxc_terminal_free() goes through ttys that a restore does not make): so without.
# With lxc.pty.max above 1 it refuses itself to restore what had a console, as it makes that too late.
resume() { # resume NAME IMAGES OPTIONS...
	sed 's/^lxc.tty.max.*/lxc.tty.max = 0/; s/^lxc.pty.max.*/lxc.pty.max = 1/' "$P/$1/config" >"$DIR/$1.rc"
	lxc checkpoint "$1" -r -D "$2" --rcfile "$DIR/$1.rc" "${@:3}" -v -o "$DIR/rs.log" -l DEBUG \
		>"$DIR/out" 2>&1 </dev/null || { cat "$DIR/out" >&2; return 1; }
}

# mounts NAME: the tree, without numbers
mounts() { awk '{ for (i = 7; $i != "-"; i++) ; print $4, $5, $6, $(i+1), $(i+3) }' "/proc/$(pid_of "$1")/mountinfo" | sort; }
