#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Containers of runc with a user namespace: their root is user 100000 outside.
bats_require_minimum_version 1.5.0
load ../kit/runc

setup() { setup_runc; }
teardown() {
	teardown_runc
	[ -z "${NET:-}" ] || ip netns del "$NET" || true
}

MAPPED='.linux.namespaces += [{"type":"user"}] |
	.linux.uidMappings = [{"containerID":0,"hostID":100000,"size":65536}] |
	.linux.gidMappings = [{"containerID":0,"hostID":100000,"size":65536}] |
	.process.capabilities |= map_values(. + ["CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE"])'
export COUNT='i=0; while :; do i=$((i+1)); echo $i > /tmp/n && busybox mv /tmp/n /data/count; busybox sleep 0.02; done'

# mapped NAME FILTER: a bundle whose files belong to the container's users
mapped() {
	bundle "$1" "$MAPPED | $2"
	chown -R 100000:100000 "$DIR/$1/rootfs"
	chmod 755 "$DIR"
	FILE=$DIR/$1/rootfs/data/count
}
again() {
	local n
	n=$(number "$FILE")
	until_true counts_beyond "$FILE" "$((n + 3))"
}
no_task() { ! pgrep -f /data/count >/dev/null; }
seen() { # what must be as before
	local p
	p=$(pid_of "$ID")
	cat "/proc/$p/uid_map" "/proc/$p/gid_map"
	grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' "/proc/$p/status"
	cat "/proc/$p/limits" "/proc/$p/oom_score_adj"
	awk '{print $5, $6}' "/proc/$p/mountinfo" | sort
	r exec "$ID" busybox sh -c 'busybox id; busybox stat -c "%n %u:%g %a" /scratch /scratch/* /dev/shm/x /dev/pts /data'
}

