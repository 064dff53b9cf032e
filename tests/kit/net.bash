# SPDX-License-Identifier: Apache-2.0
# The contents of a network namespace, compared by what ip and nft show before and after. $OUT is in the
# namespace of whoever dumps, $PID in the one that is dumped.
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	mkdir "$IMG/img"
	unshare -n "$BUILD/tests/kit/idle" </dev/null >"$IMG/out" 2>/dev/null 3>&- &
	OUT=$!
	until_true test -s "$IMG/out"
	own_net "$OUT"
	start 1
}

# no test works in the network of the machine
own_net() { [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }

start() { # start MIB
	: >"$IMG/in"
	# by its path, as a function in the background would be a shell
	nsenter -t "$OUT" -n unshare -n "$BUILD/tests/kit/idle" "$1" </dev/null >"$IMG/in" 2>/dev/null 3>&- &
	PID=$!
	until_true test -s "$IMG/in"
	own_net "$PID"
}

teardown() {
	local pid
	for pid in $PID $OUT ${MON:-} ${CLIENT:-} ${DUMP:-} ${OLD:-}; do
		kill -9 "$pid" 2>/dev/null || true
	done
	rm -rf "$IMG"
}

outside() { own_net "$OUT" && nsenter -t "$OUT" -n "$@"; }
inside() { own_net "$PID" && nsenter -t "$PID" -n "$@"; }
dump() { outside "$BUILD/stasis" dump -t "$PID" -D "$IMG/img" "$@"; }
restore() {
	outside "$BUILD/stasis" restore -D "$IMG/img" -d --pidfile "$IMG/pid" "$@"
	PID=$(cat "$IMG/pid")
}

# devices are up for good, and no address is tentative
settled() {
	! inside ip -o link show up | grep -v ' lo:' | grep -q 'state DOWN' &&
		! inside ip addr | grep -q tentative
}

# all there is, without what counts time, the index of a peer outside, and routes of the kernel's in the
# order in which devices came up
view() {
	local v
	inside ip -d link
	inside ip -d addr
	for v in -4 -6; do
		inside ip $v -d route show table all | sed '/proto kernel/d'
		inside ip $v -d route show table all | sed '/proto kernel/!d' | sort
		inside ip $v -d rule
	done
	inside ip neigh show nud permanent
	inside ip neigh show proxy
	inside sh -c 'bridge fdb | grep -E "static|permanent" | sort || :'
	inside sh -c 'bridge mdb | grep permanent || :'
	inside ip xfrm policy
	inside ip nexthop
	inside ip netns list-id
	inside nft list ruleset
	more
	inside sh -c 'grep -rs . /proc/sys/net/ipv[46]/conf /proc/sys/net' | grep -vE '/nf_conntrack_count|/route/flush|hash_entries'
}
more() { :; } # what a test looks at besides
seen() {
	view 2>&1 | sed -E 's/_lft [0-9]+sec/_lft N/g; s/expires [0-9a-z]+/expires N/g; s/_timer +[0-9.]+/_timer N/g
		s/@if[0-9]+/@outside/'
}

# dumped, gone, restored: everything is as it was
cycle() { # cycle DUMP-OPTIONS -- RESTORE-OPTIONS
	local opts=()
	until_true settled
	seen >"$IMG/before"
	while [ $# -gt 0 ] && [ "$1" != -- ]; do opts+=("$1"); shift; done
	dump "${opts[@]}"
	until_true gone "$PID"
	[ $# -eq 0 ] || shift
	restore "$@"
	until_seen same
}
# as until_true, for what takes a while to look at
until_seen() {
	local try
	for try in $(seq 40); do
		! "$@" 2>/dev/null || return 0
	done
	"$@"
}
same() { seen >"$IMG/after"; diff "$IMG/before" "$IMG/after" >"$IMG/diff" || { cat "$IMG/diff" >&2; return 1; }; }

pair() {
	inside sh -e <<-'X'
	ip link set lo up
	ip link add v0 index 11 address 02:00:00:00:77:01 type veth peer name v1 index 12 address 02:00:00:00:77:02
	ip link add br0 index 13 address 02:00:00:00:77:03 type bridge forward_delay 300 ageing_time 4000
	ip link set v1 master br0
	ip link set v1 type bridge_slave cost 7 isolated on
	ip link set v0 mtu 1400
	for d in v0 v1 br0; do ip link set $d up; done
	ip addr add 10.77.0.1/24 brd 10.77.0.255 dev v0
	ip addr add 10.77.0.2/24 dev v0
	ip addr add 10.77.1.1/24 dev br0 label br0:x
	ip addr add fd77::1/64 dev v0 nodad
	ip addr add fd77::2/64 dev v0 valid_lft 4000 preferred_lft 3000
	X
}
