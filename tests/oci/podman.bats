#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Containers of Debian's Podman (runc, conmon), with us as its criu.
bats_require_minimum_version 1.5.0
load ../kit/podman

setup() { setup_podman runc; }
teardown() { teardown_podman; }

COUNT='i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done'
counter() { # counter NAME OPTIONS...: counts on its standard output
	local name=$1
	shift
	p run -d --name "$name" ${NET---network none} "$@" "$IMAGE" sh -c "$COUNT" >/dev/null
	until_true beyond "$name" 3
}

@test "checkpoint and restore, three generations; nothing but the name on standard output" {
	counter one
	for g in 1 2 3; do
		[ "$(p container checkpoint one)" = one ]
		state_is one exited
		n=$(last one)
		[ "$(p container restore one)" = one ]
		state_is one running
		onward one "$n"
	done
	sound one
}

@test "--leave-running; --keep; --print-stats" {
	counter one
	p container checkpoint --leave-running --keep --print-stats one > "$DIR/stats"
	state_is one running
	onward one "$(last one)"
	jq -e '.container_statistics[0].criu_statistics | .frozen_time > 0 and .pages_written > 0' "$DIR/stats"
	files=$(find "$DIR/root" -name dump.log)
	[ -s "$files" ]
	p container checkpoint one >/dev/null
	p container restore --keep --print-stats one > "$DIR/stats"
	jq -e '.container_statistics[0].criu_statistics | .restore_time > 0 and .pages_restored > 0' "$DIR/stats"
	[ -s "$(find "$DIR/root" -name restore.log)" ]
}

