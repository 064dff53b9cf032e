#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: net-tune ns/net net-link net-ipset net-legacy net-nft net-nsid net-raw net-route net-sysctl net-tc net-track fd/netlink fd/packet
# Contents of a network namespace; more of them in net2.bats.
load ../kit/net

@test "net: devices, bridge and ports, addresses, routes of all tables, rules, neighbours" {
	pair
	inside sh -e <<-'X'
	ip route add 10.99.0.0/16 via 10.77.0.9 metric 44
	ip route add default via 10.77.1.9 table 77
	ip route add 10.98.0.0/16 nexthop via 10.77.0.9 weight 2 nexthop via 10.77.1.9
	ip route add blackhole 10.97.0.0/16
	ip rule add from 10.77.1.0/24 lookup 77 pref 700
	ip rule del pref 32767
	ip -6 rule add from fd77::/64 lookup 77 pref 701
	ip -6 route add fd78::/64 via fd77::9 dev v0
	ip -6 route add default nexthop via fd77::9 dev v0 nexthop via fd77::8 dev v0
	ip -6 route add unreachable fd79::/64 table 77
	ip neigh add 10.77.0.77 lladdr 02:01:01:01:01:01 nud permanent dev v0
	ip nexthop add id 7 via 10.77.0.9 dev v0
	ip route add 10.95.0.0/16 nhid 7
	X
	cycle
}

@test "net: forwarding entries and groups of bridges, vxlan and devices; proxies; IPsec policies" {
	pair
	inside sh -e <<-'X'
	ip link add vx0 type vxlan id 42 dstport 4789
	ip link add mv0 link v0 type macvlan mode bridge
	for d in vx0 mv0; do ip link set $d up; done
	bridge fdb add 02:00:00:00:00:99 dev v1 master static
	bridge fdb add 02:00:00:00:00:97 dev v1 master
	bridge fdb add 02:00:00:00:00:98 dev v0 self
	bridge fdb append 00:00:00:00:00:00 dev vx0 dst 10.77.0.9
	bridge fdb append 00:00:00:00:00:00 dev vx0 dst 10.77.0.8
	bridge fdb add 02:00:00:00:00:96 dev vx0 dst 10.77.0.7
	bridge mdb add dev br0 port v1 grp 239.1.1.1 permanent
	ip neigh add proxy 10.77.0.99 dev v0
	ip -6 neigh add proxy fd77::99 dev v0
	ip xfrm policy add src 10.9.0.0/24 dst 10.8.0.0/24 dir out priority 7 tmpl src 10.0.0.1 dst 10.0.0.2 proto esp mode tunnel
	ip xfrm policy add src fd01::/64 dst fd02::/64 dir in action block
	X
	cycle
}

@test "net: switches of the namespace and of devices" {
	pair
	inside sh -e <<-'X'
	cd /proc/sys/net
	echo 1 >ipv4/conf/v0/forwarding
	echo 2 >ipv4/conf/br0/rp_filter
	echo 1 >ipv4/conf/default/rp_filter
	echo 1 >ipv4/conf/all/forwarding
	echo 0 >ipv6/conf/v0/accept_ra
	echo 1 >ipv6/conf/br0/forwarding
	echo 1 >ipv6/conf/v1/accept_redirects
	echo 1 >ipv4/conf/v0/bc_forwarding
	echo 1 >ipv6/conf/br0/accept_untracked_na
	echo 37 >unix/max_dgram_qlen
	echo 80 >ipv4/ip_unprivileged_port_start
	echo 5000 6000 >ipv4/ip_local_port_range
	echo 5050,5060-5070 >ipv4/ip_local_reserved_ports
	echo 999 >core/somaxconn
	echo 2 >ipv4/tcp_syncookies
	echo 1 >ipv6/bindv6only
	echo 8000000 >ipv4/ipfrag_high_thresh
	echo 7000000 >ipv4/ipfrag_low_thresh
	echo 40000 >ipv4/neigh/v0/base_reachable_time_ms
	echo 5 >ipv6/neigh/v0/ucast_solicit
	echo 5 77 >ipv4/ping_group_range
	X
	cycle
}

