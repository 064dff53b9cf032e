#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Threads that share with some others only, or are in namespaces of their own; tasks in one memory. They look at
# themselves before and after: in a plain tree, in a container, in a user namespace.
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	mkdir -p "$IMG"/{img,d} "$IMG/root"/{bin,proc,d,out,dev/pts}
	W=$IMG/d/verdict
	PID=
}
teardown() {
	[ -z "$PID" ] || kill -9 "$PID" $(cat /proc/"$PID"/task/*/children 2>/dev/null) 2>/dev/null || true
	umount -R "$IMG/root" 2>/dev/null || true
	rm -rf --one-file-system "$IMG"
}

set_up() { test -e "$1/ready" -o -s "$1/verdict"; }
start() { # start CASE: a plain tree
	setsid "$BUILD/tests/kit/clones" "$1" "$IMG/d" </dev/null >"$IMG/err" 2>&1 3>&- &
	PID=$!
	until_true set_up "$IMG/d"
	[ ! -s "$W" ] || { cat "$W" >&2; return 1; }
}
again() { # again OPTION...: the next generation
	dump "$@"
	until_true gone "$PID"
	rm -f "$IMG/pid"
	restore --pidfile "$IMG/pid" "$@"
	PID=$(cat "$IMG/pid")
}
keeps() {
	start "$1"
	dump -R
	again
	again
	verify
}
contains() { # contains CASE: in a container
	local r=$IMG/root
	mknod "$r/dev/null" c 1 3
	mount --bind "$r" "$r"
	mount --make-private "$r"
	cp "$BUILD/tests/kit/clones" "$r/bin"
	W=$r/d/verdict
	"$BUILD/tests/kit/nest" -c "$r" "$IMG/pid" "$1" /d /bin/clones </dev/null >"$IMG/err" 2>&1 3>&-
	PID=$(cat "$IMG/pid")
	until_true set_up "$r/d"
	[ ! -s "$W" ] || { cat "$W" >&2; return 1; }
	dump -R
	again --root "$r"
	again --root "$r"
	verify
}
maps() { # maps CASE: in a user namespace
	local r=$IMG/root
	W=$r/out/verdict
	ln -s pts/ptmx "$r/dev/ptmx"
	cp "$BUILD/tests/kit/mapped" "$BUILD/tests/kit/clones" "$r/bin"
	chown -hR 100000:100000 "$r"
	chmod 755 "$IMG"
	"$BUILD/tests/kit/mapped" "$IMG/pid" "$r" verdict /bin/clones "$1" /d </dev/null >/dev/null 2>"$IMG/err" 3>&-
	PID=$(cat "$IMG/pid")
	until_true set_up "/proc/$PID/root/d"
	[ ! -s "/proc/$PID/root/d/verdict" ] || { cat "/proc/$PID/root/d/verdict" >&2; return 1; }
	mount --bind "$r" "$r"
	mount --make-private "$r"
	dump -R
	again --root "$r"
	again --root "$r"
	verify
}

@test "threads that share descriptors or directories with some others" { keeps groups; }
@test "... in a container" { contains groups; }
@test "... in a user namespace" { maps groups; }
@test "threads in network, uts, ipc namespaces of their own" { keeps net; }
@test "... in a container: networks and names" { contains net; }
@test "... in a user namespace: networks and names" { maps net; }
@test "threads in mount namespaces of their own" { contains mounts; }
@test "... in a user namespace: mounts" { maps mounts; }
@test "attributes that each thread has alone" { keeps attributes; }
@test "... in a container: attributes" { contains attributes; }
@test "... in a user namespace: attributes" { maps attributes; }
@test "tasks in one memory, with threads and namespaces of their own" { keeps tasks; }
@test "... in a container: tasks in one memory" { contains tasks; }
@test "... in a user namespace: tasks in one memory" { maps tasks; }

settled() { ! pgrep -x stasis-warden >/dev/null; }
killed() { # killed CASE: kill -9 of dumps at random moments, then of supervisor and tracer at once
	start "$1"
	for _ in $(seq 40); do
		dump_exec -R >/dev/null 2>&1 3>&- &
		d=$!
		read -rt "0.0$((RANDOM % 10))$((RANDOM % 10))" <> <(:) || true
		kill -9 "$d" 2>/dev/null || true
		wait "$d" || true
	done
	cat >"$IMG/both" <<-'END'
		#!/bin/sh
		[ "$CRTOOLS_SCRIPT_ACTION" = post-dump ] || exit 0
		kill -9 $(pgrep -P "$PPID" -x stasis-warden) && kill -9 "$PPID"
	END
	chmod +x "$IMG/both"
	for _ in $(seq 5); do
		until_true settled
		run dump -R --action-script "$IMG/both"
		[ "$status" -eq 137 ] || { echo "$status: $output" >&2; return 1; }
	done
	until_true settled
	dump -R # and nothing is left that would be in its way
	verify
}
@test "kill -9 of the supervisor: threads with tables of their own" { killed groups; }
@test "kill -9 of the supervisor: threads in namespaces of their own" { killed net; }
@test "kill -9 of the supervisor: tasks in one memory" { killed tasks; }

@test "kill -9 of a restore leaves nothing behind, or all of it" {
	start tasks
	dump
	until_true gone "$PID"
	for _ in $(seq 20); do
		restore_exec >/dev/null 2>&1 3>&- &
		d=$!
		read -rt "0.0$((RANDOM % 10))" <> <(:) || true
		kill -9 "$d" 2>/dev/null || true
		wait "$d" || true
		until_true settled
		gone "$PID" || break # it was quick enough
		[ -z "$(pgrep -x clones)" ]
	done
	! gone "$PID" || restore
	verify
}
