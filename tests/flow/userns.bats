#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: ns/user task/rlimit task/creds
# An own user namespace: programs of the kit on a tmpfs that belongs to it, judged by themselves.
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	mkdir -p "$IMG/img" "$IMG/root"/{bin,proc,d,out,dev/pts}
	ln -s pts/ptmx "$IMG/root/dev/ptmx"
	W=
	PID=
}
teardown() {
	[ -z "$PID" ] || kill -9 "$PID" 2>/dev/null || true
	umount "$IMG/root" 2>/dev/null || true
	rm -rf --one-file-system "$IMG"
}

start() { # start OUT PROGRAM ARGS...
	local p=$2
	W=$IMG/root/out/$1
	cp "$BUILD/tests/kit/mapped" "$BUILD/tests/kit/$p" "$IMG/root/bin"
	chown -hR 100000:100000 "$IMG/root"
	chmod 755 "$IMG"
	"$BUILD/tests/kit/mapped" "$IMG/pid" "$IMG/root" "$1" "/bin/$p" "${@:3}" </dev/null >/dev/null 2>"$IMG/err" 3>&-
	PID=$(cat "$IMG/pid")
	until_true test -e "/proc/$PID/root${!#}/ready" || { cat "$IMG/err" >&2; return 1; }
	chmod 700 "$IMG" # no way for the tasks' root to images and root directory: only for the supervisor
	mount --bind "$IMG/root" "$IMG/root"
	mount --make-private "$IMG/root"
}
again() { # again OPTION...: the next generation
	dump "$@"
	until_true gone "$PID"
	rm -f "$IMG/pid"
	restore --root "$IMG/root" --pidfile "$IMG/pid" "$@"
	PID=$(cat "$IMG/pid")
}
keeps() { # keeps OUT PROGRAM ARGS... [-- OPTION...]
	local args=()
	while [ $# -gt 0 ] && [ "$1" != -- ]; do args+=("$1"); shift; done
	shift || true
	start "${args[@]}"
	[ -n "${ONCE:-}" ] || dump -R "$@"
	again "$@"
	again "$@"
	verify
}

@test "deleted files on its tmpfs" { keeps verdict ghost files /d; }
@test "deleted directories" { keeps verdict ghost dirs /d; }
@test "fifos" { keeps verdict ghost fifo /d; }
@test "a file with another link" { keeps verdict ghost link /d -- --link-remap; }
@test "unix sockets" { ONCE=1 keeps result unix /d; } # a look marks empty datagrams: sk-queue.c
@test "every option of sockets" { keeps verdict sockopts /d -- --tcp-established; }
@test "multicast groups" { keeps verdict sockets groups /d; }
@test "SO_REUSEPORT: listeners of two tasks" { keeps verdict sockets reuseport /d; }
@test "System V IPC" { keeps verdict sysv all /d; }
@test "POSIX message queues" { keeps verdict mqueue all /d; }
@test "terminals that are closed, locked, hung up" { keeps verdict pty halves /d; }
@test "a session on a terminal; /dev/tty from outside" {
	: > "$IMG/root/dev/tty"
	keeps verdict pty session /d -- --external 'mnt[/dev/tty]:/dev/tty'
}
@test "nested pid namespaces" { keeps verdict nest pid /d; }
@test "user namespaces below it" { keeps verdict nsuser levels /d; }
@test "pid namespaces of user namespaces below it" { keeps verdict nsuser pids /d; }
@test "nested ipc namespaces" { keeps verdict nest ipc /d; }
@test "file locks" { keeps verdict locks all /out -- --file-locks; }
@test "epoll" { keeps verdict events epoll /d; }
@test "timers" { keeps verdict events timerfd /d; }
@test "inotify" { keeps verdict events inotify /d; }

seen() { # of the program, from outside
	local p
	p=$(head -n1 "/proc/$PID/task/$PID/children")
	p=${p%% *}
	for f in limits oom_score_adj status; do
		grep -vE '^(Pid|Tgid|PPid|NSpid|NSpgid|NSsid|NStgid|Ngid|Vm|Rss|Sig|Shd|FDSize|HugetlbPages|(non)?vol|THP|Speculation|Cpus|Mems|x86)' "/proc/$p/$f" || true
	done
	chrt -p "$p" | sed 's/.*current//'
	ps -o ni= -p "$p"
	cat "/proc/$PID/setgroups" "/proc/$PID/uid_map" "/proc/$PID/gid_map"
}

@test "owners of everything, a child with other ids; limits and priorities given from outside" {
	local p
	: > "$IMG/root/out/verdict"
	chmod 666 "$IMG/root/out/verdict"
	start verdict owners /d
	p=$(head -n1 "/proc/$PID/task/$PID/children")
	p=${p%% *}
	prlimit --pid "$p" --nofile=500:1000 --memlock=5000000:6000000 --core=1:2
	echo 500 > "/proc/$p/oom_score_adj"
	chrt -r -p 7 "$p"
	seen > "$IMG/before"
	again
	seen > "$IMG/after"
	diff "$IMG/before" "$IMG/after"
	again
	seen > "$IMG/after"
	diff "$IMG/before" "$IMG/after"
	verify
}

is_idle() { # ... and has got as far as main()
	local p
	p=$(pgrep -P "$1" | head -n1)
	[ "$(cat "/proc/$1/comm")" = idle ] || [ "$(cat "/proc/${p:-$1}/comm")" = idle ]
}
alone() { # alone COMMAND...: a task without other namespaces
	"$@" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true is_idle "$PID"
}
refused() { # refused TEXT: and it runs on
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *"$1"* ]] || { echo "$output" >&2; false; }
	kill -0 "$PID"
}

