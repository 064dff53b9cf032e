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
