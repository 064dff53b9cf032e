#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# --address-map and --address-policy: the host or pod has another address at restore. The addresses are of the test's
# own network namespace.
load ../kit/helper

OLD=198.51.100.1 NEW=198.51.100.2 FAR=198.51.100.9

setup() {
	IMG=$(mktemp -d)
	mkdir "$IMG/img"
	W=$IMG/w
	unshare -n "$BUILD/tests/kit/idle" </dev/null >"$IMG/net" 2>/dev/null 3>&- &
	NET=$!
	until_true test -s "$IMG/net"
	[ "$(readlink "/proc/$NET/ns/net")" != "$(readlink /proc/self/ns/net)" ]
	here ip link set lo up
	here ip addr add $OLD/32 dev lo
	here ip addr add $FAR/32 dev lo
	nsenter -t "$NET" -n "$BUILD/tests/kit/address" - $FAR 700 </dev/null >"$IMG/peer" 2>&1 3>&- &
	PEER=$!
	until_true test -s "$IMG/peer"
	nsenter -t "$NET" -n "$BUILD/tests/kit/address" "$W" $OLD $FAR 700 </dev/null >"$IMG/out" 2>/dev/null 3>&- &
	PID=$!
	until_true test -s "$IMG/out"
}
teardown() {
	local pid
	for pid in $PID $PEER $NET; do kill -9 "$pid" 2>/dev/null || true; done
	rm -rf "$IMG"
}

here() { nsenter -t "$NET" -n "$@"; }
moved() { # another address instead of the old one
	here "$BUILD/stasis" dump -t "$PID" -D "$IMG/img" --tcp-established
	until_true gone "$PID"
	here ip addr del $OLD/32 dev lo
	here ip addr add $NEW/32 dev lo
}
restored() { # restored NEW WHAT-BECAME OPTIONS...
	echo "$1 $2" >"$W.want"
	here "$BUILD/stasis" restore -D "$IMG/img" -d --pidfile "$IMG/pid" --tcp-established "${@:3}"
	PID=$(cat "$IMG/pid")
	verify
}

@test "address: mapped: listeners, UDP, inner connections; the outer one is reset" {
	moved
	restored $NEW reset --address-map $OLD=$NEW
}

@test "address: the policy for the outer one: close, keep; the most exact counts" {
	moved
	restored $NEW closed --address-map $OLD=$NEW --address-policy close
}

@test "address: a connection that is kept lives when its address comes back" {
	moved
	here ip addr add $OLD/32 dev lo
	restored $NEW kept --address-map $OLD=$NEW --address-policy close,$OLD=keep
}

@test "address: gone without another one: refused, or closed by the policy" {
	moved
	run here "$BUILD/stasis" restore -D "$IMG/img" -d --tcp-established
	[ "$status" -ne 0 ]
	[[ $output == *"its address is not on this host"*"--address-map"* ]]
	restored - closed --address-policy close
}

@test "address: gone and kept: works when it comes back" {
	moved
	here ip addr del $NEW/32 dev lo
	here ip route add $OLD/32 dev lo # the one connection leads there
	echo "$OLD kept" >"$W.want"
	here "$BUILD/stasis" restore -D "$IMG/img" -d --pidfile "$IMG/pid" --tcp-established --address-policy keep
	PID=$(cat "$IMG/pid")
	here ip addr add $OLD/32 dev lo
	verify
}

@test "address: policies and maps that make no sense are refused" {
	moved
	for o in "--address-map $OLD" "--address-map $OLD=::1" "--address-map x=y" "--address-policy maybe" \
		"--address-policy $OLD:0=keep" "--address-policy [::1=keep"; do
		run here "$BUILD/stasis" restore -D "$IMG/img" -d --tcp-established $o
		[ "$status" -ne 0 ]
		[[ $output == *"${o%% *}"* ]]
	done
}
