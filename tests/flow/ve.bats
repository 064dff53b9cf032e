#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A system container without a runtime: eight namespaces, two veths, a bridge and rules inside, System V IPC between
# its tasks, limits of cgroups that are reached; a client outside that goes on.
bats_require_minimum_version 1.5.0
load ../kit/kind
load ../kit/trips

setup() {
	setup_kind
	SURROUNDING=user AT=/out
	clean_kind
	G=stasis-ve-$$-$RANDOM
	TOP=$(awk '$(NF-2) == "cgroup" && $NF ~ /(^|,)pids(,|$)/ { print $5; exit }' /proc/self/mountinfo)
	TOP=${TOP:-$(awk '$(NF-2) == "cgroup2" { print $5; exit }' /proc/self/mountinfo)}
	mkdir "$TOP/$G"
	# the network of the "host"
	unshare -n "$BUILD/tests/kit/idle" </dev/null >"$IMG/net" 2>/dev/null 3>&- &
	NET=$!
	until_true test -s "$IMG/net"
	[ "$(readlink "/proc/$NET/ns/net")" != "$(readlink /proc/self/ns/net)" ]
	: >"$IMG/root/out/hold" # until its network is there, and the root of its cgroup namespace is ours
	launch_kind ve all
	network
	echo "$PID" >"$TOP/$G/cgroup.procs"
	rm "$IMG/root/out/hold"
	await_kind
	[ ! -e "$TOP/$G/pids.max" ] || echo 5 >"$TOP/$G/pids.max" # all it has
}
teardown() {
	local pid
	for pid in ${CLIENT:-} $NET; do kill -9 "$pid" 2>/dev/null || true; done
	end_kind
	until_true rmdir "$TOP/$G"
	teardown_kind
}

here() { nsenter -t "$NET" -n "$@"; }
inside() { nsenter -t "$PID" -n "$@"; }

network() {
	here sh -e <<-X
	ip link set lo up
	for b in brA brB; do ip link add \$b type bridge; ip link set \$b up; done
	ip addr add 10.91.0.1/24 dev brA
	ip addr add 10.92.0.1/24 dev brB
	ip link add veA type veth peer name eth0 netns $PID
	ip link add veB type veth peer name eth1 netns $PID
	ip link set veA master brA up
	ip link set veB master brB up
	X
	inside sh -e <<-'X'
	ip link set lo up
	ip link add br0 type bridge
	ip link set eth0 master br0
	for d in eth0 eth1 br0; do ip link set $d up; done
	ip addr add 10.91.0.2/24 dev br0
	ip addr add 10.92.0.2/24 dev eth1
	ip route add default via 10.91.0.1
	echo 1 >/proc/sys/net/ipv4/ip_forward
	nft -f - <<-'N'
	table inet f {
		set friends { type ipv4_addr; flags timeout; counter; elements = { 10.91.0.1 counter packets 0 bytes 0 timeout 1d } }
		chain in {
			type filter hook input priority 0; policy drop;
			ct state established,related counter accept
			meta l4proto { icmp, ipv6-icmp } accept
			iif lo accept
			ip saddr @friends tcp dport 7 accept
		}
	}
	table ip nat {
		chain post { type nat hook postrouting priority srcnat; oifname "eth1" masquerade; }
	}
	N
	X
}
seen() { # what must be as before
	inside sh -c 'ip -4 addr; ip route; ip rule; bridge link; ip neigh show nud permanent' | sed -E "s/@[a-z0-9]+/@/"
	inside nft list ruleset | sed -E 's/(packets|bytes) [0-9]+/\1 N/g; s/expires [0-9a-z]+/expires N/'
	cat "/proc/$PID/uid_map" "/proc/$PID/gid_map" "/proc/$PID/cgroup"
	cat "$TOP/$G/pids.max" 2>/dev/null || true
	inside cat /proc/sys/net/ipv4/ip_forward
	awk '{ print $5, $6 }' "/proc/$PID/mountinfo" | sort
}
as_before() { seen >"$IMG/after" && diff -q "$IMG/before" "$IMG/after"; } # the state of links follows in a moment
without() { ! here ip link show "$1" >/dev/null 2>&1; }
forwarded() { here ip -o link show master "$1" up | grep -q "$2@"; }

@test "a system container in eight namespaces, three generations, with a client under load" {
	until_true eval '! inside ip addr | grep -q tentative'
	load_client "$IMG" 10.91.0.2 7 nsenter -t "$NET" -n
	seen >"$IMG/before"
	for g in 1 2 3; do
		here "$BUILD/stasis" dump -t "$PID" -D "$IMG/img" --tcp-established
		until_true gone "$PID"
		until_true without veA
		rmdir "$TOP/$G"
		rm "$IMG/pid"
		here "$BUILD/stasis" restore -D "$IMG/img" -d --pidfile "$IMG/pid" --tcp-established --root "$IMG/root" \
			--external 'veth[eth0]:veA@brA' --external 'veth[eth1]:veB@brB'
		PID=$(cat "$IMG/pid")
		trips_on
		forwarded brA veA
		forwarded brB veB
	done
	until_true as_before >/dev/null || diff "$IMG/before" "$IMG/after"
	trips_end
	verify
}
