#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Podman with crun in runc's place: conmon and Podman start it, libcriu starts us.
bats_require_minimum_version 1.5.0
load ../kit/podman

setup_file() {
	CRUN=$(timeout 280 "$BATS_TEST_DIRNAME/../kit/crun-build" "$BUILD") || return 1
	export CRUN
}
setup() {
	LIB=$(mktemp -d)
	ln -s "$BUILD/libcriu.so.2.0" "$LIB/libcriu.so.2"
	# Podman hands on no LD_LIBRARY_PATH, and crun refuses a hybrid cgroup tree
	cat > "$LIB/crun" <<-END
		#!/bin/sh
		export LD_LIBRARY_PATH=$LIB
		exec unshare -m sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "\$@"' sh "$CRUN" "\$@"
	END
	chmod +x "$LIB/crun"
	CRUN=$LIB/crun setup_podman crun
}
teardown() { teardown_podman; rm -rf "$LIB"; }

@test "checkpoint, restore, --leave-running, --export, --import --name" {
	p run -d --name one --network none "$IMAGE" sh -c 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done' >/dev/null
	[ "$(p inspect -f '{{.OCIRuntime}}' one)" = crun ]
	until_true beyond one 3
	p container checkpoint --leave-running one >/dev/null
	onward one "$(last one)"
	p container checkpoint --export "$DIR/one.tar" one >/dev/null
	n=$(last one)
	p container restore one >/dev/null
	onward one "$n"
	sound one
	p container restore --import "$DIR/one.tar" --name two >/dev/null
	onward two "$n"
}
