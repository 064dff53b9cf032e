#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/landlock
# Landlock domains, which cannot be kept, are reported.
load ../kit/helper

setup() { IMG=$(mktemp -d); chmod 755 "$IMG"; mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; }
teardown() { kill -9 "$PID" 2>/dev/null || true; rm -rf "$IMG"; }

start() { # start CASE
	"$BUILD/tests/kit/landlock" "$1" "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true eval 'test -e "$IMG/d/ready" || ! kill -0 "$PID" 2>/dev/null'
	[ -e "$IMG/d/ready" ] || skip "this kernel has no Landlock"
}

told() { grep -q "is in a Landlock domain" "$IMG/img/log"; }

@test "a domain of root's, and of a user's, for files or ports" {
	local c
	for c in fs net user-fs user-net; do
		start $c
		dump -R -v4 -o log
		told || { echo "$c"; return 1; }
		kill -9 "$PID"
		until_true gone "$PID"
		rm -f "$IMG/d/ready"
	done
}
@test "who is in none is not reported" {
	local c
	for c in free user-free; do
		start $c
		dump -R -v4 -o log
		! told || { echo "$c"; return 1; }
		kill -9 "$PID"
		until_true gone "$PID"
		rm -f "$IMG/d/ready"
	done
}
@test "in a pid namespace, and nobody is left behind" {
	unshare -pf --kill-child "$BUILD/tests/kit/landlock" fs "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	local outer=$!
	until_true test -e "$IMG/d/ready"
	PID=$(cat "/proc/$outer/task/$outer/children")
	PID=${PID% }
	dump -R -v4 -o log
	told
	[ -z "$(cat "/proc/$PID/task/$PID/children")" ]
	! pgrep -P $$ -x stasis
}
