#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/tty
# Terminals, judged by those who have them.
load ../kit/kind

setup() {
	setup_kind
	export RPC_PB=$IMG PYTHONPATH=$BATS_TEST_DIRNAME/../kit
}
teardown() {
	[ -z "${OUTER:-}" ] || kill -9 "$OUTER" 2>/dev/null || true
	teardown_kind
}

outside() { # a task whose terminal is held by another: PID, INDEX
	start_kind pty outside
	until_true test -s "$IMG/d/kid"
	OUTER=$PID
	read -r PID INDEX <"$IMG/d/kid"
}

@test "lines and pieces of lines, raw data, modes, size, owner, several open files" { AROUND="plain spaces" keeps pty lines; } # locks: root of the host
@test "sides that are closed, never were open, locked, hung up" { keeps pty halves; }
@test "a session, its foreground group, /dev/tty" { keeps pty session; }

@test "terminals of one number in several devpts" { AROUND="spaces user" keeps pty instances; } # it mounts them
@test "a terminal of a nested mount namespace" { AROUND="spaces user" keeps pty nested; }
@test "a terminal whose other side is outside is refused, with the remedies" {
	outside
	not_dumped --shell-job
	[[ "$output" == *"--external 'tty["* ]]
	verify
}

@test "--external and --inherit-fd: another terminal in its place" {
	outside
	key=tty[$(printf %x "$(stat -c %r "/dev/pts/$INDEX")"):$(printf %x "$(stat -c %d "/dev/pts/$INDEX")")]
	dump --external "$key"
	until_true gone "$PID"
	kill -9 "$OUTER"
	timeout 60 /usr/bin/python3 - "$BUILD/stasis" "$IMG/img" "$key" "$IMG/d" "$PID" <<'END'
import os, pty, subprocess, sys, signal, time
m, s = pty.openpty()
subprocess.run([sys.argv[1], "restore", "-D", sys.argv[2], "-d", "--inherit-fd", f"fd[{s}]:{sys.argv[3]}"], pass_fds=[s], check=True)
assert os.tcgetpgrp(m) == int(sys.argv[5]) # the session has it as its own
os.close(s)
os.kill(int(sys.argv[5]), signal.SIGTERM)
assert os.read(m, 100) == b"hello\r\n"
END
	until_true test -s "$W"
	[ "$(cat "$W")" = OK ]
}

@test "--shell-job: the restorer's terminal in its place" {
	outside
	dump --shell-job
	until_true gone "$PID"
	kill -9 "$OUTER"
	run restore </dev/null
	[ "$status" -ne 0 ]
	[[ "$output" == *--shell-job* ]] || { echo "$output"; false; }
	timeout 60 /usr/bin/python3 - "$BUILD/stasis" "$IMG/img" "$PID" <<'END'
import os, pty, signal, sys
pid, m = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], ["stasis", "restore", "-D", sys.argv[2], "-d", "--shell-job"])
_, status = os.waitpid(pid, 0)
if status:
    sys.exit(os.read(m, 2000).decode())
os.kill(int(sys.argv[3]), signal.SIGTERM)
seen = b""
while b"hello\r\n" not in seen:
    seen += os.read(m, 2000)
assert b"cannot be that" in seen # it is its own session's, and said so
END
	until_true test -s "$W"
	[ "$(cat "$W")" = OK ]
}

@test "orphan_pts_master: the caller gets a master" {
	outside
	protoc -I "$BATS_TEST_DIRNAME/../../images" --python_out="$RPC_PB" rpc.proto
	timeout 60 /usr/bin/python3 - "$IMG/img" "$PID" "$IMG/d" "$OUTER" <<'END'
import fcntl, os, signal, struct, sys, termios
from rpc import *
pid = int(sys.argv[2])
req = opts(sys.argv[1], pid=pid, orphan_pts_master=True, log_file="d.log")
req.type = rpc.DUMP
w = Swrk()
resp = w.ask(req)
assert resp.success, resp
w.end()
os.kill(int(sys.argv[4]), signal.SIGKILL)
req = opts(sys.argv[1], orphan_pts_master=True, notify_scripts=True, log_file="r.log")
req.type = rpc.RESTORE
w = Swrk()
resp = w.ask(req)
assert resp and resp.success, resp
steps = [s for s, _ in w.steps]
assert "orphan-pts-master" in steps and len(w.fds) == 1, (steps, w.fds)
m = w.fds[0]
w.end()
assert struct.unpack("4H", fcntl.ioctl(m, termios.TIOCGWINSZ, bytes(8)))[:2] == (12, 34)
assert struct.unpack("i", fcntl.ioctl(m, termios.TIOCGPGRP, bytes(4)))[0] == pid
os.kill(pid, signal.SIGTERM)
assert os.read(m, 100) == b"hello\r\n"
END
	until_true test -s "$W"
	[ "$(cat "$W")" = OK ]
}
