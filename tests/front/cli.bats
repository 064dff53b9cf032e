#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0

@test "criu --version" {
	run "$BUILD/criu" --version
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "Version: 4.2" ]
}

@test "no command, an unknown command, an unknown option: usage and 1" {
	for args in "" nonsense "--nonsense dump"; do
		run "$BUILD/criu" $args
		[ "$status" -eq 1 ]
		[[ $output == *Usage:* ]]
	done
}

@test "help: usage and 0" {
	run "$BUILD/stasis" --help
	[ "$status" -eq 0 ]
	[[ $output == *"restore"* ]]
}

@test "swrk answers VERSION, and refuses nonsense" {
	run python3 - "$BUILD/criu" <<'PY'
import socket, subprocess, sys
def ask(data):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    p = subprocess.Popen([sys.argv[1], "swrk", str(b.fileno())], pass_fds=[b.fileno()],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    b.close()
    a.send(data)
    a.settimeout(10)
    try:
        answer = a.recv(8192)
    except (socket.timeout, ConnectionError):
        answer = b""
    return answer, p.wait(10), p.stdout.read()
answer, status, out = ask(b"\x08\x0a")           # type VERSION
assert status == 0 and out == b"", (status, out)
assert answer[:4] == b"\x08\x0a\x10\x01", answer # type VERSION, success
assert b"\x08\x04\x10\x02" in answer, answer     # 4, 2
answer, status, out = ask(b"\x08\x06")           # NOTIFY as first request
assert answer[:4] == b"\x08\x00\x10\x00", answer # EMPTY, no success
assert status == 255, status
answer, status, out = ask(b"\xff\xff\xff\xff")
assert answer == b"" and status == 255, (answer, status)
PY
	echo "$output"
	[ "$status" -eq 0 ]
}