@test "net: macvlan, vxlan, tun, tap, ifb; names, aliases, groups" {
	pair
	inside sh -e <<-'X'
	ip link add mv0 link v0 type macvlan mode bridge
	ip link set mv0 up
	ip link add vx0 type vxlan id 42 dstport 4789 remote 10.77.0.77 dev v0
	ip link set vx0 mtu 1300
	ip link add vx1 type vxlan id 43 dstport 4789 local 10.77.0.1 nolearning
	ip tuntap add tap0 mode tap user 33 vnet_hdr
	ip tuntap add tun0 mode tun multi_queue
	ip link set tun0 mtu 1234
	ip addr add 10.5.5.5 peer 10.5.5.6 dev tun0
	ip link add ifb7 type ifb
	ip link set dev ifb7 alias "some thing"
	ip link property add dev ifb7 altname another-name-of-it
	ip link set dev ifb7 txqueuelen 77 group 5
	X
	cycle
}

@test "net: a veth and a device of whoever dumps are attached again" {
	outside ip link add outer type veth peer name eth0 address 02:00:00:00:88:01 netns "$PID"
	outside ip link add hw type veth peer name hwp
	outside ip link set hw netns "$PID"
	inside sh -e <<-'X'
	ip link set eth0 up
	ip link set hw name wan
	ip link set wan up
	ip addr add 10.8.0.1/24 dev eth0
	ip addr add 10.9.0.1/24 dev wan
	ip route add default via 10.8.0.254
	X
	outside sh -e <<-'X'
	ip link add br9 type bridge
	for d in br9 outer hwp; do ip link set $d up; done
	ip link add hw2 type veth peer name hw2p
	ip link set hw2p up
	X
	cycle --external 'netdev[wan]' -- --external 'veth[eth0]:outer2@br9' --external 'netdev[wan]:hw2'
	outside ip link show master br9 | grep -q 'outer2@'
	outside ip link show up dev outer2 | grep -q outer2
}

@test "net: queueing disciplines, classes, filters with actions" {
	pair
	inside sh -e <<-'X'
	ip link add ifb7 type ifb
	ip link set ifb7 up
	tc qdisc add dev v0 root handle 1: htb default 20 r2q 500
	tc class add dev v0 parent 1: classid 1:1 htb rate 10mbit ceil 20mbit
	tc class add dev v0 parent 1:1 classid 1:10 htb rate 3mbit ceil 9mbit prio 1 burst 9k
	tc class add dev v0 parent 1:1 classid 1:20 htb rate 5mbit prio 2 quantum 3000
	tc qdisc add dev v0 parent 1:10 handle 10: tbf rate 1mbit burst 10k latency 70ms peakrate 2mbit mtu 2000
	tc qdisc add dev v0 parent 1:20 handle 20: pfifo limit 77
	tc filter add dev v0 parent 1: protocol ip prio 5 u32 match ip dport 80 0xffff flowid 1:10
	tc filter add dev v0 parent 1: protocol ip prio 5 handle 2: u32 divisor 16
	tc filter add dev v0 parent 1: protocol ip prio 5 u32 ht 2:3: match ip src 10.8.0.0/24 flowid 1:20
	tc filter add dev v0 parent 1: protocol ip prio 5 u32 ht 800: match ip dst 10.8.0.0/16 hashkey mask 0x000f0000 at 0 link 2:
	tc filter add dev v0 parent 1: protocol all prio 9 bpf bytecode '1,6 0 0 4294967295,' flowid 1:20
	tc qdisc add dev v0 ingress
	tc filter add dev v0 parent ffff: protocol ip prio 1 u32 match u32 0 0 action mirred egress redirect dev ifb7
	tc qdisc add dev ifb7 root handle 3: bfifo limit 99999
	tc qdisc add dev lo clsact
	tc filter add dev lo egress protocol ip prio 2 u32 match ip tos 0x10 0xff flowid 1:7
	tc filter add dev lo ingress protocol ip prio 3 u32 match ip protocol 17 0xff flowid 1:8
	X
	control() {
		local d
		for d in v0 ifb7 lo; do
			inside tc -d qdisc show dev "$d" | sed 's/direct_packets_stat [0-9]*//' # counts what the kernel sends
			inside tc -d class show dev "$d"
		done
		inside tc -d filter show dev v0
		inside tc -d filter show dev v0 ingress
		inside tc -d filter show dev lo egress
		inside tc -d filter show dev lo ingress
	}
	control > "$IMG/control"
	grep -q mirred "$IMG/control"
	grep -q 'link 2:' "$IMG/control"
	[ "$(grep -c 'class htb' "$IMG/control")" = 3 ]
	cycle
	control | diff "$IMG/control" - >&2
}

