#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/unix sock-opts sk-queue unix-pending
# Unix sockets: pairs, names, listeners, queues with descriptors. The program checks them itself.
load ../kit/kind

setup() { setup_kind; }
teardown() {
	[ -z "${OTHER:-}" ] || kill -9 "$OTHER" 2>/dev/null || true
	teardown_kind
}

@test "a dump leaves sockets and their queues as they were" {
	start_kind unix all
	dump -R
	verify
}

@test "sockets are restored" { NO_LOOK=1 keeps unix all; } # a look marks empty datagrams: sk-queue.c

@test "kill -9 of a dump at random moments leaves sockets as they were" {
	start_kind unix all
	for i in $(seq 60); do
		dump_exec -R >/dev/null 2>&1 3>&- &
		d=$!
		read -rt "0.0$((RANDOM % 30 / 10))$((RANDOM % 10))" <> <(:) || true
		kill -9 "$d" 2>/dev/null || true
		wait "$d" || true
	done
	verify
}

server() { # a server and its client: PID is the client, OTHER the server; $1 stream or dgram
	python3 -c '
import os, socket, sys, time
d, kind = sys.argv[1:]
t = socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM
s = socket.socket(socket.AF_UNIX, t)
s.bind(d + "/server")
if kind == "stream": s.listen(5)
open(d + "/listening", "w").close()
n = 0
while True:
    if kind == "stream":
        c = s.accept()[0]
        keep = c
    n += 1
    open(d + "/clients.tmp", "w").write(str(n)); os.rename(d + "/clients.tmp", d + "/clients")
    if kind != "stream": s.recv(10)' "$D" "$1" </dev/null >/dev/null 2>&1 3>&- &
	OTHER=$!
	until_true test -e "$D/listening"
	python3 -c '
import os, signal, socket, sys
d, kind = sys.argv[1:]
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM)
s.connect(d + "/server")
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
open(d + "/ready", "w").close()
signal.sigwait([signal.SIGTERM])
s.send(b"x")
open(d + "/verdict.tmp", "w").write("OK"); os.rename(d + "/verdict.tmp", d + "/verdict")' "$D" "$1" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$D/ready"
}

@test "a peer outside the tree is refused before anything is stopped, and named" {
	server stream
	refused "outside the tree (process $OTHER, python3)"
}

@test "a peer outside the tree that is allowed is connected to anew" {
	for kind in stream dgram; do
		clean_kind
		server "$kind"
		ino=$(readlink "/proc/$PID/fd/3" | tr -dc 0-9)
		dump --external "unix[$ino]"
		until_true gone "$PID"
		run restore
		[ "$status" -ne 0 ]
		[[ "$output" == *"outside the tree"* ]]
		restore --external "unix[$ino]"
		verify
		until_true gone "$PID"
		kill -9 "$OTHER"
	done
}

@test "a name that somebody else has meanwhile is not taken away" {
	start_kind unix all
	dump
	until_true gone "$PID"
	rm "$D/listen.sock"
	python3 -c '
import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); s.bind(sys.argv[1] + "/listen.sock"); s.listen(1)
open(sys.argv[1] + "/taken", "w").close()
time.sleep(1000)' "$D" </dev/null >/dev/null 2>&1 3>&- &
	OTHER=$!
	until_true test -e "$D/taken"
	run restore
	[ "$status" -ne 0 ]
	[[ "$output" == *"listen.sock: its name is taken"* ]]
	kill -9 "$OTHER"
	until_true gone "$OTHER"
	restore
	verify
}

@test "-x allows every peer outside, -xINODE only that one" {
	server dgram
	ino=$(readlink "/proc/$PID/fd/3" | tr -dc 0-9)
	run dump -R "--ext-unix-sk=$((ino + 100000))"
	[ "$status" -ne 0 ]
	dump -R "-x$ino"
	rm -rf "$IMG"/img/*
	! by_rpc DUMP "o.pid, o.leave_running, o.ext_unix_sk = $PID, True, True; o.unix_sk_ino.add(inode=$ino + 100000)"
	by_rpc DUMP "o.pid, o.leave_running, o.ext_unix_sk = $PID, True, True; o.unix_sk_ino.add(inode=7); o.unix_sk_ino.add(inode=$ino)"
	rm -rf "$IMG"/img/*
	dump -x
	until_true gone "$PID"
	restore -x
	verify
	kill -9 "$OTHER"
}

@test "clients that have sent something, or were closed, before they were accepted" {
	NO_LOOK=1 keeps early stream
	NO_LOOK=1 keeps early seqpacket
}

@test "clients that have sent something before they were accepted: refused if the tasks are to run on" {
	start_kind early stream
	run dump -R
	[ "$status" -ne 0 ]
	[[ "$output" == *"task $PID: descriptor "*" is a unix socket with clients that have sent data"*"let the server accept them"* ]]
	verify
}

@test "clients that come and go all the time: a dump finds a moment, and one that kills needs none" {
	python3 -c '
import os, signal, socket, sys
d = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.bind(d + "/busy"); s.listen(16)
done = []
signal.signal(signal.SIGTERM, lambda *a: done.append(1))
client = os.fork()
if not client:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    n = 0
    while True:
        c = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        c.connect(d + "/busy")
        c.send(b"%d" % n)
        n += 1
        if n % 2: c.recv(1)
        c.close()
n = 0
while not done:
    c = s.accept()[0]
    if n == 100: open(d + "/ready", "w").close()
    word = c.recv(20)
    if word != b"%d" % n:
        done.append("%r instead of %d" % (word, n))
    n += 1
    try: c.send(b"x")
    except BrokenPipeError: pass
    c.close()
os.kill(client, signal.SIGKILL)
open(d + "/verdict.new", "w").write(done[0] if done[0] != 1 else "OK")
os.rename(d + "/verdict.new", d + "/verdict")' "$D" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$D/ready"
	for _ in $(seq 10); do
		dump -R
		rm -rf "$IMG"/img/*
	done
	for _ in $(seq 10); do cycle; done
	[ ! -e "$W" ]
	verify
}

@test "a file that only a client's message holds: that connection is reported, others are kept" {
	start_kind early lonely
	dump -v2 2>"$IMG/warned"
	grep -q "descriptor [0-9]*: a connection that waits there to be accepted is not kept: a file in a message" "$IMG/warned"
	until_true gone "$PID"
	restore
	verify
}

@test "names that begin in another root: bound before a chroot, and in it" { keeps roots jail; }
@test "names in a mount namespace of its own, where another socket has the same" { AROUND="spaces user" keeps roots away; } # it mounts
