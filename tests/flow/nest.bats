#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: ns/pid ns/ipc
# Nested namespaces: tasks that are in others than the root task, judged by themselves.
load ../kit/kind

setup() {
	setup_kind
	WITH=(setsid)
}
teardown() {
	[ ! -d "$IMG/root" ] || { end_kind; umount -R "$IMG/root" 2>/dev/null || true; }
	rmdir /sys/fs/cgroup/{devices,freezer,pids}/stasis-nest-$$ 2>/dev/null || true
	teardown_kind
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
	OPTS=(--root "$r")
	cycle "${@:2}"
	cycle "${@:2}"
	verify
}

@test "proc of a nested pid namespace; a root of its own" { contains proc; }
@test "descriptors of dead tasks and of a nested pid namespace" { contains fds; }
@test "ipc: equal ids in three namespaces" { contains ipc; }
@test "ipc: the same below a user namespace" { AROUND=user keeps nest ipc; }
@test "pid: two levels; joined from outside, dead, orphans, leaders that are dead; death of its first task" { keeps nest pid; }

# a container made by runc in another container; cgroups are the host's, so its name is ours alone
host_container() { # host_container ROOT NAME
	local d r=$1
	mount --bind "$r" "$r"
	mount --make-private "$r"
	mkdir -p "$r"/{usr,proc,sys,dev,tmp,run,etc,b/rootfs/{bin,proc,dev,sys,tmp}}
	for d in bin sbin lib lib64; do ln -s "usr/$d" "$r/$d"; done
	cp -a /dev/{null,zero,full,random,urandom,tty} "$r/dev/"
	cp "$(command -v busybox)" "$r/b/rootfs/bin/busybox"
	ln -s busybox "$r/b/rootfs/bin/sh"
	(cd "$r/b" && runc spec && jq '.process.terminal = false | .process.args = ["sh", "-c",
		"i=0; while :; do i=$((i+1)); echo $i > /tmp/.n; busybox mv /tmp/.n /tmp/n; busybox sleep 0.02; done"] |
		.mounts += [{"destination":"/tmp","type":"tmpfs","source":"tmp"}]' config.json >c && mv c config.json)
	cat >"$r/init" <<-END
		#!/bin/sh
		mount -t sysfs sys /sys
		mount -t tmpfs c /sys/fs/cgroup
		for c in devices freezer pids; do mkdir /sys/fs/cgroup/\$c; mount -t cgroup -o \$c cgroup /sys/fs/cgroup/\$c; done
		cd /b
		$(command -v runc) --root /run/runc run -d $2 >/run/out 2>&1
		exec sleep 1000
	END
	chmod +x "$r/init"
	unshare -pmiunC --fork sh -c 'echo $$ > "$2"; mount --make-rprivate /; mount --bind /usr "$1/usr"
		mount -t proc proc "$1/proc"; cd "$1"; pivot_root . tmp; cd /; umount -l /tmp; exec setsid /init' \
		sh "$r" "$IMG/inner" </dev/null >"$IMG/out" 2>&1 3>&- &
}
inner_count() { # what the container in the container has counted up to
	local p n
	p=$(head -n1 "/proc/$PID/task/$PID/children" 2>/dev/null || true)
	n=$(cat "/proc/${p%% *}/root/tmp/n" 2>/dev/null || true)
	echo "${n:-0}"
}
counts_beyond() { [ "$(inner_count)" -gt "$1" ]; }

@test "a container of runc in a container" {
	command -v runc >/dev/null && command -v jq >/dev/null || skip "no runc"
	mountpoint -q /sys/fs/cgroup/pids || skip "no cgroup v1"
	local name=stasis-nest-$$ n i
	mkdir "$IMG/root"
	host_container "$IMG/root" "$name"
	OUTER=$!
	host_inits() { PID=$(cat "/proc/$OUTER/task/$OUTER/children" 2>/dev/null); PID=${PID%% *}; [ -n "$PID" ]; }
	until_true host_inits
	until_true counts_beyond 2 || { cat "$IMG/out" "$IMG/root/run/out"; return 1; }
	for i in 1 2; do
		n=$(inner_count)
		rm -f "$IMG/pid"
		dump --external 'mnt[/usr]:usr'
		until_true gone "$PID"
		restore --root "$IMG/root" --pidfile "$IMG/pid" --external 'mnt[usr]:/usr'
		PID=$(cat "$IMG/pid")
		until_true counts_beyond "$((n + 2))"
	done
	# alone in its pid namespace, which /proc there shows
	nsenter -t "$(head -n1 "/proc/$PID/task/$PID/children" | cut -d' ' -f1)" -a /bin/busybox readlink /proc/1/exe
	kill -9 "$PID"
	until_true gone "$PID"
	until_true rmdir "/sys/fs/cgroup"/{devices,freezer,pids}/"$name"
}
