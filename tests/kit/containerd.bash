# SPDX-License-Identifier: Apache-2.0
# Helpers for bats: a containerd of the test's own, with our criu in its PATH.
load ../kit/helper
load ../kit/image

setup_containerd() {
	PATH=$BUILD:$PATH
	DIR=$(mktemp -d)
	NAMESPACE=stasis-${DIR##*.} # pids are those of other runs, too, and runc keeps all their state in one place
	cat > "$DIR/config.toml" <<-END
		version = 2
		root = "$DIR/root"
		state = "$DIR/state"
		disabled_plugins = ["io.containerd.grpc.v1.cri"]
		[grpc]
		address = "$DIR/sock"
		[debug]
		level = "warn"
	END
	containerd --config "$DIR/config.toml" </dev/null >"$DIR/log" 2>&1 3>&- &
	DAEMON=$!
	until_true ctr_answers
	IMAGE=localhost/busybox:latest
	oci_image "$DIR/layout" "$DIR/image.tar" "$IMAGE"
	c image import "$DIR/image.tar" >/dev/null
}

teardown_containerd() {
	local id
	thaw_all
	for id in $(c t ls -q 2>/dev/null); do
		c t kill -s KILL "$id" 2>/dev/null || true
		c t rm -f "$id" >/dev/null 2>&1 || true
	done
	for id in $(c c ls -q 2>/dev/null); do
		c c rm "$id" >/dev/null 2>&1 || true
	done
	kill "$DAEMON" 2>/dev/null || true
	wait "$DAEMON" 2>/dev/null || true
	find /sys/fs/cgroup -mindepth 2 -depth -path "*/$NAMESPACE*" -type d -exec rmdir {} + 2>/dev/null || true
	rmdir "/run/containerd/runc/$NAMESPACE" 2>/dev/null || true
	rm -rf --one-file-system "$DIR"
}

# a frozen task cannot be killed, and a test that failed may leave one
thaw_all() {
	local f
	for f in /sys/fs/cgroup/freezer/"$NAMESPACE"/*/freezer.state; do
		[ ! -e "$f" ] || echo THAWED > "$f"
	done
	for f in /sys/fs/cgroup/unified/"$NAMESPACE"/*/cgroup.freeze /sys/fs/cgroup/"$NAMESPACE"/*/cgroup.freeze; do
		[ ! -e "$f" ] || echo 0 > "$f"
	done
}

c() { timeout 60 ctr --address "$DIR/sock" --namespace "$NAMESPACE" "$@"; }
ctr_answers() { c version >/dev/null 2>&1; }
task_is() { [ "$(c t ls 2>/dev/null | awk -v id="$1" '$1 == id { print $3 }')" = "$2" ]; }
no_task() { [ -z "$(c t ls 2>/dev/null | awk -v id="$1" '$1 == id')" ]; }
number() { local n; n=$(readlink "$1" || true); echo "${n:-0}"; }
counts_beyond() { [ "$(number "$1")" -gt "$2" ]; }
