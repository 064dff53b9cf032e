#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: ns/mnt ns/pid ns/uts mnt-tar ns/cgroup cgroup-dump task/seccomp task/creds
# Containers of Debian's runc: checkpointed and restored by its own commands, with us as its criu.
bats_require_minimum_version 1.5.0
load ../kit/runc

setup() { setup_runc; }
teardown() { teardown_runc; }

COUNT='i=0; while :; do i=$((i+1)); echo $i > /data/n && busybox mv /data/n /data/count; busybox sleep 0.02; done'

# the counter's bundle; --arg cannot go through bundle()
counter() {
	bundle "$1" '.process.args = ["/bin/sh", "-c", env.COUNT] | '"${2:-.}"
	FILE=$DIR/$1/rootfs/data/count
}
export COUNT

again() { # again BUNDLE: it counts on from where it was
	local n
	n=$(number "$FILE")
	until_true counts_beyond "$FILE" "$((n + 3))"
}

@test "busybox: gone after the checkpoint, counts on after the restore" {
	counter b
	start b "$ID"
	until_true counts_beyond "$FILE" 3
	checkpoint "$ID" "$DIR/img"
	[ -z "$(status "$ID")" ]
	n=$(number "$FILE")
	resume b "$ID" "$DIR/img"
	is "$ID" running
	until_true counts_beyond "$FILE" "$((n + 3))"
	# it went on and did not begin anew
	[ "$(number "$FILE")" -lt "$((n + 2000))" ]
	grep -q 'mount .* made' "$DIR/img/restore.log"
	! grep '^([0-9]\{3,\}\.' "$DIR/img/restore.log" # the log has one clock, the time namespace another
	[ "$(r exec "$ID" busybox hostname)" = stasis ]
	r exec "$ID" busybox sh -c '[ "$(busybox cat /proc/1/comm)" = sh ]'
}

@test "--leave-running: it runs on, and can be restored later" {
	counter b "$OWN_DATA"
	start b "$ID"
	count_inside
	until_true counts_beyond "$FILE" 3
	checkpoint "$ID" "$DIR/img" --leave-running
	is "$ID" running
	again b
	n=$(number "$FILE")
	r kill "$ID" KILL
	until_true is "$ID" stopped
	r delete "$ID"
	resume b "$ID" "$DIR/img"
	count_inside
	[ "$(number "$FILE")" -lt "$((n + 2000))" ]
	again b
}

@test "mounts come back as they were, tmpfs with what was in it" {
	counter b
	DIR=$DIR jq '.mounts += [{"destination":"/scratch","type":"tmpfs","source":"tmpfs","options":["nosuid","size=1m"]},
		{"destination":"/mnt/host","type":"bind","source":env.DIR,"options":["rbind","ro"]}] |
		.process.capabilities |= map_values(. + ["CAP_CHOWN", "CAP_MKNOD"])' \
		"$DIR/b/config.json" > "$DIR/c"
	mv "$DIR/c" "$DIR/b/config.json"
	mkdir -p "$DIR/b/rootfs/mnt/host" "$DIR/b/rootfs/scratch"
	start b "$ID"
	until_true counts_beyond "$FILE" 3
	r exec "$ID" busybox sh -c 'cd /scratch; echo inside > f; busybox ln f g; busybox chown 5:6 f;
		busybox mkdir -p d/e; busybox chmod 700 d; busybox ln -s f s; busybox mknod p p; echo shm > /dev/shm/x'
	r exec "$ID" busybox cat /proc/1/mountinfo | awk '{print $5, $6}' | sort > "$DIR/before"
	checkpoint "$ID" "$DIR/img"
	resume b "$ID" "$DIR/img"
	r exec "$ID" busybox cat /proc/1/mountinfo | awk '{print $5, $6}' | sort > "$DIR/after"
	diff "$DIR/before" "$DIR/after"
	[ "$(r exec "$ID" busybox cat /scratch/s /dev/shm/x)" = "inside
shm" ]
	[ "$(r exec "$ID" busybox stat -c '%u:%g %h' /scratch/g)" = "5:6 2" ]
	[ "$(r exec "$ID" busybox stat -c %a /scratch/d)" = 700 ]
	r exec "$ID" busybox sh -c '[ -p /scratch/p ] && [ -d /scratch/d/e ]'
	[ "$(r exec "$ID" busybox ls /mnt/host/b/config.json)" = /mnt/host/b/config.json ]
	run ! r exec "$ID" busybox touch /mnt/host/x
}

