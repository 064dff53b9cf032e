#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Options that say how files, watches, interfaces, switches of the network, cgroups and the log are dealt with.
# Shows: fd/reg fd/inotify net-link net-sysctl cgroup-dump cgroup-restore
bats_require_minimum_version 1.5.0
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	mkdir "$IMG/img" "$IMG/d"
	PIDS=
}
teardown() {
	local p
	for p in $PIDS ${OUT:-}; do kill -9 "$p" 2>/dev/null || true; done
	for p in $PIDS; do until_true gone "$p"; done
	[ -z "${CGROUP:-}" ] || rmdir "$CGROUP"{,-moved}/{init,sub/leaf,sub,} 2>/dev/null || true
	! mountpoint -q "$IMG/d/o" || umount -l "$IMG/d/o"
	! mountpoint -q "$IMG/d" || umount -l "$IMG/d"
	rm -rf --one-file-system "$IMG"
}
ready() { # ready COMMAND...: in the background as PID, without our descriptors; it runs when it is idle
	"$@" </dev/null >"$IMG/out" 2>&1 3>&- &
	PID=$!
	PIDS+=" $PID"
	until_true grep -q ready "$IMG/out" || { cat "$IMG/out"; return 1; }
}
# a copy of idle that has descriptor 5 open, in which nothing is read
holds() { # holds FILE
	# shellcheck disable=SC2016
	ready bash -c 'exec 5<"$1"; exec "$2"' bash "$1" "$IMG/d/idle"
}
program() { # program BUILD-ID FILE: idle as another build of the same size
	cp "$BUILD/tests/kit/idle" "$2"
	/usr/bin/python3 - "$1" "$2" <<'PY'
import struct, sys
want, name = sys.argv[1:]
data = bytearray(open(name, "rb").read())
phoff, n = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
for i in range(n):
    kind, flags, at, va, pa, size = struct.unpack_from("<IIQQQQ", data, phoff + 56 * i)
    where = data.find(b"\3\0\0\0GNU\0", at, at + size) if kind == 4 else -1
    if where >= 0:
        data[where + 8:where + 8 + len(want)] = want.encode()
        open(name, "wb").write(data)
        sys.exit(0)
sys.exit("no build id")
PY
}
dump_end() {
	dump "$@"
	until_true gone "$PID"
}
again() { # again OPTION...: restored, running, ended
	restore "$@"
	kill -9 "$PID"
	until_true gone "$PID"
}

@test "--file-validation: a program of another build is refused, though it is as long; filesize takes it" {
	program one "$IMG/d/idle"
	holds "$IMG/d/idle"
	dump_end
	crit show "$IMG/img/files.img" | grep -q '"build_id"'
	again
	program two "$IMG/d/new"
	mv "$IMG/d/new" "$IMG/d/idle"
	for o in "" "--file-validation buildid" "--file-validation filesize --file-validation buildid"; do
		# shellcheck disable=SC2086
		run -1 restore $o
		[[ $output == *"$IMG/d/idle: is another build"*"--file-validation filesize"* ]] || { echo "$output"; false; }
	done
	again --file-validation filesize
	echo 'file-validation filesize' >"$IMG/conf"
	again --config "$IMG/conf"
	: >>"$IMG/d/idle"
	echo more >>"$IMG/d/idle"
	run -1 restore --file-validation filesize
	[[ $output == *"put the right file there"* ]] || { echo "$output"; false; }
}

@test "--skip-file-rwx-check: a file's permissions may have changed, not its sort" {
	cp "$BUILD/tests/kit/idle" "$IMG/d/idle"
	echo text >"$IMG/d/f"
	chmod 640 "$IMG/d/f"
	holds "$IMG/d/f"
	dump_end
	chmod 604 "$IMG/d/f"
	run -1 restore
	[[ $output == *"$IMG/d/f: its mode is 0100604, it was 0100640"*"--skip-file-rwx-check"* ]] || { echo "$output"; false; }
	run -1 restore --skip-file-rwx-check --no-skip-file-rwx-check
	restore --skip-file-rwx-check
	[ "$(cat "/proc/$PID/fd/5")" = text ] && [ "$(stat -c %a "$IMG/d/f")" = 604 ]
	kill -9 "$PID"
	until_true gone "$PID"
	rm "$IMG/d/f"
	mkdir -m 640 "$IMG/d/f"
	run -1 restore --skip-file-rwx-check
	[[ $output == *"$IMG/d/f: "* ]] || { echo "$output"; false; }
}

# what an inotify of a file on an overlay shows nobody can open: it is found by its inode
watched() { crit show "$IMG/img/inotify-wd.img" 2>/dev/null || crit show "$IMG/img/files.img"; }

