# SPDX-License-Identifier: Apache-2.0
# Helpers for bats: a client that sends to an echo server without pause, and compares what comes back.

# load_client DIR ADDRESS PORT [COMMAND...]: the number of round trips is in DIR/trips; COMMAND runs it
load_client() {
	TRIPS=$1/trips
	# not by its shim, which is a shell
	"${@:4}" "$(python3 -c 'import sys; print(sys.executable)')" -c '
import os, socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])))
n = 0
while not os.path.exists(sys.argv[3] + ".stop"):
    d = os.urandom(20000)
    c.sendall(d)
    got = b""
    while len(got) < len(d):
        more = c.recv(65536)
        assert more, "closed"
        got += more
    assert got == d
    n += 1
    with open(sys.argv[3] + ".new", "w") as f:
        f.write(str(n))
    os.rename(sys.argv[3] + ".new", sys.argv[3])
open(sys.argv[3], "w").write("OK")' "$2" "$3" "$TRIPS" </dev/null >/dev/null 2>"$1/client" 3>&- &
	CLIENT=$!
	until_true test -s "$TRIPS" || { cat "$1/client" >&2; return 1; }
}
trips_beyond() { [ "$(cat "$TRIPS")" -gt "$1" ]; }
trips_on() { # more round trips than before, and nobody was reset
	local n
	n=$(cat "$TRIPS")
	until_true trips_beyond "$((n + 3))" || { cat "${TRIPS%trips}client" >&2; return 1; }
}
trips_end() {
	touch "$TRIPS.stop"
	until_true grep -q OK "$TRIPS"
}
