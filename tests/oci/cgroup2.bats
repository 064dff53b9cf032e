#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# runc and crun on a machine that has cgroup version 2 alone: they are shown it so, whatever else is mounted here.
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
	RUNTIME=runc
}
teardown() { teardown_runc; }
v2_alone() {
	unshare -m sh -c 'umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"' sh "$@"
}
runc() {
	if [ "$1" = spec ]; then command runc "$@"; else v2_alone "$RUNTIME" "$@"; fi
}

COUNT='i=0; while :; do i=$((i+1)); echo $i > /data/n && busybox mv /data/n /data/count; busybox sleep 0.02; done'
export COUNT
# no rules for devices: as BPF programs they take more rights than tests have everywhere
counter() {
	bundle b '.process.args = ["/bin/sh", "-c", env.COUNT] | .linux.resources = {} | '"$1"
	FILE=$DIR/b/rootfs/data/count
	start b "$ID"
	again
}
again() { local n; n=$(number "$FILE"); until_true counts_beyond "$FILE" "$((n + 3))"; }
place() { sed -n 's/^0:://p' "/proc/$(pid_of "$ID")/cgroup"; }
three_generations() {
	local where g
	where=$(place)
	[[ $where == *"$ID"* ]]
	for g in 1 2 3; do
		checkpoint "$ID" "$DIR/img$g"
		[ -z "$(status "$ID")" ]
		resume b "$ID" "$DIR/img$g"
		again
		[ "$(place)" = "$where" ]
	done
	r exec "$ID" /bin/busybox grep -q ' /sys/fs/cgroup .* - cgroup2 ' /proc/self/mountinfo
}

@test "runc: three generations in the same cgroup" {
	counter .
	three_generations
}

@test "runc: with a cgroup namespace, --leave-running, and found paused" {
	counter '.linux.namespaces += [{"type": "cgroup"}]'
	checkpoint "$ID" "$DIR/img" --leave-running
	is "$ID" running
	again
	r pause "$ID"
	checkpoint "$ID" "$DIR/paused" --leave-running
	is "$ID" paused
	r resume "$ID"
	three_generations
	[ "$(r exec "$ID" busybox cat /proc/self/cgroup | sed -n 's/^0:://p')" = / ]
}

@test "crun: three generations in the same cgroup" {
	RUNTIME=$CRUN
	counter .
	three_generations
}