@test "--irmap-scan-path: where a watched file is looked for first; --force-irmap" {
	mount -t tmpfs none "$IMG/d" 2>/dev/null
	mkdir "$IMG"/d/{low,up,work,o}
	mount -t overlay -o "lowerdir=$IMG/d/low,upperdir=$IMG/d/up,workdir=$IMG/d/work" none "$IMG/d/o" ||
		skip "this kernel has no overlay"
	mkdir -p "$IMG/d/o/a" "$IMG/d/o/z/deep"
	echo x >"$IMG/d/o/a/file"
	ln "$IMG/d/o/a/file" "$IMG/d/o/z/deep/other"
	ready /usr/bin/python3 -c '
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
fd = libc.inotify_init()
assert libc.inotify_add_watch(fd, sys.argv[1].encode(), 0x100) >= 0 # IN_CREATE: nothing comes of it
print("ready", flush=True)
time.sleep(1000)' "$IMG/d/o/a/file"
	dump -R
	watched | grep -q "\"path\": \"$IMG/d/o/a/file\""
	for o in "--irmap-scan-path $IMG/d/o/z/deep" "--irmap-scan-path /none --irmap-scan-path $IMG/d/o/z --force-irmap" RPC; do
		rm "$IMG"/img/*
		# shellcheck disable=SC2086
		case $o in
		RPC) by_rpc DUMP "o.pid, o.leave_running = $PID, True; o.irmap_scan_paths.extend(['/none', '$IMG/d/o/z'])" ;;
		*) dump -R $o ;;
		esac
		watched | grep -q "\"path\": \"$IMG/d/o/z/deep/other\""
	done
	kill -9 "$PID"
	until_true gone "$PID"
	rm "$IMG/d/o/a/file"
	restore
	grep -q "^inotify wd:.* ino:$(printf %x "$(stat -c %i "$IMG/d/o/z/deep/other")") " "/proc/$PID/fdinfo/3"
}

@test "--veth-pair and --weak-sysctls: a device's outer end; a switch that cannot be set" {
	ready unshare -n "$BUILD/tests/kit/idle"
	OUT=$PID
	ready nsenter -t "$OUT" -n unshare -n "$BUILD/tests/kit/idle"
	outside() { nsenter -t "$OUT" -n "$@"; }
	[ "$(readlink "/proc/$OUT/ns/net")" != "$(readlink /proc/self/ns/net)" ]
	outside ip link add outer type veth peer name eth0 netns "$PID"
	nsenter -t "$PID" -n ip link set eth0 up
	outside ip link add br8 type bridge
	outside "$BUILD/stasis" dump -t "$PID" -D "$IMG/img"
	until_true gone "$PID"
	edit_image "$(ls "$IMG"/img/netns-*.img)" 'e[0]["def_conf6"][19]["iarg"] = 999 # hop_limit, below 256'
	run -1 outside "$BUILD/stasis" restore -d -D "$IMG/img" --veth-pair eth0=again@br8
	[[ $output == *"sysctl sys/net/ipv6/conf/default/hop_limit: set to 999"*"--weak-sysctls"* ]] || { echo "$output"; false; }
	run -0 outside "$BUILD/stasis" restore -d -D "$IMG/img" --veth-pair eth0=again@br8 --weak-sysctls
	[[ $output == *"Warn"*"hop_limit: cannot be set to 999"* ]] || { echo "$output"; false; }
	outside ip -o link show dev again | grep -q 'master br8'
	nsenter -t "$PID" -n ip link show eth0 | grep -q UP
}

cgroups() { # the directory of pids cgroups, for all of it
	local top
	top=$(awk '$(NF-2) == "cgroup" && $NF ~ "(^|,)pids(,|$)" { print $5; exit }' /proc/self/mountinfo)
	[ -n "$top" ] || skip "this kernel has no pids cgroups of version 1 mounted"
	CGROUP=$top/stasis-options-$$-$RANDOM
	mkdir -p "$CGROUP/init" "$CGROUP/sub/leaf"
}

@test "--cgroup-root: all of a container's directories at a dump, with and without a controller; elsewhere at a restore" {
	cgroups
	ready "$BUILD/tests/kit/idle"
	echo "$PID" >"$CGROUP/init/cgroup.procs"
	echo 33 >"$CGROUP/sub/leaf/pids.max"
	echo 44 >"$CGROUP/sub/pids.max"
	dump -R
	! crit show "$IMG/img/cgroup.img" | grep -q '"44"'
	name=/${CGROUP##*/}
	for o in "pids:$name" "$name"; do
		rm "$IMG"/img/*
		dump -R --cgroup-root "$o"
		crit show "$IMG/img/cgroup.img" | grep -q '"44"'
	done
	kill -9 "$PID"
	until_true gone "$PID"
	rmdir "$CGROUP"/{init,sub/leaf,sub,}
	restore --cgroup-root "pids:$name-moved" --cgroup-root "$name"
	grep -qx "$PID" "$CGROUP-moved/init/cgroup.procs"
	[ "$(cat "$CGROUP-moved"/{sub,sub/leaf}/pids.max | tr '\n' ' ')" = "44 33 " ]
	[ ! -e "$CGROUP" ]
}

@test "--verbosity: what is said at every level, and where" {
	ready "$BUILD/tests/kit/idle"
	said() { # said LEVELS WORD...: a dump that warns
		run -0 --separate-stderr "$BUILD/criu" dump -t "$PID" -D "$IMG/img" -R --evasive-devices --ghost-fiemap --allow-uprobes "${@:2}"
		[ -z "$output" ]
		[ "$1" = "$(for w in '^(\([0-9. ]*\) )?Warn  \(' '^\([0-9. ]*\) Dumping finished' '^\([0-9. ]*\) .*0x1: '; do grep -qE "$w" <<<"$stderr" && echo -n y || echo -n n; done)" ] ||
			{ echo "want $1:" "$stderr"; return 1; }
	}
	said nnn --verbosity=1
	said nnn -v0
	said ynn
	said ynn -v2
	said yyn -v
	said yyn --verbosity=3
	said yyy -vv
	said yyy -v4
	said yyy --verbosity=4 --no-ghost-fiemap --no-allow-uprobes
	run -1 --separate-stderr "$BUILD/criu" dump -t 999999999 -D "$IMG/img" -v1
	[[ $stderr == "Error ("* ]]
}
