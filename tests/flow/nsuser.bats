#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: ns/user
# Tasks in several user namespaces, judged by themselves.
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

again() { # again OPTION...: the next generation
	dump "$@"
	until_true gone "$PID"
	rm -f "$IMG/pid"
	restore --pidfile "$IMG/pid" "$@"
	PID=$(cat "$IMG/pid")
}
same() { # the verdict, and what differs
	verify || { diff "$IMG/d/before" "$IMG/d/after" >&2; false; }
}
keeps() { # keeps CASE [OPTION...]
	chmod 777 "$IMG" "$IMG/d"
	setsid "$BUILD/tests/kit/nsuser" "$1" "$IMG/d" </dev/null >"$IMG/out" 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready" -o -s "$W"
	[ ! -s "$W" ] || { cat "$W" >&2; return 1; }
	dump -R "${@:2}"
	again "${@:2}"
	again "${@:2}"
	same
}

contains() { # contains CASE [OPTION...]: in a container
	local r=$IMG/root
	mkdir -p "$r"/{bin,proc,tmp,mnt,d,ro,own,dev}
	mknod "$r/dev/null" c 1 3
	chmod 777 "$IMG" "$r/d"
	mount --bind "$r" "$r"
	mount --make-private "$r"
	cp "$BUILD/tests/kit/nsuser" "$r/bin"
	W=$r/d/verdict
	"$BUILD/tests/kit/nsuser" -c "$r" "$IMG/pid" "$1" /d </dev/null >"$IMG/out" 2>&1 3>&-
	PID=$(cat "$IMG/pid")
	until_true test -e "$r/d/ready" -o -s "$W"
	[ ! -s "$W" ] || { cat "$W" >&2; return 1; }
	rmdir "$IMG/d"
	ln -s root/d "$IMG/d"
	dump -R "${@:2}"
	again --root "$r" "${@:2}"
	again --root "$r" "${@:2}"
	same
}

@test "maps, owners and rights on two levels" { keeps levels; }
@test "pid namespaces that belong to them: made by unshare and by clone, on two levels; threads" { keeps pids; }
@test "the same in a container" { contains levels; }
@test "pid namespaces in a container" { contains pids; }
@test "mounts: locked ones, its own, a root of its own" { contains mounts; }