@test "ten generations of one container" {
	counter b
	start b "$ID"
	for g in 1 2 3 4 5 6 7 8 9 10; do
		again b
		checkpoint "$ID" "$DIR/img$g"
		resume b "$ID" "$DIR/img$g"
	done
	again b
}

@test "under a new id, from another bundle path" {
	counter b
	start b "$ID"
	until_true counts_beyond "$FILE" 3
	checkpoint "$ID" "$DIR/img"
	cp -a "$DIR/b" "$DIR/other"
	rm -rf "$DIR/b"
	FILE=$DIR/other/rootfs/data/count
	IDS="$IDS $ID-new"
	resume other "$ID-new" "$DIR/img"
	again other
	grep -q "$ID-new" "/proc/$(pid_of "$ID-new")/cgroup"
}

@test "two containers at once" {
	counter a
	counter b
	IDS="$IDS $ID-a"
	start a "$ID-a"
	start b "$ID"
	until_true counts_beyond "$DIR/a/rootfs/data/count" 3
	until_true counts_beyond "$DIR/b/rootfs/data/count" 3
	checkpoint "$ID-a" "$DIR/img-a" &
	checkpoint "$ID" "$DIR/img-b"
	wait $!
	resume a "$ID-a" "$DIR/img-a" &
	resume b "$ID" "$DIR/img-b"
	wait $!
	FILE=$DIR/a/rootfs/data/count again a
	FILE=$DIR/b/rootfs/data/count again b
}

@test "standard output on a file outside the container, on a pipe, on /dev/null" {
	bundle b '.process.args = ["/bin/sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; busybox sleep 0.02; done"]'
	last() { tail -n1 "$DIR/out" 2>/dev/null; }
	beyond() { local n; n=$(last); [ "${n:-0}" -gt "$1" ]; }
	start b "$ID"
	until_true beyond 3
	checkpoint "$ID" "$DIR/img"
	n=$(last)
	resume b "$ID" "$DIR/img" # its output goes into a new file of that name
	until_true beyond "$((n + 3))"
	head -n1 "$DIR/out" | grep -qx "[0-9]*"
	r delete -f "$ID"
	# a pipe: the new one takes the place of the old
	mkfifo "$DIR/pipe"
	cat "$DIR/pipe" > "$DIR/out" 3>&- &
	r run -d --bundle "$DIR/b" "$ID" </dev/null >"$DIR/pipe" 2>"$DIR/err" 3>&-
	until_true beyond 3
	checkpoint "$ID" "$DIR/img2"
	n=$(last)
	cat "$DIR/pipe" > "$DIR/out" 3>&- &
	r restore -d --bundle "$DIR/b" --image-path "$DIR/img2" "$ID" </dev/null >"$DIR/pipe" 2>"$DIR/err" 3>&-
	until_true beyond "$((n + 3))"
	r delete -f "$ID"
	r run -d --bundle "$DIR/b" "$ID" </dev/null >/dev/null 2>&1 3>&-
	checkpoint "$ID" "$DIR/img3"
	r restore -d --bundle "$DIR/b" --image-path "$DIR/img3" "$ID" </dev/null >/dev/null 2>&1 3>&-
	is "$ID" running
}

@test "a shell pipeline loses nothing" {
	bundle b '.process.args = ["/bin/sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; busybox sleep 0.01; done | busybox cat | (n=0; while read x; do [ $x = $((n+1)) ] || echo $n $x >> /data/wrong; n=$x; echo $x > /tmp/n; busybox mv /tmp/n /data/count; done)"]'
	FILE=$DIR/b/rootfs/data/count
	start b "$ID"
	for g in 1 2 3; do
		again b
		checkpoint "$ID" "$DIR/img$g"
		resume b "$ID" "$DIR/img$g"
	done
	again b
	[ ! -e "$DIR/b/rootfs/data/wrong" ]
}

