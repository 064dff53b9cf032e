# SPDX-License-Identifier: Apache-2.0
# Helpers for bats: Podman with storage of the test's own, with our criu in its PATH.
load ../kit/helper
load ../kit/image

setup_podman() { # setup_podman RUNTIME
	PATH=$BUILD:$PATH
	DIR=$(mktemp -d)
	mkdir "$DIR/tmp"
	cat > "$DIR/containers.conf" <<-END
		[engine]
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		runtime = "$1"
		[engine.runtimes]
		crun = ["${CRUN:-/usr/bin/crun}"]
		[containers]
		log_driver = "k8s-file"
		[network]
		network_backend = "netavark"
		network_config_dir = "$DIR/networks"
	END
	export CONTAINERS_CONF=$DIR/containers.conf
	IMAGE=localhost/busybox
	image_rootfs "$DIR/rootfs"
	tar -C "$DIR/rootfs" --numeric-owner --owner=0 --group=0 -cf "$DIR/image.tar" .
	p import -q "$DIR/image.tar" "$IMAGE" >/dev/null
}

teardown_podman() {
	p rm -fa -t 0 >/dev/null 2>&1 || true
	p pod rm -fa -t 0 >/dev/null 2>&1 || true
	p volume rm -fa >/dev/null 2>&1 || true
	umount -l "$DIR/root/overlay" 2>/dev/null || true # a container that was just removed may still hold it
	rm -rf --one-file-system "$DIR"
}

# why: what the engine wrote in its logs, for a test that fails
why() { find "$DIR/root" \( -name dump.log -o -name restore.log \) -exec grep -H Error {} + >&2; false; }
p() { timeout 60 podman --root "$DIR/root" --runroot "$DIR/run" --tmpdir "$DIR/tmp" "$@" </dev/null 3>&-; }
state_is() { [ "$(p inspect -f '{{.State.Status}}' "$1")" = "$2" ]; }
last() { local n; n=$(p logs "$1" 2>/dev/null | tail -n1); n=${n%$'\r'}; echo "${n:-0}"; }
beyond() { [ "$(last "$1")" -gt "$2" ]; }
# onward NAME NUMBER: it counts on from there, and has not begun anew
onward() { until_true beyond "$1" "$2"; [ "$(last "$1")" -lt "$(($2 + 5000))" ]; }
# sound NAME: what it has logged is a series without a gap or a second beginning
sound() { p logs "$1" | tr -d '\r' | awk 'NR > 1 && $1 != n + 1 { print n " then " $1; exit 1 } { n = $1 }'; }
