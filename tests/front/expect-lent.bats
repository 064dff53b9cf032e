#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the caller declares its own at a dump, and passes in at a restore: --external file[..], --inherit-fd.
# Shows: fd/reg fd/memfd
bats_require_minimum_version 1.5.0
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	mkdir -p "$IMG/img" "$IMG/dir" "$IMG/new-dir"
	printf old >"$IMG/file"
	printf new >"$IMG/new-file"
	: >"$IMG/plain" >"$IMG/new-plain" >"$IMG/new-dir/inside"
}
teardown() {
	[ -z "${PID:-}" ] || kill -9 "$PID" 2>/dev/null || true
	rm -rf "$IMG"
}
start() { # start CASE
	"$BUILD/tests/kit/lent" "$1" "$IMG" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/ready"
}
key() { # key FD [%d]: file[MOUNT:INODE]; the inode is hexadecimal unless %d is given
	local mnt
	mnt=$(sed -n 's/^mnt_id:[[:space:]]*//p' "/proc/$PID/fdinfo/$1")
	# shellcheck disable=SC2059
	printf "file[%x:${2:-%x}]" "$mnt" "$(stat -Lc %i "/proc/$PID/fd/$1")"
}
judged() {
	kill -TERM "$PID"
	until_true test -s "$IMG/verdict"
	[ "$(cat "$IMG/verdict")" = OK ] || { cat "$IMG/verdict"; return 1; }
	[ "$(cat "$IMG/new-plain")" = more ]
}
# restore_lent WORD...: with descriptors 21... for what was external; 24 is a memfd that holds "new"
restore_lent() {
	/usr/bin/python3 - "$BUILD/stasis" "$IMG" "$@" 21<>"$IMG/new-file" 22<"$IMG/new-dir" 23>>"$IMG/new-plain" 25<>/dev/loop-control <<'PY'
import os, subprocess, sys
binary, d, words = sys.argv[1], sys.argv[2], sys.argv[3:]
m = os.memfd_create("theirs")
os.write(m, b"new")
os.dup2(m, 24)
sys.exit(subprocess.run([binary, "restore", "-D", d + "/img", "-d", *words], pass_fds=range(21, 26)).returncode)
PY
}

@test "external files by mount and inode, one a device of no kind; a memfd and a plain path by name" {
	start device
	f=$(key 7) d=$(key 8 %d) c=$(key 12)
	run -1 dump --external "$f" --external "$d" # the device is not declared
	[[ $output == *loop-control* ]]
	dump --external "$f" --external "$d" --external "$c"
	until_true gone "$PID"
	run -1 restore
	[[ $output == *"--inherit-fd 'fd[N]:file["* ]] || { echo "$output"; false; }
	run -1 restore_lent --inherit-fd "fd[23]:$f" --inherit-fd "fd[22]:$d" --inherit-fd "fd[25]:$c"
	[[ $output == *"cannot be read and written"* ]] || { echo "$output"; false; }
	restore_lent --inherit-fd "fd[21]:$f" --inherit-fd "fd[22]:$d" --inherit-fd "fd[25]:$c" \
		--inherit-fd "fd[23]:${IMG#/}/plain" --inherit-fd "fd[24]:/memfd:mine"
	judged
}

@test "an external file may be gone, and its image says so in CRIU's words" {
	start files
	f=$(key 7)
	rm "$IMG/file"
	dump --external "$f" --ghost-limit 0
	crit decode -i "$IMG/img/files.img" | jq -e --arg f "$f" '.entries[] | select(.reg.name == $f) | .reg.ext == true'
	until_true gone "$PID"
	restore_lent --inherit-fd "fd[21]:$f" --inherit-fd "fd[22]:${IMG#/}/dir" --inherit-fd "fd[23]:${IMG#/}/plain" \
		--inherit-fd "fd[24]:/memfd:mine"
	judged
}