@test "redis-server with 200 MB and an AOF file, key by key" {
	bundle b '.process.args = ["/usr/bin/redis-server", "--appendonly", "yes", "--save", "", "--dir", "/data",
		"--auto-aof-rewrite-percentage", "0"] | '"$USR"
	start b "$ID"
	inside() { nsenter -t "$(pid_of "$ID")" -n "$@"; }
	until_true inside redis-cli ping >/dev/null
	inside python3 "$BATS_TEST_DIRNAME/../kit/keys.py" fill 6379 40000 5000
	checkpoint "$ID" "$DIR/img"
	resume b "$ID" "$DIR/img"
	inside python3 "$BATS_TEST_DIRNAME/../kit/keys.py" check 6379 40000 5000
	[ "$(inside redis-cli set after yes)" = OK ]
	until_true grep -aq after "$DIR/b/rootfs/data/appendonlydir/"*.incr.aof
}

@test "redis-server with a client inside the container" {
	bundle b '.process.args = ["/bin/sh", "-c", "redis-server --save \"\" --dir /data > /dev/null & while :; do redis-cli -r -1 -i 0.02 incr n; done > /data/log 2>&1"] | '"$USR"
	FILE=$DIR/count
	start b "$ID"
	last() { grep -aE '^[0-9]+$' "$DIR/b/rootfs/data/log" 2>/dev/null | tail -n1; }
	beyond() { local n; n=$(last); [ "${n:-0}" -gt "$1" ]; }
	until_true beyond 5
	checkpoint "$ID" "$DIR/img" --tcp-established
	n=$(last)
	resume b "$ID" "$DIR/img" --tcp-established
	until_true beyond "$((n + 5))"
	# one connection all the time: never refused, no number left out
	awk '/^[0-9]/ { if (n && $1 != n + 1) exit 1; n = $1 } /rror/ && n { exit 1 }' "$DIR/b/rootfs/data/log"
}

@test "python3 with threads, subprocesses and sockets, three generations" {
	bundle b '.process.args = ["/usr/bin/python3", "/data/program.py", "/data"] | '"$USR"
	cp "$BATS_TEST_DIRNAME/../kit/program.py" "$DIR/b/rootfs/data"
	FILE=$DIR/b/rootfs/data/beat
	start b "$ID"
	for g in 1 2 3; do
		until_true counts_beyond "$FILE" 3
		again b
		checkpoint "$ID" "$DIR/img$g" --tcp-established
		resume b "$ID" "$DIR/img$g" --tcp-established
	done
	again b
	r kill "$ID" TERM
	until_true test -e "$DIR/b/rootfs/data/result"
	[ "$(cat "$DIR/b/rootfs/data/result")" = OK ] || { cat "$DIR/b/rootfs/data/result" >&2; false; }
}

@test "a container with the default seccomp filter and few capabilities" {
	counter b
	jq '.linux.seccomp = {"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],
		"syscalls":[{"names":["acct","reboot","swapon","kexec_load","mount","umount2","ptrace"],"action":"SCMP_ACT_ERRNO"}]} |
		.linux.seccomp.defaultAction = "SCMP_ACT_ALLOW"' "$DIR/b/config.json" > "$DIR/c"
	mv "$DIR/c" "$DIR/b/config.json"
	start b "$ID"
	until_true counts_beyond "$FILE" 3
	grep -E '^(Seccomp|Cap|NoNewPrivs)' "/proc/$(pid_of "$ID")/status" > "$DIR/before"
	grep -q 'Seccomp:.*2' "$DIR/before"
	checkpoint "$ID" "$DIR/img"
	resume b "$ID" "$DIR/img"
	grep -E '^(Seccomp|Cap|NoNewPrivs)' "/proc/$(pid_of "$ID")/status" > "$DIR/after"
	diff "$DIR/before" "$DIR/after"
	again b
}

