#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Options about what lies outside of the tree, in a container with mounts of its own: external mounts in every form,
# mounts that are left out or made anew, namespaces that are joined.
# Shows: mnt-device
bats_require_minimum_version 1.5.0
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	export IMG
	mkdir -p "$IMG"/img "$IMG"/root/{d,e,f,old} "$IMG"/{host,other}
	echo host >"$IMG/host/name"; echo other >"$IMG/other/name"
	cp "$BUILD/tests/kit/idle" "$IMG/root"
	mount --bind "$IMG/root" "$IMG/root"
	mount --make-private "$IMG/root"
}
teardown() {
	for p in ${PID:-} ${JOINED:-}; do kill -9 "$p" 2>/dev/null || true; done
	umount -R "$IMG/host" 2>/dev/null || true
	umount "$IMG/root" 2>/dev/null || true
	[ -z "${LOOP:-}" ] || losetup -d "$LOOP" || true
	rm -rf --one-file-system "$IMG"
}
start() { # start FLAGS PYTHON: mounts made by mount(source, target, type, flags, data) below root, before it is the root
	# shellcheck disable=SC2086
	unshare --mount --propagation unchanged $1 /usr/bin/python3 -c '
import ctypes, os, sys
libc, d = ctypes.CDLL(None), os.environ["IMG"] + "/root"
def mount(source, target, kind, flags=0, data=""):
    assert libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()) == 0, target
exec(sys.argv[1])
os.chdir(d)
assert libc.syscall(155, b".", b"old") == 0 and libc.umount2(b"/old", 2) == 0
os.chdir("/")
os.closerange(0, 64)
os.execv("/idle", ["idle"])' "$2" </dev/null >"$IMG/out" 2>&1 3>&- &
	PID=$!
	until_true eval '[ "$(readlink "/proc/$PID/exe")" = /idle ]' || { cat "$IMG/out"; return 1; }
}
dump_end() {
	dump "$@"
	until_true gone "$PID"
}
loop() { # a disk with a file system, and nothing on it
	truncate -s 16M "$IMG/disk"
	mkfs.ext4 -q "$IMG/disk"
	LOOP=$(losetup -f --show "$IMG/disk")
	export LOOP
}
within() { cat "/proc/$PID/root/$1"; } # a file as the container has it
line() { awk -v p="$1" '$5 == p' "/proc/$PID/mountinfo"; }

@test "external mounts by key, old and new spelling; the value of the dump is the key of the restore" {
	start "" 'mount(os.environ["IMG"] + "/host", d + "/d", "", 4096); mount(os.environ["IMG"] + "/host", d + "/e", "", 4096)'
	run -1 dump # what is mounted from outside is nowhere in the images
	[[ $output == *"/d"* ]] || { echo "$output"; false; }
	dump_end --external 'mnt[/d]:one' -M /e:two --external 'mnt[/nowhere]:three'
	run -1 restore --root "$IMG/root" --external "mnt[one]:$IMG/host"
	[[ $output == *"two"* ]] || { echo "$output"; false; }
	restore --root "$IMG/root" --external "mnt[one]:$IMG/host" -M "two:$IMG/other" -M "unused:/none"
	[ "$(within d/name) $(within e/name)" = "host other" ]
}

@test "external mounts found by themselves, private, shared and slave; each as far as it is allowed" {
	mount --bind "$IMG/host" "$IMG/host"
	mount --make-shared "$IMG/host"
	start "" 'h = os.environ["IMG"] + "/host"
mount(h, d + "/d", "", 4096); mount("none", d + "/d", "", 1 << 18)
mount(h, d + "/e", "", 4096); mount("none", d + "/e", "", 1 << 19)
mount(h, d + "/f", "", 4096)'
	run -1 dump -M auto
	run -1 dump -M auto --enable-external-masters
	dump -R -M auto --enable-external-sharing --enable-external-masters
	dump_end --external 'mnt[]:m' --external 'mnt[]:s' --enable-external-masters --enable-external-sharing -M auto
	run -1 restore --root "$IMG/root"
	restore --root "$IMG/root" -M auto --enable-external-sharing --enable-external-masters
	[ "$(within d/name) $(within e/name) $(within f/name)" = "host host host" ]
	[[ $(line /e) == *" master:"* && $(line /d) != *"master:"* ]] || { cat "/proc/$PID/mountinfo"; false; }
	# what is mounted on the host appears where it did
	mkdir "$IMG/host/in"
	mount -t tmpfs none "$IMG/host/in"
	[ -n "$(line /e/in)" ] && [ -z "$(line /d/in)" ]
}

@test "--skip-mnt leaves a mount out, and what is below it" {
	start "" 'mount("none", d + "/d", "tmpfs"); os.mkdir(d + "/d/sub"); mount("none", d + "/d/sub", "tmpfs"); mount("none", d + "/e", "tmpfs", 0, "size=1m")'
	dump_end --skip-mnt /d
	restore --root "$IMG/root"
	[ -z "$(line /d)$(line /d/sub)" ] && [ -n "$(line /e)" ]
}

@test "--enable-fs: file systems of that sort are mounted anew from source and options" {
	loop
	start "" 'mount(os.environ["LOOP"], d + "/d", "ext4"); open(d + "/d/name", "w").write("disk")'
	run -1 dump
	[[ $output == *"shows / of $LOOP"* ]] || { echo "$output"; false; }
	dump_end --enable-fs xfs,ext4
	restore --root "$IMG/root" --enable-fs ext4
	[[ $(line /d) == *" - ext4 $LOOP "* && $(within d/name) = disk ]]
}

