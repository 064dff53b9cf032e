#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: inet-more inet-diag inet-urgent
# Sorts and states of sockets, one at a time, in an own network: kept, or refused before anything is stopped.
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	W=$IMG/w/verdict
	mkdir "$IMG/img" "$IMG/w"
	PID=
	cat >"$IMG/device" <<'X'
#!/bin/sh
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
ip link set lo up
ip link add d0 type veth peer name d1
ip addr add fe80::77/64 dev d0 nodad
ip link set d0 up
ip link set d1 up
exec "$@"
X
	chmod +x "$IMG/device"
}
teardown() {
	[ -z "$PID" ] || kill -9 $(cat "/proc/$PID/task/$PID/children" 2>/dev/null) "$PID" 2>/dev/null || true
	rm -rf "$IMG"
}

start() {
	unshare -n "${BEFORE:-env}" "$BUILD/tests/kit/sockets" "$1" "$IMG/w" </dev/null >"$IMG/said" 2>&1 3>&- &
	PID=$!
	until_true eval 'test -e "$IMG/w/ready" || ! kill -0 "$PID" 2>/dev/null'
	[ -e "$IMG/w/ready" ] || { cat "$IMG/said"; PID=; skip "this kernel has none"; }
}

kept() { # kept WHAT [SAID]: after a dump that leaves it running, and after a restore
	start "$1"
	dump -R --tcp-established
	run dump --tcp-established
	[ "$status" -eq 0 ] || { echo "$output" >&2; return 1; }
	[[ "$output" == *"${2:-}"* ]] || { echo "$output" >&2; return 1; }
	until_true gone "$PID"
	restore --tcp-established
	verify
}

late() { # late WHAT SAID: shows only when the tasks are stopped
	start "$1"
	run dump --tcp-established
	[ "$status" -ne 0 ]
	[[ "$output" == *"$2"* ]] || { echo "$output" >&2; return 1; }
	verify
}

refused() { # refused WHAT SAID
	start "$1"
	run dump --tcp-established
	[ "$status" -ne 0 ]
	[[ "$output" == *"$2"* ]] || { echo "$output" >&2; return 1; }
	[ -z "$(ls "$IMG/img")" ] # nothing was stopped, nothing written
	verify
}

@test "multicast groups, with the senders they are limited to" { kept groups; }
@test "TCP with MD5 keys: listener and connection" { kept md5; }
@test "a listener of MPTCP, and its client that knows TCP only" { kept mptcp; }
@test "a TCP connection that is just being made is begun anew" { kept syn-sent; }
@test "datagrams that were not read yet" { kept datagrams; }
@test "errors that wait to be read: reported" { kept errors "errors"; }

@test "an autobound unix socket" { kept autobound; }
@test "SO_REUSEPORT: listeners of two tasks" { kept reuseport; }
@test "packet sockets: fanout, membership" { kept fanout; }
@test "netlink: a group above 32" { kept netlink; }
@test "scoped addresses of IPv6, bound to a device" { BEFORE=$IMG/device kept scoped; }
@test "a connection that was closed and still sends: reported" { kept closed "have closed still send"; }

@test "netlink: messages that were not read" { late netlink-queued "were not read yet"; }
@test "TCP urgent data" { kept urgent; }
@test "TCP urgent data of which the urgent byte was read" { kept urgent-read; }
@test "TCP urgent data in line, with more behind it and the end" { kept urgent-inline; }
@test "a client that a listener with TCP_DEFER_ACCEPT lets wait" { kept deferred; }
@test "urgent data of a unix socket" { refused unix-oob "urgent"; }
@test "an MPTCP connection" { refused mptcp-client "GODEBUG=multipathtcp=0"; }
@test "AF_XDP" { refused xdp "AF_XDP"; }
@test "AF_VSOCK" { refused vsock "AF_VSOCK"; }
@test "AF_ALG" { refused alg "AF_ALG"; }
@test "AF_CAN" { refused can "AF_CAN"; }
@test "SCTP" { refused sctp "SCTP"; }
@test "a UDP socket with half a datagram" { refused corked "corked"; }
@test "a packet socket with a ring" { refused ring "end the capture first"; }
