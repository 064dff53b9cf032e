#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: ns/user task/rlimit task/creds
# An own user namespace: programs of the kit on a tmpfs that belongs to it, judged by themselves.
load ../kit/kind

setup() {
	setup_kind
	SURROUNDING=user
	clean_kind
}
teardown() {
	[ -z "${JOINED:-}" ] || kill -9 "$JOINED" 2>/dev/null || true
	teardown_kind
}

@test "a session on a terminal; /dev/tty from outside" {
	rm "$IMG/root/dev/tty"
	: > "$IMG/root/dev/tty"
	start_kind pty session
	cycle --external 'mnt[/dev/tty]:/dev/tty'
	cycle --external 'mnt[/dev/tty]:/dev/tty'
	verify
}

@test "user namespaces below it" { AROUND=user keeps nsuser levels; }
@test "pid namespaces of user namespaces below it" { AROUND=user keeps nsuser pids; }
@test "file locks on the host's file system" { AT=/out; AROUND=user keeps locks all -- --file-locks; }

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
	start_kind owners all
	p=$(head -n1 "/proc/$PID/task/$PID/children")
	p=${p%% *}
	prlimit --pid "$p" --nofile=500:1000 --memlock=5000000:6000000 --core=1:2
	echo 500 > "/proc/$p/oom_score_adj"
	chrt -r -p 7 "$p"
	seen > "$IMG/before"
	cycle
	seen > "$IMG/after"
	diff "$IMG/before" "$IMG/after"
	cycle
	seen > "$IMG/after"
	diff "$IMG/before" "$IMG/after"
	verify
}

owners() { # owners PID: the user namespaces of its namespaces, each once
	/usr/bin/python3 -c '
import fcntl, os, sys
def owner(name):
    with open("/proc/%s/ns/%s" % (sys.argv[1], name)) as f:
        up = fcntl.ioctl(f, 0xb701)  # NS_GET_USERNS
    name = os.readlink("/proc/self/fd/%d" % up)
    os.close(up)
    return name
print(*sorted({owner(n) for n in "cgroup ipc mnt net pid uts".split()}))' "$1"
}
apart() { # apart UID_MAP: who keeps a user namespace, JOINED
	unshare -U "$BUILD/tests/kit/idle" </dev/null >/dev/null 2>&1 3>&- &
	JOINED=$!
	until_true is_idle "$JOINED"
	echo "$1" > "/proc/$JOINED/uid_map"
	echo "$1" > "/proc/$JOINED/gid_map"
}

@test "--join-ns user: the namespace of others, which the others then belong to; of generations to come too" {
	start_kind nsuser levels
	dump
	until_true gone "$PID"
	apart "0 100000 65536"
	run restore "${OPTS[@]}" --join-ns "user:$JOINED,70000,0"
	[ "$status" -ne 0 ]
	[[ $output == *"has no such user or group"* ]]
	run restore "${OPTS[@]}" --join-ns "user:/proc/$JOINED/ns/uts"
	[ "$status" -ne 0 ]
	[[ $output == *"is no user namespace"* ]]
	rm "$IMG/pid"
	restore "${OPTS[@]}" --pidfile "$IMG/pid" --join-ns "user:$JOINED,0,0"
	PID=$(cat "$IMG/pid")
	[ "$(readlink "/proc/$PID/ns/user")" = "$(readlink "/proc/$JOINED/ns/user")" ]
	[ "$(owners "$PID")" = "$(readlink "/proc/$JOINED/ns/user")" ]
	kill "$JOINED"
	cycle
	verify
}

@test "--join-ns user: of a tree of its user's own, into other numbers outside" {
	alone unshare -r "$BUILD/tests/kit/idle"
	dump
	until_true gone "$PID"
	apart "0 200000 10"
	restore --join-ns "user:/proc/$JOINED/ns/user"
	[ "$(readlink "/proc/$PID/ns/user")" = "$(readlink "/proc/$JOINED/ns/user")" ]
	[ "$(awk '/^Uid/ {print $2}' "/proc/$PID/status")" = 200000 ]
	kill "$JOINED"
}

is_idle() { # ... and has got as far as main()
	local p
	p=$(pgrep -P "$1" | head -n1)
	[ "$(cat "/proc/$1/comm")" = idle ] || [ "$(cat "/proc/${p:-$1}/comm")" = idle ]
}
alone() { # alone COMMAND...: a task without other namespaces
	SURROUNDING=plain
	clean_kind
	"$@" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true is_idle "$PID"
}
refused_idle() { # refused_idle TEXT: and it runs on
	not_dumped "$1"
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
	refused_idle "no own pid namespace"
	pkill -9 -P "$PID"
}
@test "one in another is refused" { alone unshare -r unshare -r "$BUILD/tests/kit/idle"; refused_idle "no child of ours"; }
@test "one without a root is refused" { alone unshare -U "$BUILD/tests/kit/idle"; refused_idle "maps no root"; }
@test "a namespace that belongs to another is refused" {
	alone unshare -u unshare -r "$BUILD/tests/kit/idle"
	refused_idle "its uts namespace does not belong to its user namespace"
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
