# SPDX-License-Identifier: Apache-2.0
# Helpers for bats: containers under runc, with our criu in its PATH.
load ../kit/helper

setup_runc() {
	PATH=$BUILD:$PATH
	DIR=$(mktemp -d)
	ID=stasis-$$-$RANDOM-$BATS_TEST_NUMBER
	STATE=$DIR/state
	IDS=$ID
}

teardown_runc() {
	local id
	for id in $IDS; do
		runc --root "$STATE" delete -f "$id" 2>/dev/null || true
	done
	rm -rf --one-file-system "$DIR"
}

# bundle NAME FILTER: a bundle $DIR/NAME with busybox; FILTER is a jq program on its config
bundle() {
	local b=$DIR/$1
	mkdir -p "$b/rootfs"/{bin,data,dev,proc,sys,tmp,usr,lib,lib64}
	cp "$(command -v busybox)" "$b/rootfs/bin/busybox"
	ln -sf busybox "$b/rootfs/bin/sh"
	(cd "$b" && runc spec)
	jq '.process.terminal = false | .root.readonly = false | .process.cwd = "/data" |
		.hostname = "stasis" | '"$2" "$b/config.json" > "$b/c" && mv "$b/c" "$b/config.json"
}

# usr: jq filter that shows the host's programs, read-only
USR='.mounts += [{"destination":"/usr","type":"bind","source":"/usr","options":["rbind","ro"]},
	{"destination":"/lib","type":"bind","source":"/lib","options":["rbind","ro"]},
	{"destination":"/lib64","type":"bind","source":"/lib64","options":["rbind","ro"]}]'

# OWN_DATA: jq filter that gives /data a tmpfs of its own, which the images hold: what runs on after a checkpoint
# changes nothing that the restore needs
OWN_DATA='.mounts += [{"destination":"/data","type":"tmpfs","source":"tmpfs"}]'
count_inside() { FILE=/proc/$(pid_of "$ID")/root/data/count; }

r() { runc --root "$STATE" "$@"; }
status() { r state "$1" 2>/dev/null | jq -r .status; }
is() { [ "$(status "$1")" = "$2" ]; }
pid_of() { r state "$1" | jq -r .pid; }
start() { # start BUNDLE ID: standard output and errors go to a file
	r run -d --bundle "$DIR/$1" "$2" </dev/null >"$DIR/out" 2>"$DIR/err" 3>&- || { cat "$DIR/err" >&2; return 1; }
}
checkpoint() { # checkpoint ID IMAGES OPTIONS...
	local id=$1 img=$2
	shift 2
	mkdir -p "$img"
	r checkpoint --image-path "$img" "$@" "$id" 2>"$DIR/err" ||
		{ cat "$DIR/err" >&2; grep -m1 Error "$img/dump.log" >&2; return 1; }
}
resume() { # resume BUNDLE ID IMAGES OPTIONS...
	local b=$1 id=$2 img=$3
	shift 3
	r restore -d --bundle "$DIR/$b" --image-path "$img" "$@" "$id" </dev/null >"$DIR/out" 2>"$DIR/err" 3>&- ||
		{ cat "$DIR/err" >&2; grep -m1 Error "$img/restore.log" >&2; return 1; }
}
# a link named so, or a file: counters that are restored after they ran on make links, and have no file open
number() { local n; n=$(readlink "$1" || cat "$1" 2>/dev/null || true); echo "${n:-0}"; }
counts_beyond() { [ "$(number "$1")" -gt "$2" ]; }

# kill_criu: end the criu that does the job as soon as it is there and some milliseconds old
kill_criu() {
	local n pid
	for n in $(seq 200); do
		pid=$(pgrep -o -f 'criu swrk 3') && break # the first: its warden has that name for a moment
		read -rt 0.002 <> <(:) || true
	done
	read -rt "0.00$((RANDOM % 10))" <> <(:) || true
	for pid in $pid; do
		kill -9 "$pid" 2>/dev/null || true
	done
}
no_criu() { ! pgrep -x criu >/dev/null && ! pgrep -x stasis-warden >/dev/null; }
ended() { is "$1" stopped || [ -z "$(status "$1")" ]; } # runc may have cleaned up already