@test "net: a device that cannot be made again is refused before anything stops" {
	pair
	inside ip link add mt link v0 type macvtap
	run dump
	[ "$status" -ne 0 ]
	[[ $output == *"network link mt (macvtap)"*"netdev[mt]"* ]]
	[ ! -e "$IMG/img/netns-9.img" ]
}

@test "net: nftables: sets, maps, counters, NAT; CRIU's lock is left out" {
	pair
	inside nft -f - <<-'X'
	table inet f {
		set s { type ipv4_addr; flags timeout; elements = { 10.1.1.1 timeout 1h } }
		set big { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 22-80 } }
		map m { type inet_service : verdict; elements = { 22 : accept, 23 : drop } }
		counter c { packets 5 bytes 50 }
		quota q { over 10 mbytes }
		chain in {
			type filter hook input priority filter; policy drop;
			iif lo accept
			tcp dport vmap @m
			ip saddr @s counter name c log prefix "include xt " accept comment "a b"
		}
		chain out {
			type filter hook output priority 5
			meta skuid 0 counter packets 77 bytes 99 ct state established accept
			limit rate 5/second burst 9 packets accept
		}
	}
	table ip nat {
		chain post {
			type nat hook postrouting priority srcnat
			oifname "v9" masquerade
			ip saddr 10.1.0.0/16 snat to 1.2.3.4
		}
	}
	X
	until_true settled
	inside nft list ruleset | sed -E 's/expires [0-9a-z]+/expires N/' >"$IMG/before"
	dump
	until_true gone "$PID"
	cat >>"$IMG"/img/nftables-9.img <<'X' # its tabs are the image's
table ip filter {
	chain CRIU {
		meta mark 0x0000c114 counter packets 0 bytes 0 accept
		counter packets 0 bytes 0 drop
	}

	chain INPUT {
		type filter hook input priority filter; policy accept;
		counter packets 0 bytes 0 jump CRIU
	}
}
table inet CRIU-00000000-0000-0000-0000-00000000000a {
	chain input {
		type filter hook input priority 0; policy drop;
	}
}
X
	restore
	inside nft list ruleset | sed -E 's/expires [0-9a-z]+/expires N/' >"$IMG/after"
	run grep CRIU "$IMG/after"
	[ "$status" -eq 1 ]
	grep -q 'chain INPUT' "$IMG/after"
	inside nft delete table ip filter
	inside nft list ruleset | sed -E 's/expires [0-9a-z]+/expires N/' | diff "$IMG/before" -
}

@test "net: tables of iptables-legacy with counters, and sets" {
	pair
	inside sh -e <<-'X'
	ipset create gap bitmap:port range 1-9
	ipset create lists list:set size 5
	ipset create nets hash:net,iface counters comment timeout 4000
	ipset create many hash:ip
	ipset create ports bitmap:port range 1-65535
	ipset destroy gap
	ipset add nets 10.9.0.0/16,lo packets 3 bytes 200 comment 'of the test'
	ipset add nets 10.8.0.0/16,v0 timeout 0
	ipset add ports 80
	ipset add lists ports
	ipset add lists many
	for i in $(seq 250); do for j in $(seq 20); do echo "add many 10.1.$i.$j"; done; done | ipset restore
	iptables-legacy -A INPUT -m set --match-set ports dst -j ACCEPT
	iptables-legacy -N mine
	iptables-legacy -A INPUT -i lo -p udp --dport 9 -m comment --comment 'kept "so"' -j mine
	iptables-legacy -A mine -m limit --limit 5/min -j ACCEPT
	iptables-legacy -A mine -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
	iptables-legacy -P FORWARD DROP
	iptables-legacy -t nat -A POSTROUTING -s 10.77.0.0/24 -j MASQUERADE
	iptables-legacy -t mangle -A PREROUTING -j MARK --set-xmark 0x7/0xff
	ip6tables-legacy -A OUTPUT -p tcp -m multiport --dports 1,2,3 -j REJECT --reject-with tcp-reset
	ip6tables-legacy -P INPUT DROP
	X
	inside bash -c 'echo x > /dev/udp/127.0.0.1/9'
	tables() { # reports of groups are sent now and then: only what they do not match counts the same
		local t
		for t in filter nat mangle; do inside iptables-legacy-save -c -t "$t" | sed '/^#/d; / mine/!s/\[.*\]//'; done
		inside ip6tables-legacy-save | sed '/^#/d; s/\[.*\]//'
		inside ipset save -sorted | sed 's/timeout 39[0-9]*/timeout N/'
	}
	tables > "$IMG/tables"
	grep -q '^\[[1-9].*dport 9' "$IMG/tables"
	dump
	until_true gone "$PID"
	cp "$IMG"/img/xtables-*.img "$IMG/whole"
	for at in 0 80 84 178; do # family, number of entries, their size, where the second one begins
		printf '\377\377\377' | dd of="$(echo "$IMG"/img/xtables-*.img)" bs=1 seek="$at" conv=notrunc status=none
		run restore
		[ "$status" -eq 1 ]
		[[ $output == *Error*table* ]] || { echo "$output" >&2; false; }
		cp "$IMG/whole" "$(echo "$IMG"/img/xtables-*.img)"
	done
	restore
	tables | diff "$IMG/tables" - >&2
}

