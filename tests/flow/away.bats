#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: inet-hold net-nft-batch
# Connections of a tree in a network namespace that is not its own, whose peers outside send while it is away.
# That namespace is the host's as far as stasis can tell, and nobody else is in it.
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	mkdir "$IMG/img"
	KIDS=
	space
	HOST=$SPACE
	export V4=127.0.0.1 V6=::1
}
teardown() {
	local pid
	for pid in $KIDS; do kill -9 "$pid" 2>/dev/null || true; done # restored ones have their old numbers
	rm -rf "$IMG"
}

# a process in a network namespace of its own, $SPACE
space() {
	unshare -n sleep 10000 </dev/null >/dev/null 2>&1 3>&- &
	SPACE=$! KIDS+=" $!"
	until_true eval '[ "$(readlink "/proc/$SPACE/ns/net")" != "$(readlink /proc/self/ns/net)" ]'
	nsenter -t "$SPACE" -n ip link set lo up
}

host() { nsenter -t "$HOST" -n "$@"; }
python() { exec nsenter -t "$SPACE" -n setsid python3 "$@"; }
dump_exec() { exec nsenter -t "$HOST" -n "$BUILD/stasis" dump -t "$PID" -D "${AT:-$IMG/img}" "$@"; }
restore_exec() { exec nsenter -t "$HOST" -n "$BUILD/stasis" restore -D "${AT:-$IMG/img}" -d "$@"; }
dump() { (dump_exec --tcp-established "$@") && until_true gone "$PID"; }
dump_on() { (dump_exec --tcp-established -R "$@"); }
restore() { (restore_exec --tcp-established "$@"); }

# echoes what comes by its connections; NAME.ready when it listens: IPv4, IPv6, both by one socket
serve() { # serve NAME PORT
	python - "$IMG/$1" "$2" >/dev/null 2>"$IMG/$1.said" 3>&- <<-'X' &
	import os, select, socket, sys
	port = int(sys.argv[2])
	l = [socket.create_server((os.environ["V4"], port)), socket.create_server((os.environ["V6"], port), family=socket.AF_INET6),
	     socket.create_server(("::", port + 1), family=socket.AF_INET6, dualstack_ipv6=True)]
	c = []
	open(sys.argv[1] + ".ready", "w").close()
	while True:
	    for x in select.select(l + c, [], [])[0]:
	        if x in l:
	            c.append(x.accept()[0])
	        else:
	            d = x.recv(4096)
	            if d:
	                x.sendall(d)
	            else:
	                c.remove(x)
	                x.close()
	X
	PID=$! KIDS+=" $!"
	until_true test -e "$IMG/$1.ready"
}

# clients of the three: NAME.ready when each was answered; they send at NAME.go; NAME.back when each was answered again,
# NAME.reset if one was not
call() { # call NAME PORT
	python - "$IMG/$1" "$2" >/dev/null 2>"$IMG/$1.said" 3>&- <<-'X' &
	import os, socket, sys, time
	name, port = sys.argv[1], int(sys.argv[2])
	c = [socket.create_connection(a) for a in ((os.environ["V4"], port), (os.environ["V6"], port), (os.environ["V4"], port + 1))]
	def all_say(what):
	    for x in c:
	        x.sendall(what)
	def all_hear(what):
	    for x in c:
	        assert x.recv(100) == what
	def tell(what):
	    open(name + what, "w").close()
	all_say(b"hello")
	all_hear(b"hello")
	tell(".ready")
	while not os.path.exists(name + ".go"):
	    time.sleep(0.01)
	try:
	    all_say(b"while you were away")
	    all_hear(b"while you were away")
	    all_say(b"again")
	    all_hear(b"again")
	    for x in c:
	        x.close()
	    tell(".back")
	except OSError:
	    tell(".reset")
	X
	PEER=$! KIDS+=" $!"
	until_true test -e "$IMG/$1.ready"
}

# a server in the tree, $PID, and its clients outside, $PEER
both() {
	serve server 7
	call client 7
}
# each client of PORT has tried to send again, N times at least
tried() { # tried PORT N
	[ "$(host ss -Htinoe dst ":$1" or dst ":$(($1 + 1))" | grep -cE "backoff:([$2-9]|[0-9]{2})")" = 3 ]
}
# action NAME STEP COMMAND: an action script
action() {
	printf '#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" != %s ] || %s\n' "$2" "$3" >"$IMG/$1"
	chmod +x "$IMG/$1"
}
held() { host nft list table inet stasis-away; }
nothing_held() { [ -z "$(host nft list ruleset)" ]; }


