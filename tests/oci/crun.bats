#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Containers of crun: Debian's source, built against our libcriu, which it loads at run time.
bats_require_minimum_version 1.5.0
load ../kit/runc

setup_file() {
	CRUN=$(timeout 280 "$BATS_TEST_DIRNAME/../kit/crun-build" "$BUILD") || return 1
	export CRUN
}
setup() {
	setup_runc
	ln -s "$BUILD/libcriu.so.2.0" "$DIR/libcriu.so.2"
	export LD_LIBRARY_PATH=$DIR
}
teardown() { teardown_runc; }
# the helpers of runc, with crun in its place
# crun refuses a hybrid cgroup tree: where there is one, it is shown version 1 alone
runc() {
	if [ "$1" = spec ]; then command runc "$@"; return; fi
	unshare -m sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"' sh "$CRUN" "$@"
}

COUNT='i=0; while :; do i=$((i+1)); echo $i > /data/n && busybox mv /data/n /data/count; busybox sleep 0.02; done'
export COUNT
counter() {
	bundle "$1" '.process.args = ["/bin/sh", "-c", env.COUNT] | '"${2:-.}"
	FILE=$DIR/$1/rootfs/data/count
}
again() { local n; n=$(number "$FILE"); until_true counts_beyond "$FILE" "$((n + 3))"; }

@test "it says that it can" { "$CRUN" --version | grep -q +CRIU; }

@test "gone after the checkpoint, counts on after the restore: three generations" {
	counter b
	start b "$ID"
	for g in 1 2 3; do
		again
		n=$(number "$FILE")
		checkpoint "$ID" "$DIR/img$g"
		[ -z "$(status "$ID")" ]
		resume b "$ID" "$DIR/img$g"
		is "$ID" running
		again
		[ "$(number "$FILE")" -lt "$((n + 5000))" ]
	done
	[ "$(r exec "$ID" /bin/busybox hostname)" = stasis ]
}

@test "--leave-running; restored from another bundle path under a new id" {
	counter b "$OWN_DATA"
	start b "$ID"
	count_inside
	again
	checkpoint "$ID" "$DIR/img" --leave-running
	is "$ID" running
	again
	r delete -f "$ID"
	cp -a "$DIR/b" "$DIR/other"
	rm -rf "$DIR/b"
	IDS="$IDS $ID-new"
	resume other "$ID-new" "$DIR/img"
	ID=$ID-new
	count_inside
	again
	grep -q "$ID" "/proc/$(pid_of "$ID")/cgroup"
}

@test "standard output on a pipe: the new one takes the place of the old" {
	bundle b '.process.args = ["/bin/sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; busybox sleep 0.02; done"]'
	last() { tail -n1 "$DIR/out" 2>/dev/null; }
	beyond() { local n; n=$(last); [ "${n:-0}" -gt "$1" ]; }
	mkfifo "$DIR/pipe"
	cat "$DIR/pipe" > "$DIR/out" 3>&- &
	r run -d --bundle "$DIR/b" "$ID" </dev/null >"$DIR/pipe" 2>"$DIR/err" 3>&-
	until_true beyond 3
	checkpoint "$ID" "$DIR/img"
	n=$(last)
	cat "$DIR/pipe" > "$DIR/out" 3>&- &
	r restore -d --bundle "$DIR/b" --image-path "$DIR/img" "$ID" </dev/null >"$DIR/pipe" 2>"$DIR/err" 3>&-
	until_true beyond "$((n + 3))"
	[ "$(last)" -lt "$((n + 5000))" ]
}

@test "namespaces that belong to somebody else: joined again, with new paths" {
	for n in old new; do
		unshare -nui --fork sh -c 'busybox hostname '"$n"'; exec busybox sleep 1000' </dev/null >/dev/null 2>&1 3>&- &
		until_true sh -c '[ "$(cat /proc/'$!'/task/'$!'/children 2>/dev/null)" ]'
		eval "$n=$(cat /proc/$!/task/$!/children | tr -d ' ')"
	done
	names() { jq '.linux.namespaces |= map(if .type == "network" then .path = "/proc/'"$1"'/ns/net"
		elif .type == "ipc" then .path = "/proc/'"$1"'/ns/ipc" elif .type == "uts" then .path = "/proc/'"$1"'/ns/uts" else . end) |
		del(.hostname)' "$DIR/b/config.json" > "$DIR/c" && mv "$DIR/c" "$DIR/b/config.json"; }
	counter b
	names "$old"
	start b "$ID"
	again
	checkpoint "$ID" "$DIR/img"
	names "$new"
	resume b "$ID" "$DIR/img"
	again
	for k in net ipc uts; do
		[ "$(readlink "/proc/$(pid_of "$ID")/ns/$k")" = "$(readlink "/proc/$new/ns/$k")" ]
	done
	kill "$old" "$new"
}

@test "an error reaches the user: which option helps" {
	bundle b '.process.args = ["/usr/bin/python3", "-c", "import socket, time; s = socket.create_server((\"127.0.0.1\", 9)); c = socket.create_connection((\"127.0.0.1\", 9)); a = s.accept(); open(\"/data/ready\", \"w\"); time.sleep(1000)"] | '"$USR"
	start b "$ID"
	until_true test -e "$DIR/b/rootfs/data/ready"
	run ! r checkpoint --image-path "$DIR/img" "$ID"
	grep -q -- --tcp-established <<< "$output$(cat "$DIR/img/dump.log")"
	is "$ID" running
	checkpoint "$ID" "$DIR/img" --tcp-established
	resume b "$ID" "$DIR/img" --tcp-established
	is "$ID" running
}

@test "--pre-dump is done, or refused and the container runs on" {
	counter b
	start b "$ID"
	again
	r checkpoint --pre-dump --image-path "$DIR/pre" "$ID" > "$DIR/err" 2>&1 || grep -q "memory tracking not supported" "$DIR/err"
	is "$ID" running
	again
}
