#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/pipe
# Pipes whose ends the caller hands over at the restore (inherit_fd), and damaged pipe images.
load ../kit/kind

setup() {
	setup_kind
	W=$IMG/verdict
	# it reads one pipe to its end, at a signal; in another lies something unread
	python3 -c '
import os, signal, sys, time
d = sys.argv[1]
r, w = os.pipe()
r2, w2 = os.pipe()
os.write(w, b"old")
os.write(w2, b"unread")
os.close(w)
def judge(*a):
    got = os.read(r, 100), os.read(r2, 100)
    open(d + "/verdict", "w").write("%s %s\n" % (got[0].decode(), got[1].decode()))
    os._exit(0)
signal.signal(signal.SIGTERM, judge)
open(d + "/ready", "w").write("pipe:[%d]\n" % os.fstat(r).st_ino)
while True:
    time.sleep(1000)' "$IMG" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -s "$IMG/ready"
	dump
	until_true gone "$PID"
}
teardown() { teardown_kind; }

# rpc END: restore with that end (0 reading, 1 writing) of a pipe of the caller's
rpc() {
	python3 - "$BUILD/stasis" "$IMG" "$1" <<'PY'
import os, socket, subprocess, sys
prog, d, end = sys.argv[1], sys.argv[2], int(sys.argv[3])
key = open(d + "/ready").read().strip().encode()
p = os.pipe()
os.write(p[1], b"new")
img = os.open(d + "/img", os.O_RDONLY)
def num(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128]); n >>= 7
    return out + bytes([n])
def text(field, v): return num(field << 3 | 2) + num(len(v)) + v
def int_(field, v): return num(field << 3) + num(v)
opts = int_(1, img) + int_(9, 4) + text(10, b"rpc.log") + text(27, text(1, key) + int_(2, p[end]))
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
proc = subprocess.Popen([prog, "swrk", str(b.fileno())], pass_fds=[b.fileno(), img, p[end]])
b.close()
a.send(int_(1, 2) + text(2, opts))
a.settimeout(10)
answer = a.recv(8192)
proc.wait(10)
sys.exit(0 if answer[:4] == b"\x08\x02\x10\x01" else 1)
PY
}

@test "a pipe with contents, whose writer is gone" {
	restore
	kill -TERM "$PID"
	until_true test -s "$W"
	[ "$(cat "$W")" = "old unread" ]
}

@test "the caller's pipe: with what is in it; that the old contents are lost is said" {
	rpc 0
	grep -q 'bytes that were in it are lost' "$IMG/img/rpc.log"
	kill -TERM "$PID"
	until_true test -s "$W"
	[ "$(cat "$W")" = "new unread" ]
}

@test "the caller's wrong end is refused" {
	run rpc 1
	[ "$status" -ne 0 ]
	grep -q 'cannot be read' "$IMG/img/rpc.log"
	gone "$PID"
}

@test "a pipe that stands in its image twice is refused" {
	cp "$IMG/img/pipes-data.img" "$IMG/keep"
	tail -c +9 "$IMG/keep" >> "$IMG/img/pipes-data.img"
	run restore
	[ "$status" -ne 0 ]
	[[ "$output" == *twice* ]]
}