@test "found frozen and left running: frozen as before" {
	counter b
	start b "$ID"
	until_true counts_beyond "$FILE" 3
	r pause "$ID"
	n=$(number "$FILE")
	checkpoint "$ID" "$DIR/img" --leave-running
	is "$ID" paused
	[ "$(number "$FILE")" = "$n" ]
	r resume "$ID"
	again b
}

@test "an error is one sentence with what to do" {
	bundle b '.process.args = ["/usr/bin/python3", "-c", "import socket, time; s = socket.create_server((\"127.0.0.1\", 9)); c = socket.create_connection((\"127.0.0.1\", 9)); a = s.accept(); open(\"/data/ready\", \"w\"); time.sleep(1000)"] | '"$USR"
	start b "$ID"
	until_true test -e "$DIR/b/rootfs/data/ready"
	run ! checkpoint "$ID" "$DIR/img"
	grep -m1 Error "$DIR/img/dump.log" | grep -q -- "--tcp-established"
	is "$ID" running
}

@test "kill -9 of criu in a checkpoint: the container runs on, thawed" {
	counter b
	start b "$ID"
	until_true counts_beyond "$FILE" 3
	for i in $(seq 30); do
		checkpoint "$ID" "$DIR/img" --leave-running >/dev/null 2>&1 3>&- &
		kill_criu
		wait $! || true
		until_true no_criu
		again b
	done
	run ! grep -q rwxs "/proc/$(pid_of "$ID")/maps"
}

no_counter() { ! pgrep -f /data/count >/dev/null; }

@test "kill -9 of criu in a restore leaves no task, mount or cgroup" {
	counter b
	start b "$ID"
	until_true counts_beyond "$FILE" 3
	checkpoint "$ID" "$DIR/img"
	wc -l < /proc/self/mountinfo > "$DIR/mounts"
	for i in $(seq 20); do
		IDS="$IDS $ID-$i"
		resume b "$ID-$i" "$DIR/img" >/dev/null 2>&1 3>&- &
		kill_criu
		wait $! || true
		until_true no_criu
		if is "$ID-$i" running; then # it was quick enough
			again b
			r kill "$ID-$i" KILL || true
			until_true ended "$ID-$i"
		fi
		r delete -f "$ID-$i" 2>/dev/null || true
		until_true no_counter # what was killed may take a moment to end
		[ "$(find /sys/fs/cgroup -maxdepth 3 -name "$ID-$i" | wc -l)" = 0 ]
	done
	[ "$(wc -l < /proc/self/mountinfo)" = "$(cat "$DIR/mounts")" ]
	resume b "$ID" "$DIR/img"
	again b
}

@test "a cgroup namespace with mounts of cgroups: they show the container's own, under a new id too" {
	counter b '.linux.namespaces += [{"type": "cgroup"}] | '"$OWN_DATA"
	start b "$ID"
	count_inside
	until_true counts_beyond "$FILE" 3
	seen() { r exec "$1" /bin/busybox sh -c 'busybox cat /proc/self/cgroup; busybox grep cgroup /proc/self/mountinfo' |
		sed 's/^[0-9: ]*//; s/master:.*//' | cut -d' ' -f2- | sort; }
	seen "$ID" > "$DIR/before"
	grep -q '^/sys/fs/cgroup/' "$DIR/before"
	checkpoint "$ID" "$DIR/img"
	resume b "$ID-new" "$DIR/img"
	IDS="$IDS $ID-new"
	ID=$ID-new
	seen "$ID" > "$DIR/after"
	diff "$DIR/before" "$DIR/after"
	count_inside
	n=$(number "$FILE")
	until_true counts_beyond "$FILE" "$n"
	# tasks of the container stand in what it shows
	for f in /proc/"$(pid_of "$ID")"/root/sys/fs/cgroup/{pids/,}cgroup.procs; do
		[ ! -e "$f" ] || grep -qx "$(pid_of "$ID")" "$f"
	done
}
