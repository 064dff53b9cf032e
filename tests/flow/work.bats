#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/seccomp task/itimer task/sigaction task/sigpending task/regs mem/anon mem/shared fd/pipe fd/eventfd
# A tree with threads, children, a zombie, timers, signals, pipes: dumped and restored, judged by itself.
bats_require_minimum_version 1.5.0
load ../kit/kind

setup() { setup_work; }
teardown() { teardown_work; }

@test "dump with --leave-running: the tree notices nothing" {
	dump -R
	was=$(beat)
	until_true beats_on "$was"
	verify
}

@test "dump, gone, restored under the same pids, and all is as it was" {
	dump
	until_true gone "$PID"
	restore --pidfile "$IMG/pid"
	[ "$(cat "$IMG/pid")" = "$PID" ]
	was=$(beat)
	until_true beats_on "$was"
	verify
}

@test "into a directory with other images: what an earlier dump left there goes, what is no image stays" {
	dump -R
	cp "$IMG/img/core-$PID.img" "$IMG"
	cp "$IMG/img/core-$PID.img" "$IMG/img/core-32000.img"
	cp "$IMG/img/core-$PID.img" "$IMG/img/cpuinfo.img"
	cp "$IMG/img/core-$PID.img" "$IMG/img/mine"
	echo disk > "$IMG/img/disk.img"
	ln -s "$IMG/core-$PID.img" "$IMG/img/link.img"
	dump
	[ ! -e "$IMG/img/core-32000.img" ]
	[ "$(cat "$IMG/img/disk.img")" = disk ]
	[ -e "$IMG/img/cpuinfo.img" ] && [ -e "$IMG/img/mine" ] && [ -L "$IMG/img/link.img" ] && [ -e "$IMG/core-$PID.img" ]
	until_true gone "$PID"
	rm "$IMG/img/cpuinfo.img"
	restore
	was=$(beat)
	until_true beats_on "$was"
	verify
}

@test "ten generations" {
	for i in $(seq 10); do
		dump
		until_true gone "$PID"
		restore
		was=$(beat)
		until_true beats_on "$was"
	done
	verify
}

@test "two generations, in namespaces too" {
	teardown_work
	setup_kind
	AROUND="spaces user" keeps work all
	teardown_kind
}

@test "two generations in own namespaces with the host's files" {
	local outer
	teardown_work
	setup_kind
	unshare -pmiun --fork --mount-proc "$BUILD/tests/kit/work" all "$D" </dev/null >/dev/null 2>&1 3>&- &
	outer=$!
	until_true is_ready "$D"
	PID=$(tr -d ' ' <"/proc/$outer/task/$outer/children")
	OPTS=(--root /)
	cycle
	cycle
	verify
	teardown_kind
}

@test "what parent and child share by copy-on-write is shared after the restore" {
	dump
	until_true gone "$PID"
	restore
	shared=$(awk '/^Shared_Dirty/ {print $2}' "/proc/$PID/smaps_rollup")
	[ "$shared" -gt 3000 ]
	verify
}

@test "a stopped tree is restored stopped" {
	kill -STOP "$PID"
	until_true grep -q '^State:.T' "/proc/$PID/status"
	dump
	until_true gone "$PID"
	restore
	until_true grep -q '^State:.T' "/proc/$PID/status"
	kill -CONT "$PID"
	verify
}

@test "kill -9 of the supervisor at random moments harms nothing" {
	for i in $(seq 200); do
		dump_exec -R >/dev/null 2>&1 3>&- &
		d=$!
		read -rt "0.0$((RANDOM % 40 / 10))$((RANDOM % 10))" <> <(:) || true
		kill -9 "$d" 2>/dev/null || true
		wait "$d" || true
	done
	was=$(beat)
	until_true beats_on "$was"
	run ! grep -q rwxs "/proc/$PID/maps"
	verify
}

# the script is told of the step while all agents run
@test "kill -9 of the supervisor and its tracer together: the agents cure the tasks themselves" {
	cat > "$IMG/both" <<-'END'
		#!/bin/sh
		[ "$CRTOOLS_SCRIPT_ACTION" = post-dump ] || exit 0
		kill -9 $(pgrep -P "$PPID" -x stasis-warden) && kill -9 "$PPID"
	END
	chmod +x "$IMG/both"
	for i in $(seq 20); do
		run dump -R --action-script "$IMG/both"
		[ "$status" -eq 137 ]
		was=$(beat)
		until_true beats_on "$was"
	done
	verify
}

nothing_or_all() { gone "$PID" || beats_on "$1"; }

@test "kill -9 of a restore at random moments leaves nothing behind, or all of it running" {
	dump
	until_true gone "$PID"
	for i in $(seq 50); do
		was=$(beat)
		restore_exec >/dev/null 2>&1 3>&- &
		d=$!
		read -rt "0.00$((RANDOM % 10))" <> <(:) || true
		kill -9 "$d" 2>/dev/null || true
		wait "$d" || true
		until_true nothing_or_all "$was"
		gone "$PID" || break # it was quick enough
	done
	! gone "$PID" || restore
	verify
}