@test "away: clients that send while the tree is away are answered after the restore, by IPv4, IPv6 and both" {
	both
	dump
	[ "$(held | grep -cE '\. [78] expires 14m')" = 3 ] || { held >&2; false; }
	touch "$IMG/client.go"
	until_true tried 7 2
	restore
	until_true test -e "$IMG/client.back"
	nothing_held
}

@test "away: a server that answers while its client, the tree, is away" {
	serve server 7
	SERVER=$PID
	call client 7
	PID=$PEER
	kill -STOP "$SERVER"
	touch "$IMG/client.go"
	until_true asked
	dump
	kill -CONT "$SERVER"
	until_true answered
	restore
	until_true test -e "$IMG/client.back"
	nothing_held
}
asked() { [ "$(host ss -Htn src :7 or src :8 | awk '$2 > 0' | wc -l)" = 3 ]; }
answered() { [ "$(host ss -Htinoe src :7 or src :8 | grep -cE 'backoff:([2-9]|[0-9]{2})')" = 3 ]; }

@test "away: a restore that fails leaves the connections held, the next one has them" {
	both
	dump
	touch "$IMG/client.go"
	action no post-restore "exit 1"
	run restore --action-script "$IMG/no"
	[ "$status" -ne 0 ]
	[ "$(held | grep -c expires)" = 3 ]
	until_true tried 7 2
	restore
	until_true test -e "$IMG/client.back"
	nothing_held
}

@test "away: what lives is not cut off, whoever restored it" {
	both
	dump
	held >"$IMG/held"
	restore
	nothing_held
	host nft -f "$IMG/held"
	touch "$IMG/client.go"
	until_true test -e "$IMG/client.back"
}

@test "away: two trees, one after the other; the table goes with the last" {
	both
	A=$PID
	serve server2 9
	call client2 9
	mkdir "$IMG/img2"
	AT=$IMG/img2 dump
	PID=$A
	dump
	[ "$(held | grep -c expires)" = 6 ]
	restore
	[ "$(held | grep -c expires)" = 3 ]
	touch "$IMG/client.go" "$IMG/client2.go"
	until_true test -e "$IMG/client.back"
	until_true tried 9 2
	AT=$IMG/img2 restore
	until_true test -e "$IMG/client2.back"
	nothing_held
}

@test "away: nothing is held if the tasks run on, the dump fails or is told not to" {
	both
	dump_on
	nothing_held
	action no post-dump "exit 1"
	run dump_on --action-script "$IMG/no"
	[ "$status" -ne 0 ]
	nothing_held
	dump --network-lock skip
	nothing_held
	touch "$IMG/client.go"
	until_true test -e "$IMG/client.reset"
}

@test "away: after a kill -9 of the dump the tasks live, and nothing is held" {
	both
	action no post-dump 'kill -9 "$PPID"'
	run dump --action-script "$IMG/no"
	[ "$status" -ne 0 ]
	until_true grep -q '^TracerPid:.0' "/proc/$PID/status"
	nothing_held
	touch "$IMG/client.go"
	until_true test -e "$IMG/client.back"
}

@test "away: connections between two sockets of the tree are not held" {
	python -c '
import socket, sys, time
l = socket.create_server(("127.0.0.1", 7))
c = socket.create_connection(l.getsockname())
a, _ = l.accept()
open(sys.argv[1], "w").close()
while c.sendall(b"x") is None:
    assert a.recv(1) == b"x"
    time.sleep(0.01)' "$IMG/ready" </dev/null >/dev/null 2>&1 3>&- &
	PID=$! KIDS+=" $!"
	until_true test -e "$IMG/ready"
	dump
	nothing_held
	restore
}

@test "away: a namespace of the tree's own that stays, as it is external" {
	space
	host ip link add out type veth peer name in netns "$SPACE"
	host sh -ec 'ip addr add 10.8.0.254/24 dev out; ip addr add fd08::fe/64 dev out nodad; ip link set out up'
	nsenter -t "$SPACE" -n sh -ec 'ip addr add 10.8.0.1/24 dev in; ip addr add fd08::1/64 dev in nodad; ip link set in up'
	V4=10.8.0.1 V6=fd08::1
	serve server 7
	IN=$SPACE SPACE=$HOST
	call client 7
	dump --external "net[$(stat -Lc %i "/proc/$IN/ns/net")]:pod"
	[ "$(nsenter -t "$IN" -n nft list table inet stasis-away | grep -c expires)" = 3 ]
	touch "$IMG/client.go"
	until_true tried 7 2
	restore --inherit-fd 'fd[9]:pod' 9<"/proc/$IN/ns/net"
	until_true test -e "$IMG/client.back"
	[ -z "$(nsenter -t "$IN" -n nft list ruleset)" ]
}
