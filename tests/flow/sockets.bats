#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: inet-more inet-diag inet-urgent
# Sorts and states of sockets, one at a time, in an own network: kept, or refused before anything is stopped.
load ../kit/kind

setup() {
	setup_kind
	WITH=(unshare -n)
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
teardown() { teardown_kind; }

kept() { keeps sockets "$1" -- --tcp-established; }
kept_plain() { AROUND=plain kept "$1"; }
said() { # said WHAT SAID: kept, but something is reported
	start_kind sockets "$1"
	dump -R --tcp-established
	run dump --tcp-established
	[ "$status" -eq 0 ]
	[[ "$output" == *"$2"* ]] || { echo "$output" >&2; return 1; }
	until_true gone "$PID"
	restore --tcp-established
	verify
}
late() { # late WHAT SAID: shows only when the tasks are stopped
	start_kind sockets "$1"
	not_dumped "$2" --tcp-established
	verify
}
refuses() { start_kind sockets "$1"; refused "$2" --tcp-established; }

@test "multicast groups, with the senders they are limited to" { kept groups; }
@test "TCP with MD5 keys: listener and connection" { kept md5; }
@test "a listener of MPTCP, and its client that knows TCP only" { kept mptcp; }
@test "a TCP connection that is just being made is begun anew" { kept syn-sent; }
@test "datagrams that were not read yet" { kept datagrams; }
@test "errors that wait to be read: reported" { said errors "errors"; }

@test "an autobound unix socket" { kept autobound; }
@test "SO_REUSEPORT: listeners of two tasks" { kept reuseport; }
@test "packet sockets: fanout, membership" { kept fanout; }
@test "netlink: a group above 32" { kept netlink; }
@test "scoped addresses of IPv6, bound to a device" { WITH+=("$IMG/device"); kept_plain scoped; }
@test "a connection that was closed and still sends: reported" { said closed "have closed still send"; }

@test "netlink: messages that were not read" { late netlink-queued "were not read yet"; }
@test "TCP urgent data" { kept urgent; }
@test "TCP urgent data of which the urgent byte was read" { kept urgent-read; }
@test "TCP urgent data in line, with more behind it and the end" { kept urgent-inline; }
@test "a client that a listener with TCP_DEFER_ACCEPT lets wait" { kept deferred; }
@test "urgent data of a unix socket" { kept unix-oob; }
@test "urgent data of a unix socket, all before it was read" { kept unix-oob-first; }
@test "urgent data of a unix socket in line" { kept unix-oob-inline; }
@test "urgent data of a unix socket whose place does not show" { refuses unix-oob-passcred "whose place among"; }
@test "an MPTCP connection" { refuses mptcp-client "GODEBUG=multipathtcp=0"; }
@test "an MPTCP connection that fell back to TCP" { refuses mptcp-fallen "fell back to TCP"; }
@test "MPTCP connections, closed by --tcp-close" { keeps sockets mptcp-closed -- --tcp-close; }
@test "AF_XDP" { refuses xdp "AF_XDP"; }
@test "AF_ALG" { refuses alg "AF_ALG"; }
@test "AF_CAN" { refuses can "AF_CAN"; }
@test "SCTP" { refuses sctp "SCTP"; }
@test "a UDP socket with half a datagram" { refuses corked "corked"; }
