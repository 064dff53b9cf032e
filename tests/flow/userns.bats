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
teardown() { teardown_kind; }

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