@test "a single task without a pid namespace; one where nobody may set groups" {
	alone unshare -r "$BUILD/tests/kit/idle"
	cp "/proc/$PID/uid_map" "$IMG/before"
	grep -E '^(Groups|Cap|Uid|Gid)' "/proc/$PID/status" >> "$IMG/before"
	[ "$(cat "/proc/$PID/setgroups")" = deny ]
	for g in 1 2; do
		dump
		until_true gone "$PID"
		restore
		cp "/proc/$PID/uid_map" "$IMG/after"
		grep -E '^(Groups|Cap|Uid|Gid)' "/proc/$PID/status" >> "$IMG/after"
		diff "$IMG/before" "$IMG/after"
		[ "$(cat "/proc/$PID/setgroups")" = deny ]
	done
}

@test "a limit of the namespace is reported, as it is not kept" {
	alone unshare -r sh -c "echo 5 > /proc/sys/user/max_net_namespaces; exec '$BUILD/tests/kit/idle'"
	run dump -R
	[ "$status" -eq 0 ]
	[[ "$output" == *"user.max_net_namespaces of 5 is not kept"* ]]
	[ "$(grep -c 'is not kept' <<< "$output")" = 1 ]
}

@test "several tasks without a pid namespace are refused" {
	alone unshare -r sh -c "'$BUILD/tests/kit/idle' & '$BUILD/tests/kit/idle'; :"
	refused "no own pid namespace"
	pkill -9 -P "$PID"
}
@test "one in another is refused" { alone unshare -r unshare -r "$BUILD/tests/kit/idle"; refused "no child of ours"; }
@test "one without a root is refused" { alone unshare -U "$BUILD/tests/kit/idle"; refused "maps no root"; }
@test "a namespace that belongs to another is refused" {
	alone unshare -u unshare -r "$BUILD/tests/kit/idle"
	refused "its uts namespace does not belong to its user namespace"
}

@test "maps in images that are impossible are refused and leave nothing" {
	alone unshare -r "$BUILD/tests/kit/idle"
	dump
	until_true gone "$PID"
	img=$(echo "$IMG"/img/userns-*.img)
	cp "$img" "$IMG/good"
	for at in 12 14 16 18 20; do
		cp "$IMG/good" "$img"
		printf '\xff' | dd of="$img" bs=1 seek="$at" conv=notrunc status=none
		run restore
		[ "$status" -ne 0 ]
		gone "$PID"
	done
	rm "$img"
	run restore
	[ "$status" -ne 0 ]
	[[ "$output" == *userns* ]]
	cp "$IMG/good" "$img"
	restore
}
