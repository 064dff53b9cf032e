#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: net-genl net-link-more net-link-offload net-map net-vlan net-xfrm
# What a network namespace has beside the things of net.bats, and --address-map for all of it.
load ../kit/net

# skip unless this kernel does what is tried
kernel_has() { # kernel_has WHAT COMMAND...
	local said
	said=$(inside "${@:2}" 2>&1) || skip "this kernel has no $1: ${said%%$'\n'*}"
}

# without waiting for somebody who might have the same addresses
ready_pair() {
	inside sh -c 'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad'
	pair
}

@test "net2: nexthop groups and encapsulations, rules of multicast routing, address labels" {
	ready_pair
	inside sh -e <<-'X'
	ip nexthop add id 6 via 10.77.0.8 dev v0
	ip nexthop add id 7 via 10.77.0.9 dev v0
	ip nexthop add id 8 group 7,3/6,2
	ip nexthop add id 9 group 7/6 type resilient buckets 8 idle_timer 5
	ip nexthop add id 12 blackhole
	ip nexthop add id 13 encap ip id 5 dst 10.77.0.9 dev v0
	ip nexthop add id 14 via 10.77.0.7 fdb
	ip route add 10.95.0.0/16 nhid 8
	ip route add 10.94.0.0/16 encap ip id 5 dst 10.77.0.9 dev v0
	ip mrule add iif v0 table 77
	ip -6 mrule add iif v0 table 78
	ip addrlabel add prefix fd05::/64 label 99
	ip addrlabel add prefix fd04::/64 dev v0 label 98
	ip addrlabel del prefix 3ffe::/16 label 12
	ip -6 rule del pref 32766
	X
	more() {
		inside ip mrule
		inside ip -6 mrule
		inside sh -c 'ip addrlabel | sort'
	}
	cycle
}

@test "net2: endpoints and limits of MPTCP" {
	ready_pair
	kernel_has MPTCP ip mptcp limits set subflows 3 add_addr_accepted 4
	inside sh -e <<-'X'
	ip mptcp endpoint add 10.77.0.1 id 3 dev v0 signal
	ip mptcp endpoint add fd77::1 subflow backup
	X
	more() {
		inside ip mptcp endpoint
		inside ip mptcp limits
	}
	cycle
}

@test "net2: IPv6 segment routing and IOAM" {
	ready_pair
	kernel_has "IPv6 segment routing" ip sr tunsrc set fd77::1
	kernel_has IOAM ip ioam namespace add 5 data 77 wide 88
	inside sh -e <<-'X'
	ip ioam namespace add 6
	ip ioam schema add 3 mydata
	ip ioam namespace set 5 schema 3
	ip route add fd09::/64 encap seg6 mode encap segs fd77::9 dev v0
	ip route add fd07::/64 encap seg6local action End dev v0
	X
	more() {
		inside ip sr tunsrc show
		inside sh -c 'ip ioam namespace show | sort'
		inside ip ioam schema show
	}
	cycle
}

@test "net2: IPv6 tokens, groups of ip maddr, sizes of packets, queues, link modes" {
	ready_pair
	inside sh -e <<-'X'
	ip token set ::5 dev v0
	ip maddr add 33:33:00:00:00:77 dev v0
	ip maddr add 01:00:5e:00:00:77 dev br0
	ip link set v0 gso_max_size 30000
	ip link set v0 gso_max_segs 30
	ip link set v1 gro_max_size 40000
	ip link set v1 mode dormant
	ip link add v2 type veth peer name v3
	ip link set v2 master br0
	ip link set v1 type bridge_slave backup_port v2
	ip link add q0 numtxqueues 3 numrxqueues 2 type veth peer name q1 numrxqueues 4
	ip link add mv0 link v0 type macvlan mode source macaddr set 02:00:00:00:00:07 02:00:00:00:00:08
	ip link add mv1 link v0 type macvlan mode private bcqueuelen 77
	ip link set mv1 protodown on protodown_reason 3 on
	for d in v2 v3 mv0 q0 q1; do ip link set $d up; done
	X
	more() {
		inside ip token
		inside sh -c 'sort /proc/net/dev_mcast'
		inside sh -c 'bridge -d link | sort'
	}
	# the addresses that a source macvlan takes stand in the order of a hash
	seen_sorted() { seen | sed -E 's/remotes \(2\) 02:00:00:00:00:0[78] 02:00:00:00:00:0[78]/remotes 7 8/'; }
	until_true settled_but_down
	seen_sorted >"$IMG/before"
	grep -q 'remotes 7 8' "$IMG/before"
	grep -q 'protodown on' "$IMG/before"
	grep -q 'mode DORMANT' "$IMG/before"
	dump
	until_true gone "$PID"
	restore
	until_seen same_sorted
}
# mv1 is never up
settled_but_down() { ! inside ip addr | grep -q tentative; }
same_sorted() { seen_sorted >"$IMG/after"; diff "$IMG/before" "$IMG/after" >&2; }