@test "--export with every compression, --import, files that were changed and deleted" {
	for c in none gzip zstd; do
		counter "c-$c" -v "vol-$c:/vol"
		p exec "c-$c" sh -c 'echo kept > /kept; rm /etc/group; echo in volume > /vol/file'
		p container checkpoint --export "$DIR/$c.tar" --compress "$c" "c-$c" >/dev/null || why
		n=$(last "c-$c")
		p rm "c-$c" >/dev/null
		p volume rm "vol-$c" >/dev/null
		p container restore --import "$DIR/$c.tar" >/dev/null
		onward "c-$c" "$n"
		[ "$(p exec "c-$c" cat /kept /vol/file)" = "kept
in volume" ]
		run ! p exec "c-$c" cat /etc/group
	done
	tar -tf "$DIR/none.tar" | grep -qx checkpoint/inventory.img
}

@test "--import --name: two of one archive beside the original; and checkpointed again" {
	counter one
	p container checkpoint --leave-running --export "$DIR/one.tar" one >/dev/null
	p container restore --import "$DIR/one.tar" --name two >/dev/null
	p container restore --import "$DIR/one.tar" --name three >/dev/null
	onward one "$(last one)"
	onward two "$(last two)"
	onward three "$(last three)"
	p container checkpoint --export "$DIR/two.tar" two >/dev/null
	n=$(last two)
	p container restore --import "$DIR/two.tar" --name four >/dev/null
	onward four "$n"
	p container checkpoint four >/dev/null
	n=$(last four)
	p container restore four >/dev/null
	onward four "$n"
}

@test "on a terminal (-t)" {
	counter one -t
	p container checkpoint one >/dev/null
	n=$(last one)
	p container restore one >/dev/null
	onward one "$n"
	p container checkpoint --export "$DIR/t.tar" one >/dev/null
	n=$(last one)
	p container restore --import "$DIR/t.tar" --name two >/dev/null
	onward two "$n"
}

@test "a connection: refused with what to do, kept by --tcp-established" {
	mkdir "$DIR/data"
	p run -d --name one --network none -v "$DIR/data:/data" "$IMAGE" sh -c \
		"busybox nc -l -p 9 -e sh -c 'cat > /data/got' &
		until ($COUNT) | busybox nc 127.0.0.1 9; do sleep 0.1; done; echo ended > /data/ended" >/dev/null
	got() { wc -l < "$DIR/data/got" 2>/dev/null || echo 0; }
	got_beyond() { [ "$(got)" -gt "$1" ]; }
	until_true got_beyond 3
	run ! p container checkpoint one
	grep -q -- --tcp-established "$(find "$DIR/root" -name dump.log)"
	state_is one running
	p container checkpoint --tcp-established one >/dev/null
	n=$(got)
	p container restore --tcp-established one >/dev/null
	until_true got_beyond "$((n + 3))"
	awk '$1 != NR { exit 1 }' "$DIR/data/got"
	[ ! -e "$DIR/data/ended" ]
}

@test "--file-locks" {
	mkdir "$DIR/data"
	p run -d --name one --network none --cap-add LEASE -v "$DIR/data:/data" -v "$BUILD/tests/kit/locks:/locks:ro" \
		"$IMAGE" /locks all /data >/dev/null
	until_true test -e "$DIR/data/ready"
	run ! p container checkpoint one
	grep Error "$(find "$DIR/root" -name dump.log)" | grep -q -- --file-locks
	state_is one running
	p container checkpoint --file-locks one >/dev/null
	p container restore --file-locks one >/dev/null
	p kill -s TERM one >/dev/null
	until_true test -s "$DIR/data/verdict"
	[ "$(cat "$DIR/data/verdict")" = OK ] || { cat "$DIR/data/verdict" >&2; false; }
}

@test "networks: the host's, a bridge with an address that comes back and a published port" {
	NET='--network host' counter host
	p container checkpoint host >/dev/null
	n=$(last host)
	p container restore host >/dev/null
	onward host "$n"
	p run -d --name web --network podman -p 8099:80 "$IMAGE" \
		sh -c 'echo hello > /data/index.html; exec busybox httpd -f -p 80 -h /data' >/dev/null
	hello() { [ "$(busybox wget -qO- "$1/index.html")" = hello ]; }
	address() { p inspect -f '{{.NetworkSettings.IPAddress}}' web; }
	a=$(address)
	until_true hello "http://$a"
	until_true hello http://127.0.0.1:8099
	p container checkpoint --tcp-established web >/dev/null
	run ! hello "http://$a"
	p container restore --tcp-established web >/dev/null
	[ "$(address)" = "$a" ]
	until_true hello "http://$a"
	until_true hello http://127.0.0.1:8099
}

@test "in a pod, with its network, IPC and host name; restored, and restored into another pod" {
	p pod create --name a --network none >/dev/null
	b=$(p pod create --name b --network none)
	NET= counter one --pod a
	p container checkpoint --export "$DIR/one.tar" one >/dev/null
	n=$(last one)
	p container restore one >/dev/null
	onward one "$n"
	p container restore --import "$DIR/one.tar" --name two --pod "$b" >/dev/null # 4.3 takes no name here
	onward two "$n"
	infra() { p inspect -f '{{.State.Pid}}' "$(p pod inspect -f '{{.InfraContainerID}}' "$1")"; }
	pid() { p inspect -f '{{.State.Pid}}' "$1"; }
	for k in net ipc uts; do
		[ "$(readlink "/proc/$(pid one)/ns/$k")" = "$(readlink "/proc/$(infra a)/ns/$k")" ]
		[ "$(readlink "/proc/$(pid two)/ns/$k")" = "$(readlink "/proc/$(infra b)/ns/$k")" ]
	done
}

@test "a checkpoint as an image" {
	counter one
	p container checkpoint --create-image localhost/cp one >/dev/null
	n=$(last one)
	p inspect localhost/cp | jq -e '.[0].Annotations["io.podman.annotations.checkpoint.criu.version"] == "40200"'
	p rm one >/dev/null
	p container restore --name two localhost/cp >/dev/null
	onward two "$n"
}

@test "--pre-checkpoint and --with-previous: refused, the log says so in one sentence, and the container runs on" {
	counter one
	run ! p container checkpoint --pre-checkpoint one
	state_is one running
	run ! p container checkpoint --with-previous --export "$DIR/one.tar" one
	[ "$(grep -h Error "$(find "$DIR/root" -name dump.log)" | wc -l)" = 2 ] # the sentence, and "Dumping FAILED."
	[ ! -e "$DIR/one.tar" ]
	onward one "$(last one)"
	p container checkpoint one >/dev/null
	n=$(last one)
	p container restore one >/dev/null
	onward one "$n"
}

@test "--ignore-rootfs, --ignore-volumes: what was changed in them stays out of the archive" {
	counter one -v vol:/vol
	p exec one sh -c 'echo kept > /kept; echo in volume > /vol/file'
	p container checkpoint --ignore-rootfs --ignore-volumes --export "$DIR/one.tar" one >/dev/null
	! tar -tf "$DIR/one.tar" | grep -E 'rootfs-diff|volumes'
	n=$(last one)
	p rm one >/dev/null
	p volume rm vol >/dev/null
	p container restore --ignore-rootfs --ignore-volumes --import "$DIR/one.tar" >/dev/null
	onward one "$n"
	run ! p exec one cat /kept
	run ! p exec one cat /vol/file
}

removed() { ! p container exists "$1"; }

@test "--rm: only with --export, after which it is gone, and back by --import" {
	counter one --rm
	run ! p container checkpoint one
	[[ $output == *--export* ]]
	state_is one running
	p container checkpoint --export "$DIR/one.tar" one >/dev/null
	until_true removed one # by a process that conmon starts
	p container restore --import "$DIR/one.tar" >/dev/null
	until_true beyond one 3
	state_is one running
}

@test "a static address and MAC come back; with --ignore-static-ip and -mac there are new ones; --publish another port" {
	net=stasis-$$-$BATS_TEST_NUMBER
	p network create --subnet 10.97.3.0/24 "$net" >/dev/null
	own() { p inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.MacAddress}}{{end}}' "$1"; }
	was='10.97.3.9 92:d0:c6:0a:29:35'
	NET="--network $net --ip ${was% *} --mac-address ${was#* }" counter one
	[ "$(own one)" = "$was" ]
	p container checkpoint --export "$DIR/one.tar" one >/dev/null
	n=$(last one)
	p container restore --import "$DIR/one.tar" --name two --ignore-static-ip --ignore-static-mac --publish 8097:80 >/dev/null
	onward two "$n"
	[[ $(own two) == 10.97.3.* ]] && [ "$(own two | cut -d' ' -f1)" != "${was% *}" ] && [[ $(own two) != *"${was#* }" ]]
	p exec two sh -c 'echo hello > /data/index.html; exec busybox httpd -p 80 -h /data'
	hello() { [ "$(busybox wget -qO- http://127.0.0.1:8097/index.html)" = hello ]; }
	until_true hello
	p container restore one >/dev/null
	onward one "$n"
	[ "$(own one)" = "$was" ]
	p rm -fa -t 0 >/dev/null
	p network rm "$net" >/dev/null
}