@test "busybox counts on, three generations: users, capabilities, mounts, tmpfs" {
	mapped b '.process.args = ["/bin/sh", "-c", env.COUNT] |
		.mounts += [{"destination":"/scratch","type":"tmpfs","source":"tmpfs","options":["nosuid","size=1m","uid=3","gid=4"]}]'
	start b "$ID"
	until_true counts_beyond "$FILE" 3
	r exec "$ID" busybox sh -c 'cd /scratch; echo inside > f; busybox ln f g; busybox chown 5:6 f; busybox mkdir -m 700 d;
		busybox chown 7:7 d; busybox ln -s f s; echo shm > /dev/shm/x; busybox chown 65535:1 /dev/shm/x'
	seen > "$DIR/before"
	for g in 1 2 3; do
		again
		checkpoint "$ID" "$DIR/img$g"
		resume b "$ID" "$DIR/img$g"
		seen > "$DIR/after"
		diff "$DIR/before" "$DIR/after"
	done
	again
	[ "$(r exec "$ID" busybox cat /scratch/s /dev/shm/x)" = "inside
shm" ]
	# what it makes is its root's, and it can
	r exec "$ID" busybox sh -c 'echo new > /scratch/new; [ $(busybox stat -c %u /scratch/new) = 0 ]'
	[ "$(stat -c %u "$FILE")" = 100000 ]
}

@test "a seccomp filter, an outer network namespace that the caller has made" {
	NET=$ID-net
	ip netns add "$NET"
	NET=$NET mapped b '.process.args = ["/bin/sh", "-c", env.COUNT] |
		(.linux.namespaces[] | select(.type == "network")).path = "/run/netns/" + env.NET |
		.mounts |= map(select(.destination | startswith("/sys") | not)) |
		.linux.seccomp = {"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],
		"syscalls":[{"names":["acct","reboot","mount"],"action":"SCMP_ACT_ERRNO"}]}'
	start b "$ID"
	for g in 1 2; do
		until_true counts_beyond "$FILE" 3
		again
		checkpoint "$ID" "$DIR/img$g"
		resume b "$ID" "$DIR/img$g"
		[ "$(stat -Lc %i "/proc/$(pid_of "$ID")/ns/net")" = "$(stat -Lc %i "/run/netns/$NET")" ]
		grep -q 'Seccomp:.*2' "/proc/$(pid_of "$ID")/status"
	done
	again
}

@test "--leave-running: it runs on" {
	mapped b '.process.args = ["/bin/sh", "-c", env.COUNT]'
	start b "$ID"
	until_true counts_beyond "$FILE" 3
	checkpoint "$ID" "$DIR/img" --leave-running
	again
	is "$ID" running
}

@test "kill -9 of criu: in a checkpoint it runs on, in a restore nothing is left" {
	mapped b '.process.args = ["/bin/sh", "-c", env.COUNT]'
	start b "$ID"
	until_true counts_beyond "$FILE" 3
	for i in $(seq 10); do
		checkpoint "$ID" "$DIR/img" --leave-running >/dev/null 2>&1 3>&- &
		kill_criu
		wait $! || true
		until_true no_criu
		again
	done
	rm -rf "$DIR/img"
	checkpoint "$ID" "$DIR/img"
	for i in $(seq 10); do
		IDS="$IDS $ID-$i"
		resume b "$ID-$i" "$DIR/img" >/dev/null 2>&1 3>&- &
		kill_criu
		wait $! || true
		until_true no_criu
		if is "$ID-$i" running; then # it was quick enough
			again
			r kill "$ID-$i" KILL || true
			until_true ended "$ID-$i"
		fi
		r delete -f "$ID-$i" 2>/dev/null || true
		until_true no_task
	done
	resume b "$ID" "$DIR/img"
	again
}

@test "a container on a terminal" {
	mapped b '.process.terminal = true | .process.args = ["/bin/sh", "-c", "while read x; do echo got $x; done"]'
	timeout 60 /usr/bin/python3 "$BATS_TEST_DIRNAME/../kit/console.py" "$DIR" "$STATE" "$ID" 3>&- || { tail -20 "$DIR/img/restore.log"; false; }
}

@test "python3 with threads, subprocesses and sockets, three generations" {
	mapped b '.process.args = ["/usr/bin/python3", "/data/program.py", "/data"] | '"$USR"
	cp "$BATS_TEST_DIRNAME/../kit/program.py" "$DIR/b/rootfs/data"
	chown -R 100000:100000 "$DIR/b/rootfs/data"
	FILE=$DIR/b/rootfs/data/beat
	start b "$ID"
	for g in 1 2 3; do
		until_true counts_beyond "$FILE" 3
		again
		checkpoint "$ID" "$DIR/img$g" --tcp-established
		resume b "$ID" "$DIR/img$g" --tcp-established
	done
	again
	r kill "$ID" TERM
	until_true test -e "$DIR/b/rootfs/data/result"
	[ "$(cat "$DIR/b/rootfs/data/result")" = OK ] || { cat "$DIR/b/rootfs/data/result" >&2; false; }
}

@test "a container in the user namespace of another, as those of a pod: restored into that one, and it can be entered" {
	local first
	mapped a '.process.args = ["/bin/sh", "-c", "while :; do busybox sleep 1; done"]'
	IDS="$ID $ID-first"
	start a "$ID-first"
	first=$(pid_of "$ID-first")
	FIRST=/proc/$first/ns mapped b '.process.args = ["/bin/sh", "-c", env.COUNT] |
		(.linux.namespaces[] | select(.type | test("^(user|uts|ipc)$"))) |= (.path = env.FIRST + "/" + .type)'
	start b "$ID"
	for g in 1 2; do
		until_true counts_beyond "$FILE" 3
		again
		checkpoint "$ID" "$DIR/img$g"
		resume b "$ID" "$DIR/img$g"
		for n in user uts ipc; do
			[ "$(readlink "/proc/$(pid_of "$ID")/ns/$n")" = "$(readlink "/proc/$first/ns/$n")" ] || { echo "$n" >&2; return 1; }
		done
		[ "$(r exec "$ID" busybox id -u)" = 0 ]
	done
	again
}
