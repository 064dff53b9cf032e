#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/vsock mem/packet packet-ring sock-opts genl-groups fd/inet fd/unix fd/netlink fd/packet
# What else sockets have, one thing at a time.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

kept() { keeps sockets-more "$1" -- --tcp-established; }

@test "sockets of all sorts belong to whom they belonged, with their permissions" { kept owned; }
@test "what nftables drops by the user of a socket it goes on to drop" {
	WITH=(unshare -n sh -c 'nft add table inet t; nft add chain inet t o "{ type filter hook output priority 0; }"
		nft add rule inet t o meta skuid 61 drop; exec "$@"' -)
	AROUND=plain kept filtered
}

@test "TCP over IPv6: by which device and from which address its packets leave" { kept sender; }
@test "what is sent is numbered anew: reported" {
	start_kind sockets-more numbered
	run dump --tcp-established
	[ "$status" -eq 0 ]
	[ "$(grep -c 'is numbered from 0 on again' <<<"$output")" = 2 ] || { echo "$output" >&2; return 1; }
	until_true gone "$PID"
	run restore --tcp-established --pidfile "$IMG/pid"
	PID=$(cat "$IMG/pid")
	[[ "$output" != *"cannot be set"* ]] || { echo "$output" >&2; return 1; }
	verify
}

@test "netlink: notices that nobody has read: the reader is told that they are lost" { kept notices; }
@test "netlink: queues and logs of netfilter" { kept bound; }
@test "netlink: packets for a queue and a log of netfilter go on to come" {
	WITH=(unshare -n sh -c 'iptables-legacy -A OUTPUT -p udp --dport 9 -j NFLOG --nflog-group 5
		iptables-legacy -A OUTPUT -p udp --dport 9 -j NFQUEUE --queue-num 7; exec "$@"' -)
	AROUND=plain kept packets
}
@test "netlink: a group of generic netlink that has another number here, or is not here" {
	start_kind sockets-more genl
	dump
	until_true gone "$PID"
	python3 - "$IMG/img/files.img" <<-'X'
		import sys
		b = open(sys.argv[1], "rb").read()
		old = b"\x40\x80\x80\x02", b"\x08\x10\x12\x06nlctrl"  # member of group 16, which is nlctrl's
		assert b.count(old[0]) == 1 and b.count(old[1]) == 1
		b = b.replace(old[0], b"\x40\x80\x80\x04").replace(old[1], b"\x08\x11\x12\x06nlctrl")
		open(sys.argv[1], "wb").write(b)
		open(sys.argv[1] + ".other", "wb").write(b.replace(b"nlctrl", b"other!"))
	X
	restore --pidfile "$IMG/pid"
	PID=$(cat "$IMG/pid")
	verify
	mv "$IMG/img/files.img.other" "$IMG/img/files.img"
	rm "$IMG/pid"
	run restore --pidfile "$IMG/pid"
	PID=$(cat "$IMG/pid")
	[[ "$output" == *"no group notify of other!"* ]]
}

@test "packet sockets: rings, and what was not read of them" { kept ring; }
@test "packet sockets: a block of a ring that is being filled" { AROUND="plain user" kept ring-open; }
@test "packet sockets: a block that is being filled, before one that was read long ago" { AROUND="plain user" kept ring-around; }
@test "packet sockets: a ring for sending" { kept ring-unsent; }
@test "packet sockets: a ring for sending that was used" {
	start_kind sockets-more ring-send
	refused "ring for sending"
}
@test "AF_VSOCK: one that listens, one that is bound, one that is neither" { kept vsock; }