@test "net: a ruleset that would read files is refused" {
	dump
	until_true gone "$PID"
	echo 'include "/etc/hostname"' >"$IMG"/img/nftables-9.img
	run outside "$BUILD/stasis" restore -D "$IMG/img" -d
	[ "$status" -ne 0 ]
	[[ $output == *"nftables-9.img: is not a ruleset"* ]]
}

monitor() {
	nsenter -t "$PID" -n nft monitor </dev/null >"$IMG/mon" 2>/dev/null 3>&- &
	MON=$!
	# it listens once it tells of something
	until_true eval 'inside nft add table ip probe; grep -q probe "$IMG/mon"'
	inside nft delete table ip probe
}

@test "net: locked during the dump, unlocked afterwards; the lock is in no image" {
	pair
	monitor
	dump --leave-running
	until_true grep -q 'delete table inet CRIU-' "$IMG/mon"
	grep -q 'output { type filter hook output .* policy drop' "$IMG/mon"
	grep -q 'input { type filter hook input .* policy drop' "$IMG/mon"
	[ -z "$(inside nft list ruleset)" ]
	[ ! -e "$IMG/img/nftables-9.img" ]
	: >"$IMG/mon"
	dump --leave-running --network-lock skip
	inside nft add table ip probe
	until_true grep -q 'table ip probe' "$IMG/mon"
	run grep CRIU "$IMG/mon"
	[ "$status" -eq 1 ]
}

@test "net: locked during a restore, before its devices are up" {
	outside ip link add outer type veth peer name eth0 netns "$PID"
	inside ip link set eth0 up
	printf '#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" != post-setup-namespaces ] || nsenter -t "$CRTOOLS_INIT_PID" -n nft list tables >%s\n' \
		"$IMG/tables" >"$IMG/look"
	chmod +x "$IMG/look"
	dump
	until_true gone "$PID"
	restore --external 'veth[eth0]:outer' --action-script "$IMG/look"
	grep -q 'table inet CRIU-' "$IMG/tables"
	[ -z "$(inside nft list tables)" ]
}

@test "net: killed in a dump, the lock goes too" {
	kill -9 "$PID"
	start 600 # takes a while to write
	pair
	monitor
	nsenter -t "$OUT" -n "$BUILD/stasis" dump -t "$PID" -D "$IMG/img" </dev/null >/dev/null 2>&1 3>&- &
	DUMP=$!
	until_true grep -q 'create table inet CRIU-' "$IMG/mon"
	kill -STOP "$DUMP"
	inside nft list ruleset | grep -q CRIU-
	kill -9 "$DUMP"
	until_true eval '[ -z "$(inside nft list ruleset)" ]'
	grep -q 'create table inet CRIU-' "$IMG/mon"
	[ ! -e "$IMG/img/inventory.img" ]
	until_true grep -q 'State:.S' "/proc/$PID/status"
}

