#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: inet-more inet-opts
# Every option of every sort of socket that can be set and read back: found and judged by the program itself.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

started() { [ "$SURROUNDING" != plain ] || [ "$(wc -l <"$IMG/said")" -gt "300" ]; }

@test "a dump changes no option" {
	start_kind sockopts all
	dump -R --tcp-established
	verify
}

@test "options are restored" { AROUND="plain user" NO_LOOK=1 keeps sockopts all -- --tcp-established; }

@test "options are restored, in an own network where groups may ping" {
	WITH=(unshare -n sh -c 'echo "0 100" >/proc/sys/net/ipv4/ping_group_range; exec "$@"' -)
	start_kind sockopts all
	grep -q ping6 "$IMG/said"
	cycle --tcp-established
	verify
}

@test "what a connection that was reset had from its first packet is no option that is lost" {
	python3 -c '
import os, signal, socket, struct, sys
os.chdir(sys.argv[1])
s = socket.create_server(("::1", 0), family=socket.AF_INET6)
c = socket.create_connection(s.getsockname()[:2])
a = s.accept()[0]
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
c.close()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
open("ready", "w").close()
signal.sigwait([signal.SIGTERM])
gone = a.recv(1) == b"" # that it was reset is reported as lost
open("verdict.new", "w").write("OK" if gone else "it goes on")
os.rename("verdict.new", "verdict")' "$D" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$D/ready"
	for _ in 1 2; do
		run cycle --tcp-established
		[[ $status = 0 && "$output" != *option* ]] || { echo "$output" >&2; return 1; }
		PID=$(cat "$IMG/pid")
	done
	verify
}
