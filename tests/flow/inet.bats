#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/inet inet-opts inet-tcp sock-opts sk-queue
# Sockets of IPv4 and IPv6, judged by the program that has them.
load ../kit/kind

setup() { setup_kind; }
teardown() {
	[ -z "${ECHO:-}" ] || kill -9 "$ECHO" 2>/dev/null || true
	teardown_kind
}

start() { start_kind inet quiet "$@"; }

# a peer outside the tree: sends back what comes; port.end appears when it is told of an end, or gets a reset
echo_server() {
	python3 -c '
import socket, sys
l = socket.create_server(("127.0.0.1", 0))
open(sys.argv[1], "w").write(str(l.getsockname()[1]) + "\n")
c, _ = l.accept()
try:
    while True:
        d = c.recv(65536)
        if not d:
            break
        c.sendall(d)
finally:
    open(sys.argv[1] + ".end", "w").close()' "$IMG/port" </dev/null >/dev/null 2>&1 3>&- &
	ECHO=$!
	until_true test -s "$IMG/port"
}

@test "undisturbed, the program says OK" {
	start
	verify
}

@test "dump with --leave-running: connections notice nothing" {
	start
	dump -R --tcp-established
	verify
}

@test "dump, gone, restored: all connections go on, listeners accept" {
	keeps inet quiet -- --tcp-established
}

@test "a peer outside the tree: it is not told that the tasks were killed" {
	echo_server
	start "$(cat "$IMG/port")"
	dump -R --tcp-established
	dump --tcp-established
	until_true gone "$PID"
	[ ! -e "$IMG/port.end" ]
	restore --tcp-established
	verify
}

@test "connections are refused without --tcp-established, and the remedy is said" {
	start
	run dump -R
	[ "$status" -ne 0 ]
	[[ "$output" == *--tcp-established* && "$output" == *--tcp-close* ]]
	dump --tcp-established
	until_true gone "$PID"
	run restore
	[ "$status" -ne 0 ]
	[[ "$output" == *--tcp-established* ]]
	restore --tcp-established
	verify
}

@test "kill -9 of the supervisor at random moments: no socket stays in repair mode or locked" {
	echo_server
	start "$(cat "$IMG/port")"
	for i in $(seq 50); do
		dump_exec -R --tcp-established >/dev/null 2>&1 3>&- &
		d=$!
		read -rt "0.0$((RANDOM % 40 / 10))$((RANDOM % 10))" <> <(:) || true
		kill -9 "$d" 2>/dev/null || true
		wait "$d" || true
	done
	until_true grep -q '^TracerPid:.0' "/proc/$PID/status"
	verify
}

waiting_client() {
	python3 -c '
import socket, sys, time
l = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(l.getsockname())
open(sys.argv[1], "w").close()
while True:
    time.sleep(1000)' "$D/ready" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$D/ready"
}

@test "connections that wait to be accepted, where none are kept: refused, or dropped when asked for" {
	waiting_client
	run dump -R --tcp-close
	[ "$status" -ne 0 ]
	[[ "$output" == *--skip-in-flight* ]]
	dump --tcp-established --skip-in-flight
	until_true gone "$PID"
	restore --tcp-established
}

@test "--tcp-close: connections come back as closed sockets" {
	start
	dump --tcp-close
	until_true gone "$PID"
	run restore
	[ "$status" -ne 0 ]
	restore --tcp-close
	# the other task's end has come
	until_true grep -q '^State:.Z' "/proc/$(cat "/proc/$PID/task/$PID/children" | tr -d ' ')/status"
	until_true grep -q '^State:.S' "/proc/$PID/status"
}

# a peer outside that never ceases to send, and counts on being answered in order
@test "20 dumps with --leave-running while a peer outside sends: not a byte is lost" {
	echo_server
	start_kind inet flood "$(cat "$IMG/port")"
	for i in $(seq 20); do
		dump -R --tcp-established
	done
	verify
}

@test "20 generations while two tasks talk to each other: not a byte is lost" {
	start_kind inet flood
	for i in $(seq 20); do
		dump --tcp-established
		until_true gone "$PID"
		restore --tcp-established
		read -rt "0.0$((RANDOM % 10))" <> <(:) || true
	done
	verify
}

@test "kill -9 of a restore at random moments: the peer outside is not told" {
	echo_server
	start "$(cat "$IMG/port")"
	dump --tcp-established
	until_true gone "$PID"
	for i in $(seq 20); do
		restore_exec --tcp-established >/dev/null 2>&1 3>&- &
		d=$!
		read -rt "0.0$((RANDOM % 8))$((RANDOM % 10))" <> <(:) || true
		kill -9 "$d" 2>/dev/null || true
		status=0
		wait "$d" || status=$?
		until_true settled
		[ ! -e "$IMG/port.end" ]
		# what was not done leaves nothing behind, soon; what was is whole
		[ "$status" -ne 0 ] && until_true gone "$PID" || break
	done
	! gone "$PID" || restore --tcp-established
	verify
}

# connections live a moment before the tasks do
@test "kill -9 of a restore whose connections live already, but no task does: the peer is not told" {
	echo_server
	start "$(cat "$IMG/port")"
	dump --tcp-established
	until_true gone "$PID"
	"$BUILD/tests/kit/cut" "$BUILD/stasis" restore -D "$IMG/img" -d --tcp-established
	until_true settled
	until_true gone "$PID"
	[ ! -e "$IMG/port.end" ]
	restore --tcp-established
	verify
}

@test "kill -9 of a restore whose tasks run already, but which has not answered: the peer is not told" {
	echo_server
	start "$(cat "$IMG/port")"
	dump --tcp-established
	until_true gone "$PID"
	cat >"$IMG/late" <<'X'
#!/bin/sh
[ "$CRTOOLS_SCRIPT_ACTION" != post-resume ] || kill -9 "$(cat "$0.pid")"
X
	chmod +x "$IMG/late"
	sh -c 'echo $$ >"$1"; shift; exec "$@"' - "$IMG/late.pid" "$BUILD/stasis" restore -D "$IMG/img" -d \
		--tcp-established --action-script "$IMG/late" || true
	until_true gone "$PID"
	until_true settled
	gone "$PID"
	[ ! -e "$IMG/port.end" ]
	restore --tcp-established
	verify
}

# the warden has ended what it was left with, and somebody has reaped it; before that nothing is decided
settled() {
	! cat /proc/[0-9]*/comm 2>/dev/null | grep -q '^stasis-warden' &&
		! grep -qs '^State:.[ZX]' "/proc/$PID/status"
}