@test "net: a connection from outside goes on, behind a filter that tracks it" {
	outside ip link add outer type veth peer name eth0 address 02:00:00:00:88:01 netns "$PID"
	outside sh -e <<-'X'
	ip link add br9 type bridge
	ip link set outer master br9
	ip link set br9 up
	ip link set outer up
	ip addr add 10.8.0.254/24 dev br9
	X
	inside sh -e <<-'X'
	ip link set eth0 up
	ip addr add 10.8.0.1/24 dev eth0
	# no packet passes but those of connections that are known
	nft -f - <<-'N'
	table inet f {
		chain in {
			type filter hook input priority 0; policy drop;
			ct state established,related accept
			meta l4proto { icmp, ipv6-icmp } accept
			tcp dport 7 tcp flags syn / syn,ack,rst,fin ct state new accept
		}
	}
	N
	X
	OLD=$PID
	nsenter -t "$PID" -n setsid "$(python3 -c 'import sys; print(sys.executable)')" -c '
import socket, sys
l = socket.create_server(("10.8.0.1", 7))
c, _ = l.accept()
while True:
    d = c.recv(65536)
    if not d:
        break
    c.sendall(d)' </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true eval 'nsenter -t "$OLD" -n ss -ltn | grep -q 10.8.0.1:7'
	kill -9 "$OLD"
	nsenter -t "$OUT" -n "$(python3 -c 'import sys; print(sys.executable)')" -c '
import socket, sys, os
c = socket.create_connection(("10.8.0.1", 7))
n = 0
while not os.path.exists(sys.argv[1] + ".stop"):
    d = os.urandom(5000)
    c.sendall(d)
    got = b""
    while len(got) < len(d):
        got += c.recv(65536)
    assert got == d
    n += 1
    open(sys.argv[1], "w").write(str(n))
open(sys.argv[1], "w").write("OK")' "$IMG/client" </dev/null >/dev/null 2>"$IMG/said" 3>&- &
	CLIENT=$!
	until_true test -s "$IMG/client"
	dump --tcp-established
	until_true gone "$PID"
	n=$(cat "$IMG/client")
	restore --tcp-established --external 'veth[eth0]:outer@br9'
	until_true eval '[ "$(cat "$IMG/client")" -gt $((n + 3)) ]'
	inside cat /proc/net/nf_conntrack | grep -q 'dport=7 .*ASSURED'
	touch "$IMG/client.stop"
	until_true grep -q OK "$IMG/client"
}

# a server in the container and two clients outside, by IPv4 and IPv6, that send something while it is away: they try
# again 0.2, 0.4, 0.8 ... seconds after their last try
@test "net: clients that sent while the tree was away need not wait for their next try" {
	outside sh -e <<-'X'
	ip link add outer type veth peer name eth0 address 02:00:00:00:88:01
	ip link add keep type veth peer name keep2
	ip link add br9 type bridge
	ip link set outer master br9
	ip link set keep master br9
	for d in br9 outer keep keep2; do ip link set $d up; done
	ip addr add 10.8.0.254/24 dev br9
	ip addr add fd08::fe/64 dev br9 nodad
	ip neigh replace 10.8.0.1 lladdr 02:00:00:00:88:01 dev br9 nud permanent
	ip neigh replace fd08::1 lladdr 02:00:00:00:88:01 dev br9 nud permanent
	X
	outside ip link set eth0 netns "$PID"
	inside sh -e <<-'X'
	ip link set eth0 up
	ip addr add 10.8.0.1/24 dev eth0
	ip addr add fd08::1/64 dev eth0 nodad
	X
	OLD=$PID
	nsenter -t "$OLD" -n setsid "$(python3 -c 'import sys; print(sys.executable)')" -c '
import select, socket
l = [socket.create_server(("10.8.0.1", 7)), socket.create_server(("fd08::1", 7), family=socket.AF_INET6)]
c = [x.accept()[0] for x in l]
while True:
    for x in select.select(c, [], [])[0]:
        x.sendall(x.recv(4096))' </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true eval '[ "$(nsenter -t "$OLD" -n ss -Hltn | grep -c :7)" = 2 ]'
	kill -9 "$OLD"
	nsenter -t "$OUT" -n "$(python3 -c 'import sys; print(sys.executable)')" -c '
import os, socket, sys, time
c = [socket.create_connection(("10.8.0.1", 7)), socket.create_connection(("fd08::1", 7))]
for x in c:
    x.sendall(b"a")
    assert x.recv(10) == b"a"
open(sys.argv[1], "w").close()
while not os.path.exists(sys.argv[1] + ".go"):
    time.sleep(0.01)
for x in c:
    x.sendall(b"lost")
for x in c:
    assert x.recv(10) == b"lost"
open(sys.argv[1] + ".back", "w").close()' "$IMG/client" </dev/null >/dev/null 2>"$IMG/said" 3>&- &
	CLIENT=$!
	until_true test -e "$IMG/client"
	dump --tcp-established
	until_true gone "$PID"
	touch "$IMG/client.go"
	tried_five() { [ "$(outside ss -Htino dport = :7 | grep -c 'backoff:[5-9]')" = 2 ]; }
	until_true tried_five
	restore --tcp-established --external 'veth[eth0]:outer@br9'
	since=$(date +%s%3N)
	until_true test -e "$IMG/client.back"
	[ $(($(date +%s%3N) - since)) -lt 3000 ] # twice that, if it is left to the clients
}
