#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: inet-more inet-opts
# Every option of every sort of socket that can be set and read back: found and judged by the program itself.
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	W=$IMG/w/verdict
	mkdir "$IMG/img" "$IMG/w"
}
teardown() { kill -9 "$PID" 2>/dev/null || true; rm -rf "$IMG"; }

start() {
	"$@" "$BUILD/tests/kit/sockopts" "$IMG/w" </dev/null >"$IMG/said" 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/w/ready"
	[ "$(wc -l <"$IMG/said")" -gt "300" ]
}

@test "a dump changes no option" {
	start env
	dump -R --tcp-established
	verify
}

@test "options are restored, on the host" {
	start env
	dump --tcp-established
	until_true gone "$PID"
	restore --tcp-established
	verify
}

@test "options are restored, in an own network where groups may ping" {
	start unshare -n sh -c 'echo "0 100" >/proc/sys/net/ipv4/ping_group_range; exec "$@"' -
	grep -q ping6 "$IMG/said"
	dump --tcp-established
	until_true gone "$PID"
	restore --tcp-established
	verify
}
