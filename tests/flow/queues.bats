#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: inet-queue inet-pending inet-pending-restore
# What waits in sockets of IPv4 and IPv6: datagrams, connections that nobody has accepted yet.
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	W=$IMG/w/verdict
	mkdir "$IMG/img" "$IMG/w"
	PID=
	cat >"$IMG/network" <<'X'
#!/bin/sh
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
ip link set lo up
exec "$@"
X
	chmod +x "$IMG/network"
}
teardown() {
	[ -z "$PID" ] || kill -9 $(cat "/proc/$PID/task/$PID/children" 2>/dev/null) "$PID" 2>/dev/null || true
	rm -rf "$IMG"
}

start() { # start WHAT [UNTIL]: in a network of its own
	unshare -n "$IMG/network" "$BUILD/tests/kit/queues" "$1" "$IMG/w" </dev/null >"$IMG/said" 2>&1 3>&- &
	PID=$!
	local file=$IMG/w/${2:-ready}
	until_true eval 'test -e "$file" || ! kill -0 "$PID" 2>/dev/null'
	[ -e "$file" ] || { cat "$IMG/said"; return 1; }
}

again() { # with the tasks running on, then three times without
	dump -R --tcp-established
	thrice
}

thrice() {
	for i in 1 2 3; do
		dump --tcp-established
		until_true gone "$PID"
		restore --tcp-established
	done
	verify
}

@test "datagrams: empty ones, a large one, two senders" { start plain; thrice; }
@test "datagrams of IPv6, and of both families in one socket" { start v6; again; }
@test "IPV6_V6ONLY of sockets that were connected, or bound, to an address of IPv6" { start v6only; again; }
@test "datagrams in several sockets of one port, one of which has got a peer" { start shared; again; }
@test "datagrams in a full buffer, behind a peek offset, in a socket shut down" { start full; again; }
@test "datagrams joined by UDP_GRO, and one to everybody" { start gro; again; }

@test "connections that wait to be accepted: with data, half closed, closed" { start pending; thrice; }
@test "the same of IPv6" { start pending6; thrice; }
@test "the same of IPv4, at a listener of both" { start pending-dual; thrice; }
@test "connections that wait and have sent nothing, also with --leave-running" { start pending-quiet; again; }
@test "connections that wait: a full queue, one that was reset" { start pending-full; thrice; }
@test "connections that wait at several listeners of one port" { start pending-group; thrice; }

@test "connections that wait and have sent something: --leave-running is refused" {
	start pending
	run dump -R --tcp-established
	[ "$status" -ne 0 ]
	[[ "$output" == *"while the tasks are to run on"* ]]
	verify
}

@test "connections that wait, of a client outside of the tree: refused, or dropped when asked for" {
	start pending-quiet
	nsenter -n -t "$PID" python3 -c '
import socket, sys, time
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
time.sleep(1000)' "$(nsenter -n -t "$PID" ss -tlnH | awk '{ sub(".*:", "", $4); print $4 }')" </dev/null >/dev/null 2>&1 3>&- &
	CLIENT=$!
	until_true eval '[ "$(nsenter -n -t "$PID" ss -tlnH | awk "{ print \$2 }")" = 5 ]'
	run dump --tcp-established
	[ "$status" -ne 0 ]
	[[ "$output" == *"outside of the tree"*"--skip-in-flight"* ]]
	dump -R --tcp-established --skip-in-flight
	kill -9 "$CLIENT"
	[ ! -e "$IMG/img/tcp-pending.img" ]
}

@test "datagrams of UDP-Lite" {
	start lite || { grep -q 'Protocol not supported' "$IMG/said" && skip "this kernel has no UDP-Lite"; }
	again
}

@test "datagrams from outside: sender, device, address, TTL" {
	cat >"$IMG/network" <<'X'
#!/bin/sh
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
ip link set lo up
ip link add d0 type veth peer name d1
ip link set d1 netns "$OUTSIDE"
ip addr add 10.77.0.1/24 dev d0
ip addr add fd77::1/64 dev d0 nodad
ip link set d0 up
exec "$@"
X
	unshare -n sleep 1000 </dev/null >/dev/null 2>&1 3>&- &
	OUTSIDE=$!
	export OUTSIDE
	until_true eval '[ "$(readlink /proc/$OUTSIDE/ns/net)" != "$(readlink /proc/self/ns/net)" ]'
	start headers listening
	nsenter -n -t "$OUTSIDE" sh -c 'ip addr add 10.77.0.9/24 dev d1; ip addr add fd77::9/64 dev d1 nodad
		ip link set d1 up'
	nsenter -n -t "$OUTSIDE" python3 -c '
import socket
def say(family, source, text, *to):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind(source)
    s.sendto(text, to)
say(socket.AF_INET, ("10.77.0.9", 9001), b"four", "10.77.0.1", 7001)
say(socket.AF_INET6, ("fd77::9", 9002), b"six", "fd77::1", 7002)
say(socket.AF_INET, ("10.77.0.9", 9001), b"device", "10.77.0.1", 7003)'
	until_true test -e "$IMG/w/ready"
	dump
	until_true gone "$PID"
	kill -9 "$OUTSIDE"
	restore --external "veth[d0]:stasisq1"
	verify
}
