#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: lsm
# Labels of security modules, as far as a kernel without one can show it: what is refused, and what is left aside.
bats_require_minimum_version 1.5.0
load ../kit/helper

setup() {
	modules=$(unshare -m sh -c 'mount -t securityfs none /sys/kernel/security && cat /sys/kernel/security/lsm')
	case ,$modules, in *,apparmor,*|*,selinux,*) skip "this kernel has $modules" ;; esac
	IMG=$(mktemp -d)
	export IMG
	mkdir "$IMG/img"
}
teardown() {
	[ -z "${PID:-}" ] || kill -9 "$PID" 2>/dev/null || true
	umount "$IMG/root" 2>/dev/null || true
	rm -rf --one-file-system "$IMG"
}
start() { # start COMMAND...
	"$@" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
}
end() {
	kill -9 "$PID"
	until_true gone "$PID"
}
edit() { edit_image "$IMG/img/$1" "$2"; } # edit IMAGE STATEMENT

@test "--lsm-profile: a profile of a module that is not here is left aside, and said; unconfined is no profile" {
	start "$BUILD/tests/kit/idle"
	dump
	[ "$(crit decode -i "$IMG/img/inventory.img" | jq -r '.entries[0].lsmtype')" = NO_LSM ]
	until_true gone "$PID"
	for bad in nothing smack:x apparmor: selinux; do
		run -1 restore --lsm-profile "$bad"
		[[ $output == *"neither apparmor:PROFILE"* ]] || { echo "$bad: $output"; false; }
	done
	run restore --lsm-profile apparmor:generated
	[ "$status" -eq 0 ] && [[ $output == *"no security module with profiles is active here"* ]]
	for none in apparmor:unconfined none: ''; do
		end
		run restore --lsm-profile "$none" --lsm-mount-context a:b:c:d
		[ "$status" -eq 0 ] && [ -z "$output" ] || { echo "$none: $output"; false; }
	done
}

@test "images of a host with AppArmor: refused, or restored without" {
	start "$BUILD/tests/kit/idle"
	dump
	until_true gone "$PID"
	edit inventory.img 'e[0]["lsmtype"] = "APPARMOR"'
	edit "core-$PID.img" 'e[0]["thread_core"]["creds"]["lsm_profile"] = "docker-default"'
	run -1 restore
	[[ $output == *"made on a host with apparmor, which is not active here; restore with --lsm-profile none:"* ]] || { echo "$output"; false; }
	run -1 restore --lsm-profile apparmor:unconfined
	restore --lsm-profile none:
}

@test "a mount with a label for all its files: --lsm-mount-context takes its place where SELinux is" {
	mkdir -p "$IMG"/root/{d,old}
	cp "$BUILD/tests/kit/idle" "$IMG/root"
	mount --bind "$IMG/root" "$IMG/root"
	mount --make-private "$IMG/root"
	start unshare -m /usr/bin/python3 -c '
import ctypes, os
libc, d = ctypes.CDLL(None), os.environ["IMG"].encode() + b"/root"
assert libc.mount(b"none", d + b"/d", b"tmpfs", 0, b"size=1m") == 0
os.chdir(d)
assert libc.syscall(155, b".", b"old") == 0 and libc.umount2(b"/old", 2) == 0
os.chdir("/")
os.closerange(0, 64)
os.execv("/idle", ["idle"])'
	until_true eval 'grep -q "^/idle" "/proc/$PID/maps" || [ "$(readlink "/proc/$PID/exe")" = /idle ]'
	dump
	until_true gone "$PID"
	edit "$(basename "$IMG"/img/mountpoints-*.img)" '
next(m for m in e if m["mountpoint"] == "/d")["options"] = "seclabel,context=\"u:r:t:s0:c1,c2\",size=1024k"'
	run restore --root "$IMG/root" --lsm-mount-context u:r:t:s0:c3
	[ "$status" -eq 0 ] && [[ $output == *"context=u:r:t:s0:c3: SELinux is not active here"* ]] || { echo "$output"; false; }
	grep -q " /d .* - tmpfs none rw,size=1024k" "/proc/$PID/mountinfo"
}
