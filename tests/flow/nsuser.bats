#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: ns/user ns/cgroup ns/time ns/mnt
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
	[ -z "${CG:-}" ] || until_true rmdir "$CG/a/b" "$CG/a" "$CG" 2>/dev/null || true
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
@test "cgroup namespaces, each with its top; time namespaces, also one that only children will be in" {
	CG=/sys/fs/cgroup/pids/stasis-nsuser-$$
	if mkdir -p "$CG/a/b" 2>/dev/null; then printf %s "$CG" >"$IMG/d/cgroup"; fi
	keeps others
	[ ! -d "$CG" ] || grep -q '/b$' "$IMG/d/after"
}
@test "the same in a container" { contains levels; }
@test "pid namespaces in a container" { contains pids; }
@test "mounts: locked ones, its own, a root of its own" { contains mounts; }

# a container with this system's programs, and whatever is started in it
programs() { # programs SCRIPT
	local d r=$IMG/root
	mkdir -p "$r"/{usr,proc,sys,dev,tmp,run,etc,d}
	for d in bin sbin lib lib64; do ln -s "usr/$d" "$r/$d"; done
	cp -a /dev/{null,zero,full,random,urandom,tty} "$r/dev/"
	printf 'root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n' >"$r/etc/passwd"
	printf 'root:x:0:\nuser:x:1000:\n' >"$r/etc/group"
	mount --bind "$r" "$r"
	mount --make-private "$r"
	cat >"$r/init" <<-END
		#!/bin/sh
		mount -t sysfs sys /sys
		mkdir /dev/pts && mount -t devpts pts /dev/pts && ln -s pts/ptmx /dev/ptmx
		chmod 777 /run
		cd /
		$1
		exec sleep 1000
	END
	chmod 755 "$r/init" "$IMG"
	unshare -pmiunC --fork sh -c 'mount --make-rprivate /; mount --bind /usr "$1/usr"
		mount -t proc proc "$1/proc"; cd "$1"; pivot_root . tmp; cd /; umount -l /tmp; exec setsid /init' \
		sh "$r" </dev/null >"$IMG/out" 2>&1 3>&- &
	OUTER=$!
	first() { PID=$(cat "/proc/$OUTER/task/$OUTER/children" 2>/dev/null); PID=${PID%% *}; [ -n "$PID" ]; }
	until_true first
}
seen() { # of a task and all below it, as numbers inside
	local p
	tr '\0' ' ' <"/proc/$1/cmdline"
	echo
	grep -E '^(NSpid|Uid|Gid|Groups|Cap|NoNew)' "/proc/$1/status" | sed -E 's/^(NSpid:\t)[0-9]+/\1/'
	cat "/proc/$1/uid_map" "/proc/$1/gid_map" "/proc/$1/setgroups"
	cut -d' ' -f4- "/proc/$1/mountinfo" | sed -E 's/(shared|master):[0-9]+/\1/g' | sort
	for p in $(cat "/proc/$1/task/$1/children"); do seen "$p"; done
}
n_sleeps() { seen "$PID" 2>/dev/null | grep -cE '^sleep 10'; }
sleeps() { [ "$(n_sleeps)" = "$1" ]; }
survives() { # survives N SCRIPT: N sleeping programs
	programs "$2"
	until_true sleeps "$1" || { cat "$IMG/out" >&2; seen "$PID" >&2; return 1; }
	seen "$PID" >"$IMG/before"
	again --root "$IMG/root" --external 'mnt[/usr]:/usr'
	seen "$PID" >"$IMG/after"
	diff "$IMG/before" "$IMG/after"
	again --root "$IMG/root" --external 'mnt[/usr]:/usr'
	seen "$PID" >"$IMG/after"
	diff "$IMG/before" "$IMG/after"
}
BWRAP='bwrap --unshare-all --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp'

@test "unshare, with and without a proc, by root and by a user" {
	survives 4 'unshare -Urpnmf --mount-proc sleep 1001 &
		unshare -UC sleep 1002 &
		setpriv --reuid 1000 --regid 1000 --clear-groups unshare -Urmpf --mount-proc sleep 1003 &'
}
@test "bwrap: by root, by a user, as another user, one in the other" {
	command -v bwrap >/dev/null || skip "no bwrap"
	survives 5 "$BWRAP sleep 1001 &
		setpriv --reuid 1000 --regid 1000 --clear-groups $BWRAP sleep 1002 &
		$BWRAP --uid 1000 --gid 1000 sleep 1003 &
		setpriv --reuid 1000 --regid 1000 --clear-groups $BWRAP bwrap --unshare-all --ro-bind / / --proc /proc sleep 1004 &"
}
@test "network namespaces that no task is in: ip netns, and one held by a descriptor" {
	command -v ip >/dev/null || skip "no ip"
	seen_nets() { # addresses in each, and which are the same
		nsenter -t "$PID" -n -m sh -c 'for n in a b; do ip netns exec $n ip -br addr; done; ls -i /run/netns' | sed 's/[0-9]\{9,\}/N/'
		nsenter --net="/proc/$PID/fd/7" ip -br addr
		findmnt -N "$PID" -rno FSTYPE,OPTIONS,PROPAGATION /run/netns/a
	}
	programs 'ip netns add a; ip netns add b; ip netns add c
		ip -n a link add veth0 type veth peer name veth1 netns b
		ip -n a addr add 10.7.0.1/24 dev veth0; ip -n b addr add 10.7.0.2/24 dev veth1
		ip -n c link add d0 type veth peer name d1; ip -n c addr add 10.8.0.1/24 dev d0
		exec 7</run/netns/c; ip netns del c; sleep 1001 7<&- &'
	until_true sleeps 2 || { cat "$IMG/out" >&2; return 1; }
	seen_nets >"$IMG/before"
	grep -q 10.8.0.1 "$IMG/before" || { cat "$IMG/before" "$IMG/out" >&2; return 1; }
	for i in 1 2; do
		again --root "$IMG/root" --external 'mnt[/usr]:/usr'
		seen_nets >"$IMG/after"
		diff "$IMG/before" "$IMG/after"
	done
}