@test "net2: offloads of devices (ethtool -K)" {
	ready_pair
	offloads() { # offloads [DEVICE COMMAND VALUE]: by ioctl, as ethtool may not be there
		inside /usr/bin/python3 - "$@" <<-'X'
		import array, fcntl, socket, struct, sys
		s = socket.socket()
		def ask(dev, cmd, value=0):
		    a = array.array("I", [cmd, value])
		    fcntl.ioctl(s, 0x8946, struct.pack("16sQ8x", dev.encode(), a.buffer_info()[0])) # SIOCETHTOOL
		    return a[1]
		if sys.argv[1:]:
		    ask(sys.argv[1], int(sys.argv[2], 16), int(sys.argv[3]))
		else:
		    for dev in "v0", "v1", "br0":
		        print(dev, *(ask(dev, c) for c in (0x16, 0x18, 0x1e, 0x23, 0x2b))) # TX, SG, TSO, GSO, GRO
		X
	}
	offloads >"$IMG/fresh"
	offloads v0 0x17 0  # no checksums by the device
	offloads v1 0x2c 1  # GRO
	offloads v0 0x24 0  # no GSO
	offloads br0 0x19 0 # no scatter-gather
	offloads >"$IMG/offloads"
	[ "$(diff "$IMG/fresh" "$IMG/offloads" | grep -c '^>')" = 3 ]
	more() { offloads; }
	cycle
}

@test "net2: switches of bridges for netfilter, counters and timeouts that rules call by name" {
	ready_pair
	inside sh -c 'cd /proc/sys/net/bridge && echo 0 >bridge-nf-call-iptables && echo 1 >bridge-nf-filter-vlan-tagged' ||
		skip "this kernel has no /proc/sys/net/bridge"
	named() { # named add|show: by the kernel's messages, as their tools may not be there
		inside /usr/bin/python3 - "$1" <<-'X'
		import socket, struct, sys
		s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
		def attr(t, d): return struct.pack("HH", 4 + len(d), t) + d + b"\0" * (-len(d) % 4)
		def send(sub, cmd, flags, body):
		    s.send(struct.pack("IHHII", 20 + len(body), sub << 8 | cmd, 1 | flags, 1, 0) + b"\0" * 4 + body)
		if sys.argv[1] == "add":
		    for sub, body in ((7, attr(1, b"count\0") + attr(2, struct.pack(">Q", 5)) + attr(3, struct.pack(">Q", 500))),
		                      (8, attr(1, b"slow\0") + attr(2, struct.pack(">H", 2)) + attr(3, b"\6") +
		                       attr(0x8004, attr(3, struct.pack(">I", 4711))))):
		        send(sub, 0, 0x404, body)
		        if struct.unpack("i", s.recv(65536)[16:20])[0]: sys.exit("refused")
		for sub in 7, 8:
		    send(sub, 1, 0x300, b"")
		    more = True
		    while more:
		        d = s.recv(65536)
		        while d:
		            n, t = struct.unpack("IH", d[:6])
		            more = t != 3
		            if more: print(d[20:n])
		            d = d[n:]
		X
	}
	named add || skip "this kernel has no nfacct or cttimeout"
	more() { named show; }
	more | grep -q count
	more | grep -q slow
	cycle
}