@test "several containers of a pod, at once" {
	p pod create --name a --network none >/dev/null
	NET= counter one --pod a
	NET= counter two --pod a
	p container checkpoint one two >/dev/null
	a=$(last one) b=$(last two)
	p container restore one two >/dev/null
	onward one "$a"
	onward two "$b"
	pid() { p inspect -f '{{.State.Pid}}' "$1"; }
	[ "$(readlink "/proc/$(pid one)/ns/ipc")" = "$(readlink "/proc/$(pid two)/ns/ipc")" ]
}

@test "rootless: Podman itself says that it takes root" {
	chmod 755 "$DIR"
	install -d -o nobody "$DIR/home" "$DIR/home/run"
	run ! timeout 60 runuser -u nobody -- env -u CONTAINERS_CONF HOME="$DIR/home" XDG_RUNTIME_DIR="$DIR/home/run" \
		podman container checkpoint -l
	[[ $output == *"requires root"* ]]
}

@test "stasis checkpoint --export: volumes with all that is in them, or without" {
	counter one -v vol:/vol -v "empty:/own/empty"
	p exec one sh -c 'echo in volume > /vol/file; busybox ln /vol/file /vol/same; mkdir -m 700 /vol/dir; busybox chown 12:34 /vol/dir'
	stasis checkpoint one --export "$DIR/bare.tar" --ignore-volumes --leave-running
	! tar -tf "$DIR/bare.tar" | grep volumes
	stasis checkpoint one --export "$DIR/one.tar.zst"
	n=$(last one)
	p rm one >/dev/null
	p volume rm vol empty >/dev/null
	p container restore --import "$DIR/one.tar.zst" >/dev/null || why
	onward one "$n"
	p exec one sh -c 'cat /vol/same; busybox stat -c "%u:%g %a" /vol/dir; busybox stat -c %h /vol/file; ls /own/empty' >"$DIR/seen" 2>&1 || true; cat "$DIR/seen"
	[ "$(cat "$DIR/seen")" = "in volume
12:34 700
2" ]
	p rm -f -t 0 one >/dev/null
	p volume rm vol empty >/dev/null
	p container restore --ignore-volumes --import "$DIR/bare.tar" >/dev/null || why
	until_true beyond one 3
}

# Debian's Podman has no SQLite: what it stores is put where Podman 5 has it, in a table as that makes it
@test "stasis checkpoint --export: the configuration from an SQLite database" {
	counter one
	stasis checkpoint one --export "$DIR/one.tar" --leave-running >/dev/null
	mkdir "$DIR/a" "$DIR/b"
	tar -C "$DIR/a" -xf "$DIR/one.tar" config.dump
	mv "$DIR/root/libpod/bolt_state.db" "$DIR/bolt"
	run -0 --separate-stderr stasis checkpoint one --export "$DIR/two.tar" --leave-running
	[[ $stderr == *"cannot be read there (No such file or directory)"* ]] || { echo "$stderr"; false; }
	/usr/bin/python3 - "$DIR/root/db.sql" "$DIR/a/config.dump" <<-'PY'
	import json, sqlite3, sys
	text = open(sys.argv[2]).read()
	c = json.loads(text)
	db = sqlite3.connect(sys.argv[1])
	db.execute("CREATE TABLE ContainerConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, PodID TEXT, JSON TEXT NOT NULL)")
	db.execute("INSERT INTO ContainerConfig VALUES (?, ?, NULL, ?)", ("0" * 64, "other", "{}"))
	db.execute("INSERT INTO ContainerConfig VALUES (?, ?, NULL, ?)", (c["id"], c["name"], text))
	db.commit()
	PY
	run -0 --separate-stderr stasis checkpoint one --export "$DIR/three.tar"
	[[ $stderr != *"cannot be read"* ]] || { echo "$stderr"; false; }
	tar -C "$DIR/b" -xf "$DIR/three.tar" config.dump
	diff "$DIR/a/config.dump" "$DIR/b/config.dump"
	mv "$DIR/bolt" "$DIR/root/libpod/bolt_state.db"
	n=$(last one)
	p rm one >/dev/null
	p container restore --import "$DIR/three.tar" >/dev/null || why
	onward one "$n"
}

@test "stasis checkpoint --export: an archive that podman container restore --import takes" {
	counter one --tmpfs /own
	p exec one sh -c 'echo kept > /kept; rm /etc/group; echo own > /own/file'
	stasis checkpoint one --export "$DIR/one.tar" --leave-running > "$DIR/said" || why
	grep -q "podman container restore --import $DIR/one.tar" "$DIR/said"
	run ! stasis restore --import "$DIR/one.tar"
	[[ $output == *"podman container restore --import"* ]]
	onward one "$(last one)"
	stasis checkpoint "$(p inspect -f '{{.Id}}' one)" --export "$DIR/two.tar.zst"
	n=$(last one)
	p container restore --import "$DIR/one.tar" --name two >/dev/null
	until_true beyond two 3
	p rm -f -t 0 one >/dev/null
	p container restore --import "$DIR/two.tar.zst" >/dev/null
	onward one "$n"
	[ "$(p exec one cat /kept /own/file)" = "kept
own" ]
	run ! p exec one cat /etc/group
	p container checkpoint one >/dev/null
	p container restore one >/dev/null
}
