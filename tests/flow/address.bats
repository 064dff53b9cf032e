#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# --address-map and --address-policy: the host or pod has another address at restore. The addresses are of the test's
# own network namespace.
load ../kit/helper

addresses() { # addresses 4|6
	if [ "$1" = 4 ]; then
		OLD=198.51.100.1 NEW=198.51.100.2 FAR=198.51.100.9 HOST=32
	else
		OLD=2001:db8::1 NEW=2001:db8::2 FAR=2001:db8::9 HOST=128
	fi
}

setup() {
	case $BATS_TEST_DESCRIPTION in *IPv6*) addresses 6 ;; *) addresses 4 ;; esac
	IMG=$(mktemp -d)
	mkdir "$IMG/img"
	W=$IMG/w
	unshare -n "$BUILD/tests/kit/idle" </dev/null >"$IMG/net" 2>/dev/null 3>&- &
	NET=$!
	until_true test -s "$IMG/net"
	[ "$(readlink "/proc/$NET/ns/net")" != "$(readlink /proc/self/ns/net)" ]
	here ip link set lo up
	here ip addr add $OLD/$HOST dev lo
	here ip addr add $FAR/$HOST dev lo
	nsenter -t "$NET" -n setsid "$BUILD/tests/kit/address" - $FAR 700 </dev/null >"$IMG/peer" 2>&1 3>&- &
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
	here ip addr del $OLD/$HOST dev lo
	here ip addr add $NEW/$HOST dev lo
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
	here ip addr add $OLD/$HOST dev lo
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
	here ip addr del $NEW/$HOST dev lo
	here ip route add $OLD/$HOST dev lo # the one connection leads there
	echo "$OLD kept" >"$W.want"
	here "$BUILD/stasis" restore -D "$IMG/img" -d --pidfile "$IMG/pid" --tcp-established --address-policy keep
	PID=$(cat "$IMG/pid")
	here ip addr add $OLD/$HOST dev lo
	verify
}

@test "address: IPv6: mapped, the outer connection is reset" {
	moved
	restored $NEW reset --address-map $OLD=$NEW
}

@test "address: IPv6: closed; kept, with a port" {
	moved
	restored $NEW closed --address-map $OLD=$NEW --address-policy "close,[$OLD]:4711=keep"
}

@test "address: IPv6: gone without another one: refused, or closed by the policy" {
	moved
	run here "$BUILD/stasis" restore -D "$IMG/img" -d --tcp-established
	[ "$status" -ne 0 ]
	[[ $output == *"its address is not on this host"* ]]
	restored - closed --address-policy close
}

rebound() { # both ends are restored and told of the other address
	mkdir "$IMG/far"
	here "$BUILD/stasis" dump -t "$PEER" -D "$IMG/far" --tcp-established
	until_true gone "$PEER"
	moved
	here "$BUILD/stasis" restore -D "$IMG/far" -d --pidfile "$IMG/far.pid" --tcp-established --address-map $OLD=$NEW
	PEER=$(cat "$IMG/far.pid")
	restored $NEW rebound --address-map $OLD=$NEW --address-policy rebind
}
@test "address: rebound: a connection goes on, as its peer is told of the new address, too" {
	rebound
}
@test "address: IPv6: rebound: a connection goes on, as its peer is told of the new address, too" {
	rebound
}

@test "address: rebound without another one: what listens is bound to all addresses" {
	moved
	restored '*' reset --address-policy rebind
}
@test "address: IPv6: rebound without another one: what listens is bound to all addresses" {
	moved
	restored '*' reset --address-policy rebind
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