@test "net2: network identifiers of a vxlan" {
	ready_pair
	kernel_has "vnifilter" ip link add vx0 type vxlan dstport 4789 external vnifilter
	inside bridge vni add vni 77 dev vx0
	inside bridge vni add vni 100-110 dev vx0
	inside ip link set vx0 up
	more() { inside bridge vni; }
	cycle
}

@test "net2: VLANs of a bridge and its ports" {
	ready_pair
	kernel_has "VLANs of bridges" ip link set br0 type bridge vlan_filtering 1
	inside sh -e <<-'X'
	ip link add v2 type veth peer name v3
	ip link set v2 master br0
	for d in v2 v3; do ip link set $d up; done
	bridge vlan add dev v1 vid 7
	bridge vlan add dev v1 vid 10-20
	bridge vlan add dev v2 vid 9 pvid untagged
	bridge vlan del dev v2 vid 1
	bridge vlan add dev br0 vid 30 self
	bridge fdb add 02:00:00:00:00:99 dev v1 master static vlan 7
	X
	more() { inside bridge -d vlan show; }
	cycle
}

@test "net2: IPsec: defaults and thresholds" {
	ready_pair
	kernel_has IPsec ip xfrm policy set hthresh4 24 30 hthresh6 100 90
	inside ip xfrm policy setdefault in block
	more() {
		inside ip xfrm policy getdefault
		inside ip -s xfrm policy count
	}
	cycle
}

@test "net2: IPsec: states with keys and sequence numbers" {
	ready_pair
	kernel_has ESP ip xfrm state add src 10.77.0.1 dst 10.77.0.9 proto esp spi 0x100 mode tunnel \
		enc 'cbc(aes)' 0x00112233445566778899aabbccddeeff auth-trunc 'hmac(sha256)' \
		0x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff 128
	inside sh -e <<-'X'
	ip xfrm state add src 10.77.0.9 dst 10.77.0.1 proto esp spi 0x101 reqid 5 mode transport \
		aead 'rfc4106(gcm(aes))' 0x00112233445566778899aabbccddeeff00112233 128 replay-window 64 flag esn \
		sel src 10.77.0.9/32 dst 10.77.0.1/32
	ip xfrm policy add src 10.77.0.1/32 dst 10.77.0.9/32 dir out tmpl src 10.77.0.1 dst 10.77.0.9 proto esp mode tunnel
	ip neigh add 10.77.0.9 lladdr 02:00:00:00:00:02 dev v0 nud permanent
	X
	inside bash -c 'for i in 1 2 3; do echo x >/dev/udp/10.77.0.9/9; done'
	inside ip -s xfrm state | grep -q 'oseq 0x3'
	more() { inside ip -s xfrm state | sed '/use -/d'; }
	cycle
}

@test "net2: ports of FOU, translations of ILA" {
	ready_pair
	kernel_has FOU ip fou add port 5555 ipproto 4
	kernel_has ILA ip ila add loc_match 0:0:0:1 loc 0:0:0:2 dev v0
	inside ip fou add port 5556 gue
	more() { inside ip fou show; }
	cycle
	cp "$IMG"/img/ila-9.img "$IMG/ila" # ip shows locators wrongly
	dump --leave-running
	cmp "$IMG/ila" "$IMG"/img/ila-9.img
}

@test "net2: devices that this kernel may lack: dummy, vlan, ipvlan, vrf" {
	ready_pair
	kernel_has dummy ip link add d0 type dummy
	kernel_has vlan ip link add d0.5 link d0 type vlan id 5 egress-qos-map 1:2 ingress-qos-map 3:4
	kernel_has ipvlan ip link add d1 link d0 type ipvlan mode l3
	kernel_has vrf ip link add d2 type vrf table 10
	inside sh -e <<-'X'
	ip link add d3 link v0 type vlan protocol 802.1ad id 7 gvrp on reorder_hdr off
	ip link set v0 master d2
	for d in d0 d0.5 d1 d2 d3; do ip link set $d up; done
	X
	cycle
}