@test "--join-ns: by pid and by file, every sort that can be joined; conflicts and others are refused" {
	start "--uts --ipc --net" 'mount("none", d + "/d", "tmpfs")'
	dump_end --empty-ns net
	unshare --uts --ipc --net "$BUILD/tests/kit/idle" </dev/null >/dev/null 2>&1 3>&- &
	JOINED=$!
	until_true eval '[ "$(cat "/proc/$JOINED/comm")" = idle ]'
	run -1 restore --root "$IMG/root" --join-ns net:1 --empty-ns net
	run -1 restore --root "$IMG/root" --join-ns pid:1
	run -1 restore --root "$IMG/root" --join-ns uts:/none
	[[ $output == *"uts:/none"* ]]
	restore --root "$IMG/root" -J "uts:$JOINED" --join-ns "ipc:/proc/$JOINED/ns/ipc" --join-ns "net:$JOINED"
	for n in uts ipc net; do
		[ "$(readlink "/proc/$PID/ns/$n")" = "$(readlink "/proc/$JOINED/ns/$n")" ] || { echo "$n"; false; }
	done
	[ "$(readlink "/proc/$PID/ns/mnt")" != "$(readlink "/proc/$JOINED/ns/mnt")" ]
}

@test "--join-ns mnt and time for a tree without namespaces of its own; our own user namespace is refused" {
	"$BUILD/tests/kit/idle" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	unshare --mount --time --fork "$BUILD/tests/kit/idle" </dev/null >/dev/null 2>&1 3>&- &
	JOINED=$!
	child_is_idle() {
		inner=$(tr -d ' ' <"/proc/$JOINED/task/$JOINED/children")
		[ -n "$inner" ] && [ "$(cat "/proc/$inner/comm")" = idle ]
	}
	until_true child_is_idle
	dump_end
	run -1 restore --join-ns "user:$inner,0,0"
	[[ $output == *"--join-ns user:$inner: is no child of our own user namespace"* ]]
	restore --join-ns "mnt:$inner" --join-ns "time:/proc/$inner/ns/time"
	for n in mnt time; do
		[ "$(readlink "/proc/$PID/ns/$n")" = "$(readlink "/proc/$inner/ns/$n")" ] || { echo "$n"; kill -9 "$inner"; false; }
	done
	kill -9 "$inner"
}

@test "by RPC: skip_mnt, enable_fs, external in both directions" {
	loop
	start "" 'mount("none", d + "/d", "tmpfs"); mount(os.environ["LOOP"], d + "/e", "ext4"); open(d + "/e/name", "w").write("disk")
mount(os.environ["IMG"] + "/host", d + "/f", "", 4096)'
	run ! by_rpc DUMP "o.pid = $PID"
	by_rpc DUMP "o.pid = $PID; o.skip_mnt.append('/d'); o.enable_fs.append('ext4'); o.external.append('mnt[/f]:host')"
	until_true gone "$PID"
	run ! by_rpc RESTORE "o.root = '$IMG/root'; o.external.append('mnt[host]:$IMG/host')" # of what type?
	by_rpc RESTORE "o.root = '$IMG/root'; o.enable_fs.extend(['xfs', 'ext4']); o.external.append('mnt[host]:$IMG/host')"
	[ -z "$(line /d)" ] && [ "$(within e/name) $(within f/name)" = "disk host" ]
}

@test "--external dev: a device of ours, and of another name at the restore; by RPC as well" {
	loop
	stat=$(stat -c '%t %T' "$LOOP")
	key="dev[$((0x${stat% *}))/$((0x${stat#* }))]"
	start "" 'mount(os.environ["LOOP"], d + "/d", "ext4"); open(d + "/d/name", "w").write("disk"); os.mkdir(d + "/d/sub")
open(d + "/d/sub/name", "w").write("sub"); mount(d + "/d/sub", d + "/e", "", 4096)
mount(os.environ["LOOP"], d + "/f", "ext4", 2, "")'
	run -1 dump --external 'dev[1/77]:disk'
	[[ $output == *"shows / of $LOOP"* ]] || { echo "$output"; false; }
	dump -R --external "$key:disk"
	rm "$IMG"/img/*
	by_rpc DUMP "o.pid = $PID; o.external.append('$key:disk')"
	until_true gone "$PID"
	run -1 restore --root "$IMG/root"
	[[ $output == *"--external 'dev[disk]:/dev/NAME'"* ]] || { echo "$output"; false; }
	losetup -d "$LOOP"
	LOOP=$(losetup -f --show "$IMG/disk")
	cp "$IMG/img"/mountpoints-*.img "$IMG/good"
	on_disk='[x for x in e if x.get("ext_key") == "CRIU:EXTERNAL_DEV"]'
	for wrong in 'x["fsname"] = "overlay"' 'x["fsname"] = "none such"' 'x["options"] = "journal_path=/dev/null"' 'x["source"] = "dev["'; do
		edit_image "$IMG"/img/mountpoints-*.img "for x in $on_disk: $wrong"
		run -1 restore --root "$IMG/root" --external "dev[disk]:$LOOP"
		[[ $output == *"mount /"* ]] || { echo "$wrong: $output"; false; }
		cp "$IMG/good" "$IMG/img"/mountpoints-*.img
	done
	restore --root "$IMG/root" --external "dev[disk]:$LOOP"
	[ "$(within d/name) $(within e/name) $(within f/name)" = "disk sub disk" ]
	[[ $(line /d) == *" - ext4 $LOOP "* && $(line /f) == *" - ext4 $LOOP "* ]] || { cat "/proc/$PID/mountinfo"; false; }
}
