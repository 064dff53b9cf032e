# SPDX-License-Identifier: Apache-2.0
# Common to the scripts here: each runs the tests of one container engine, of Debian's source package, with us as criu.
# shellcheck shell=bash disable=SC2034
set -e
BUILD=$(cd "${1:-${BUILD:-.}}" && pwd)
TESTS=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
shift || true

# Tests of others leave tasks behind, and write to /etc/criu: they run in namespaces of their own.
if [ -z "${STASIS_PEER:-}" ]; then
	export STASIS_PEER=1
	# shellcheck disable=SC2093
	exec unshare -mpf --kill-child --propagation private --mount-proc "$BUILD/tests/kit/reap" "$0" "$BUILD" "$@" </dev/null
fi
DIR=$(mktemp -d /tmp/XXXX) # short: Podman takes no long path for its run root
leave() { cd /; umount -l "$DIR"/* 2>/dev/null || true; rm -rf --one-file-system "$DIR"; }
trap leave EXIT
chmod 755 "$DIR" # users of user namespaces look in
mkdir -p /etc/criu "$DIR/bin" "$DIR/tmp"
mount -t tmpfs none /etc/criu
ln -s "$BUILD/stasis" "$DIR/bin/criu"
ln -s "$BUILD/libcriu.so.2.0" "$DIR/bin/libcriu.so.2"
export PATH=$DIR/bin:$PATH TMPDIR=$DIR/tmp

# source_copy PACKAGE: Debian's source, ours to change, as $DIR/source
source_copy() { cp -a "$("$TESTS/kit/debian-source" "$1")" "$DIR/source"; }

# busybox_tar FILE: a root file system with every applet
busybox_tar() {
	. "$TESTS/kit/image.bash"
	image_rootfs "$DIR/rootfs"
	mkdir -p "$DIR/rootfs"/{sbin,usr/bin,usr/sbin,root,home,var}
	busybox --list | grep -v '^busybox$' | while read -r a; do ln -sf busybox "$DIR/rootfs/bin/$a"; done
	tar -C "$DIR/rootfs" --numeric-owner --owner=0 --group=0 -c${2:-}f "$1" .
}