@test "net2: what is not kept is reported: multicast routing, actions of traffic control" {
	ready_pair
	nsenter -t "$PID" -n /usr/bin/python3 -c '
import signal, socket
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 2)
s.setsockopt(0, 200, 1) # MRT_INIT
print("ready", flush=True)
signal.pause()' </dev/null >"$IMG/mroute" 2>/dev/null 3>&- &
	CLIENT=$!
	until_true test -s "$IMG/mroute"
	inside tc actions add action mirred egress redirect dev v1 index 56
	run dump --leave-running
	[ "$status" -eq 0 ]
	[[ $output == *"its multicast routing (ipv4) is not kept"* ]]
	[[ $output == *"action mirred 56 of traffic control, which no filter uses, is not kept"* ]]
}

mapped_things() { # of addresses that are mapped
	inside sh -e <<-'X'
	ip route add 10.99.0.0/16 via 10.77.0.9 src 10.77.0.1
	ip route add 10.77.0.1/32 dev v1 table 9
	ip route add 10.98.0.0/16 nexthop via 10.77.0.9 dev v0 nexthop via 10.77.0.8 dev v0
	ip nexthop add id 7 via 10.77.0.9 dev v0
	ip -6 route add fd99::/64 via fd77::9 src fd77::1 dev v0
	ip rule add from 10.77.0.1 lookup 77
	ip rule add to 10.77.0.1 lookup 78
	ip rule add from 10.77.0.0/24 lookup 79
	ip -6 rule add from fd77::1 lookup 77
	ip neigh add 10.77.0.9 lladdr 02:01:01:01:01:01 nud permanent dev v0
	ip neigh add proxy 10.77.0.1 dev v1
	ip link add vx0 type vxlan id 42 dstport 4789 local 10.77.0.1 remote 10.77.0.9 dev v0
	bridge fdb append 00:00:00:00:00:00 dev vx0 dst 10.77.0.9
	ip xfrm policy add src 10.77.0.1/32 dst 10.8.0.0/24 dir out tmpl src 10.77.0.1 dst 10.77.0.9 proto esp mode tunnel
	ip mptcp endpoint add 10.77.0.1 id 3 dev v0 signal
	ip mptcp endpoint add fd77::1 id 4 subflow
	ipset create one hash:ip
	ipset add one 10.77.0.1
	ipset add one 10.77.0.3
	ipset create six hash:net,port family inet6
	ipset add six fd77::1/128,tcp:80
	ipset add six fd77::/64,tcp:81
	iptables-legacy -A INPUT -d 10.77.0.1 -p tcp --dport 80 -j ACCEPT
	iptables-legacy -A INPUT -s 10.77.0.0/24 -j ACCEPT
	iptables-legacy -t nat -A POSTROUTING -o v0 -j SNAT --to-source 10.77.0.1
	iptables-legacy -t nat -A PREROUTING -d 10.77.0.1 -p tcp -j DNAT --to-destination 10.77.0.1:81
	ip6tables-legacy -A OUTPUT -s fd77::1 -j ACCEPT
	X
	inside nft -f - <<-'X'
	table inet f {
		set s { type ipv4_addr; elements = { 10.77.0.1, 10.77.0.30 } }
		set i { type ipv4_addr; flags interval; elements = { 10.77.0.0/24, 10.78.0.1-10.78.0.9 } }
		set c { type ipv6_addr . inet_service; elements = { fd77::1 . 80 } }
		map m { type ipv4_addr : verdict; elements = { 10.77.0.1 : accept } }
		chain in {
			type filter hook input priority 0
			ip daddr 10.77.0.1 tcp dport 80 accept
			ip saddr 10.77.0.0/24 accept
			ip6 daddr fd77::1 accept
			ip6 daddr != { fd77::1, fd77::30 } accept
			ip saddr 10.76.0.1-10.77.0.7 log prefix "of fd77::0001 " accept
		}
	}
	table ip6 nat {
		chain pre {
			type nat hook prerouting priority -100
			tcp dport 8080 dnat to [fd77::1]:80
		}
	}
	X
}
map_view() {
	inside sh -c 'ip -4 addr; ip -6 addr' | sed 's/_lft [0-9]*sec/_lft N/g' | grep inet | grep -v fe80: | sort
	inside sh -c 'ip -4 route show table all; ip -6 route show table all' | grep -v 'fe80:\|multicast' | sort
	inside ip rule
	inside ip -6 rule
	inside ip neigh show nud permanent
	inside ip neigh show proxy
	inside ip nexthop
	inside sh -c 'ip -d link show vx0 | grep vxlan; bridge fdb show dev vx0 | sort'
	inside ip xfrm policy
	inside ip mptcp endpoint
	inside sh -c 'ipset save | sort; iptables-legacy-save; ip6tables-legacy-save' | sed '/^#/d; s/\[.*\]//' | sort
	inside nft list ruleset
	inside cat /proc/net/nf_conntrack | sed -E 's/  +/ /g; s/tcp 6 [0-9]+/tcp/; /proto=58| 58 /d; /udp|unknown/d; s/zone=.*//' | sort
}

