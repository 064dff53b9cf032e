#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Nested namespaces: tasks that are in others than the root task, judged by themselves.
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	mkdir "$IMG/img" "$IMG/d"
	W=$IMG/d/verdict
	PID=
}
teardown() {
	[ -z "$PID" ] || kill -9 "$PID" 2>/dev/null || true
	umount -R "$IMG/root" 2>/dev/null || true
	rm -rf --one-file-system "$IMG"
}

start() { # start COMMAND...
	setsid "$@" </dev/null >"$IMG/out" 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready" -o -s "$W"
	[ ! -s "$W" ] || { cat "$W" >&2; return 1; }
}
again() { # again OPTION...: the next generation
	dump "$@"
	until_true gone "$PID"
	rm -f "$IMG/pid"
	restore --pidfile "$IMG/pid" "$@"
	PID=$(cat "$IMG/pid")
}
keeps() { # keeps CASE [OPTION...]
	start "$BUILD/tests/kit/nest" "$1" "$IMG/d"
	dump -R "${@:2}"
	again "${@:2}"
	again "${@:2}"
	verify
}

contains() { # contains CASE [OPTION...]: in a container
	local r=$IMG/root
	mkdir -p "$r"/{bin,proc,tmp,mnt,d,sys,dev}
	mknod "$r/dev/null" c 1 3
	mount --bind "$r" "$r"
	mount --make-private "$r"
	cp "$BUILD/tests/kit/nest" "$r/bin"
	ln -s root/d "$IMG/c"
	W=$r/d/verdict
	"$BUILD/tests/kit/nest" -c "$r" "$IMG/pid" "$1" /d </dev/null >"$IMG/out" 2>&1 3>&-
	PID=$(cat "$IMG/pid")
	until_true test -e "$r/d/ready" -o -s "$W"
	[ ! -s "$W" ] || { cat "$W" >&2; return 1; }
	dump -R "${@:2}"
	again --root "$r" "${@:2}"
	again --root "$r" "${@:2}"
	verify
}

@test "proc of a nested pid namespace; a root of its own" { contains proc; }
@test "descriptors of dead tasks and of a nested pid namespace" { contains fds; }
@test "ipc: equal ids in three namespaces" { contains ipc; }
@test "pid: two levels; joined from outside, dead, orphans, leaders that are dead; death of its first task" { keeps pid; }
