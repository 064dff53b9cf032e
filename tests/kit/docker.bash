# SPDX-License-Identifier: Apache-2.0
# Helpers for bats: a Docker daemon of the test's own (no bridge, no firewall), with our criu in its PATH.
load ../kit/helper
load ../kit/image

setup_docker() {
	PATH=$BUILD:$PATH
	DIR=$(mktemp -d)
	NAME=stasis-$$-$BATS_TEST_NUMBER
	echo '{}' > "$DIR/daemon.json"
	# its cgroups stand below one of our own, so that they can be found and removed
	dockerd --experimental --config-file "$DIR/daemon.json" --data-root "$DIR/root" --exec-root "$DIR/exec" \
		--pidfile "$DIR/pid" --host "unix://$DIR/sock" --bridge=none --iptables=false --ip6tables=false \
		--ip-forward=false --storage-driver=vfs --cgroup-parent "/$NAME" \
		</dev/null >"$DIR/log" 2>&1 3>&- &
	DAEMON=$!
	until_true docker_answers || { tail -n 5 "$DIR/log" >&2; return 1; }
	image_rootfs "$DIR/rootfs"
	tar -C "$DIR/rootfs" --numeric-owner --owner=0 --group=0 -cf "$DIR/rootfs.tar" .
	IMAGE=stasis-box:1
	d import "$DIR/rootfs.tar" "$IMAGE" >/dev/null
}

teardown_docker() {
	local id f
	for f in /sys/fs/cgroup/freezer/"$NAME"/*/freezer.state; do
		[ ! -e "$f" ] || echo THAWED > "$f" # a frozen task cannot be killed, and a test that failed may leave one
	done
	for id in $(d ps -aq 2>/dev/null); do
		d rm -f "$id" >/dev/null 2>&1 || true
	done
	kill "$DAEMON" 2>/dev/null || true
	wait "$DAEMON" 2>/dev/null || true
	find /sys/fs/cgroup -mindepth 2 -depth -path "*/$NAME*" -type d -exec rmdir {} + 2>/dev/null || true
	umount -l "$DIR"/root/containers/*/mounts/shm "$DIR"/exec/netns/* 2>/dev/null || true
	rm -rf --one-file-system "$DIR"
}

# Debian's client: an image of the machine may bring another one
d() { timeout 60 /usr/bin/docker --host "unix://$DIR/sock" "$@"; }
docker_answers() { d version >/dev/null 2>&1; }
state_is() { [ "$(d inspect -f '{{.State.Status}}' "$1")" = "$2" ]; }
number() { local n; n=$(readlink "$1" || true); echo "${n:-0}"; }
counts_beyond() { [ "$(number "$1")" -gt "$2" ]; }