@test "net2: addresses that are others at restore: devices, routes, rules, neighbours, tunnels, sets, connections" {
	ready_pair
	kernel_has MPTCP ip mptcp limits set subflows 3
	mapped_things
	inside /usr/bin/python3 -c '
import socket
for host, family in ("10.77.0.1", socket.AF_INET), ("fd77::1", socket.AF_INET6):
    l = socket.create_server((host, 700), family=family)
    c = socket.create_connection((host, 700), source_address=(host, 701))
    a = l.accept()[0]
    c.close()
    a.close()'
	until_true settled
	map_view >"$IMG/before"
	grep -q 'src=10.77.0.1 dst=10.77.0.1 sport=701' "$IMG/before"
	sed -E 's/10\.77\.0\.1\>/10.77.0.5/g; s/fd77::1\>/fd77::5/g; s/10\.77\.0\.9\>/10.77.0.19/g; s/fd77::9\>/fd77::19/g
		s/(src=)?fd77:0000:0000:0000:0000:0000:0000:0001/\1fd77:0000:0000:0000:0000:0000:0000:0005/g
		s/10\.77\.0\.19 stays/10.77.0.9 stays/' "$IMG/before" | sort >"$IMG/want"
	dump
	until_true gone "$PID"
	restore --address-map 10.77.0.1=10.77.0.5,fd77::1=fd77::5 --address-map 10.77.0.9=10.77.0.19,fd77::9=fd77::19
	map_view | sort | diff "$IMG/want" - >&2
}

@test "net2: an address of another network at restore" {
	inside sh -e <<-'X'
	ip link add v0 type veth peer name v1
	for d in v0 v1; do ip link set $d up; done
	ip addr add 10.77.0.1/24 brd 10.77.0.255 dev v0
	ip addr add fd77::1/64 dev v0 nodad
	ip route add default via 10.77.0.254
	ip -6 route add default via fd77::ff dev v0
	X
	until_true settled
	net_view() {
		inside sh -c 'ip -4 addr; ip -6 addr' | sed 's/_lft.*//' | grep inet | grep -v fe80: | sort
		inside sh -c 'ip -4 route show table all; ip -6 route show table all' | grep -v 'fe80:\|multicast' | sort
	}
	net_view | sed 's/10\.77\.0/10.88.3/g; s/fd77:/fd88:/g' | sort >"$IMG/want"
	dump
	until_true gone "$PID"
	run restore --address-map 10.77.0.1=10.88.3.1,fd77::1=fd88::1
	[ "$status" -ne 0 ]
	[[ $output == *"route: 1 of"*"--address-map for its gateway, too"* ]] || { echo "$output" >&2; false; }
	restore --address-map 10.77.0.1=10.88.3.1,fd77::1=fd88::1,10.77.0.254=10.88.3.254,fd77::ff=fd88::ff
	net_view | sort | diff "$IMG/want" - >&2
}
