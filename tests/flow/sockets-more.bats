#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/inet fd/unix fd/netlink fd/packet
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

@test "netlink: notices that nobody has read: the reader is told that they are lost" { kept notices; }
@test "netlink: queues and logs of netfilter" { kept bound; }
@test "netlink: packets for a queue and a log of netfilter go on to come" {
	WITH=(unshare -n sh -c 'iptables-legacy -A OUTPUT -p udp --dport 9 -j NFLOG --nflog-group 5
		iptables-legacy -A OUTPUT -p udp --dport 9 -j NFQUEUE --queue-num 7; exec "$@"' -)
	AROUND=plain kept packets
}
