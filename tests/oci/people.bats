#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# stasis for people: containers by their names, checkpoints looked into and verified, archives.
bats_require_minimum_version 1.5.0
load ../kit/runc

setup() {
	setup_runc
	export STASIS_RUNTIME_ROOT=$STATE HOME=$DIR/home TMPDIR=$DIR/tmp
	mkdir -p "$HOME" "$TMPDIR"
	cd "$DIR"
}
teardown() {
	local d
	for d in "$DIR"/*/rootfs; do
		umount "$d" 2>/dev/null || true
	done
	[ ! -e "$DIR/netns" ] || umount "$DIR/netns" 2>/dev/null || true
	cd /
	teardown_runc
}

COUNT='i=0; while :; do i=$((i+1)); busybox ln -sfn $i /data/count; busybox sleep 0.02; done'
export COUNT
counter() {
	bundle "$1" '.process.args = ["/bin/sh", "-c", env.COUNT] | '"${2:-.}"
	FILE=$DIR/$1/rootfs/data/count
}
runs() { # it counts on
	local n
	n=$(number "$FILE")
	until_true counts_beyond "$FILE" "$((n + 3))"
}
up() { # up BUNDLE FILTER: a counter under that bundle that runs
	counter "$1" "${2:-.}"
	start "$1" "$ID"
	runs
}
# says STATUS WORDS COMMAND...: exit status and output (both streams) are as said
says() {
	local want=$1 words=$2
	shift 2
	run "$@"
	[ "$status" = "$want" ] || { echo "status $status: $output" >&2; return 1; }
	[[ $output == *"$words"* ]] || { echo "no '$words' in: $output" >&2; return 1; }
}

@test "list: a runc container with pid and status; stopped ones only with --all" {
	up b
	says 0 "$ID" stasis list
	[[ $output != *$'\033'* ]]
	[ "$(stasis list --json | jq -r --arg id "$ID" '.[] | select(.id == $id) | "\(.runtime) \(.pid) \(.status)"')" = "runc $(pid_of "$ID") running" ]
	until_true r pause "$ID" # runc gives up freezing early on a busy machine
	[ "$(stasis list --json | jq -r --arg id "$ID" '.[] | select(.id == $id) | .status')" = paused ]
	r resume "$ID"
	r kill "$ID" KILL
	until_true is "$ID" stopped
	run stasis list
	[[ $output != *"$ID"* ]]
	says 0 "$ID" stasis list --all
	unset STASIS_RUNTIME_ROOT
	says 0 "$ID" stasis list --all --runtime-root "/none:$STATE"
}

@test "checkpoint and restore by id; runc's commands work on it again" {
	up b
	says 0 "Bring it back:  stasis restore checkpoint-$ID" stasis checkpoint "$ID"
	is "$ID" stopped
	n=$(number "$FILE")
	says 0 "runs: pid" stasis restore "checkpoint-$ID"
	[[ $output != *"does not know"* ]]
	is "$ID" running
	runs
	[ "$(number "$FILE")" -lt "$((n + 2000))" ]
	[ "$(r exec "$ID" busybox hostname)" = stasis ]
	grep -q "$ID" "/proc/$(pid_of "$ID")/cgroup"
	says 1 "runs already" stasis restore "checkpoint-$ID"
	says 1 "holds a checkpoint already" stasis checkpoint "$ID"
	runs
	r kill "$ID" KILL
	until_true is "$ID" stopped
	r delete "$ID"
}

@test "restore after the runtime has deleted it: same cgroup, same root" {
	up b
	stasis checkpoint "$ID" -D img
	r delete "$ID"
	says 0 "runc does not know it" stasis restore img
	runs
	pid=$(sed -n 's/.*pid \([0-9]*\)\..*/\1/p' <<<"$output")
	grep -q "$ID" "/proc/$pid/cgroup"
	kill -9 "$pid"
	until_true eval '! kill -0 '"$pid"' 2>/dev/null'
}

@test "runc restores what stasis checkpointed: bind mounts, a linked destination, masked files" {
	mkdir -p host/sub
	echo outside > host/f
	echo masked > host/m
	counter b '.mounts += [{"destination":"/var/run/x","type":"bind","source":(env.PWD + "/host"),"options":["rbind","ro"]},
		{"destination":"/data/f","type":"bind","source":(env.PWD + "/host/f"),"options":["bind"]}] |
		.linux.maskedPaths += ["/data/masked"]'
	mkdir -p b/rootfs/{var,run/x}
	ln -sfn ../run b/rootfs/var/run
	cp host/m b/rootfs/data/masked
	start b "$ID"
	runs
	stasis checkpoint "$ID" -D img
	jq -e '.mounts[] | select(.destination == "/run/x")' img/stasis.json >/dev/null
	jq -e '.mounts[] | select(.destination == "/data/masked" and .name == "/dev/null")' img/stasis.json >/dev/null
	r delete "$ID"
	resume b "$ID" "$DIR/img"
	runs
	[ "$(r exec "$ID" busybox cat /run/x/f /data/f)" = "outside
outside" ]
	[ -z "$(r exec "$ID" busybox cat /data/masked)" ]
	# and so does stasis
	stasis checkpoint "$ID" -D img2
	stasis restore img2
	runs
	[ "$(r exec "$ID" busybox cat /run/x/f)" = outside ]
	run ! r exec "$ID" busybox touch /run/x/g
}

@test "a network namespace from outside is joined again" {
	touch netns
	unshare --net="$DIR/netns" ip link set lo up
	up b '(.linux.namespaces[] | select(.type == "network")).path = (env.PWD + "/netns")'
	ino=$(stat -Lc %i "/proc/$(pid_of "$ID")/ns/net")
	stasis checkpoint "$ID" -D img
	stasis restore img
	runs
	[ "$(stat -Lc %i "/proc/$(pid_of "$ID")/ns/net")" = "$ino" ]
	stasis checkpoint "$ID" -D img2
	umount netns
	says 1 "has to be there again" stasis restore img2
}

@test "names: Podman's, the beginning of an id, two of the same, none" {
	up b
	mkdir -p home/.local/share/containers/storage/overlay-containers
	jq -n --arg id "$ID" '[{id: $id, names: ["web"], metadata: ({"image-name": "docker.io/nginx"} | tojson)}]' \
		> home/.local/share/containers/storage/overlay-containers/containers.json
	[ "$(stasis list --json | jq -r --arg id "$ID" '.[] | select(.id == $id) | "\(.manager) \(.name) \(.image)"')" = "podman web docker.io/nginx" ]
	says 0 "It runs on." stasis checkpoint web --leave-running -D img
	runs
	says 0 "docker.io/nginx" stasis show img
	says 1 "podman container restore" stasis restore img
	runs
	says 0 "It runs on." stasis checkpoint "${ID%?}" -R -D img2
	IDS="$IDS $ID-2"
	cp -a b c
	start c "$ID-2"
	says 1 "2 are called so" stasis checkpoint "${ID%?}" -R -D img3
	says 1 "there is none of that name" stasis checkpoint nobody -D img3
	[ ! -e img3 ]
}

@test "crun's state is read, and knows the container after a restore" {
	up b
	pid=$(pid_of "$ID")
	start=$(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f20)
	mkdir -p crun/cr
	jq -n --argjson pid "$pid" --argjson start "$start" --arg b "$DIR/b" --arg cg "$ID" \
		'{pid: $pid, "process-start-time": $start, "cgroup-path": $cg, bundle: $b, rootfs: ($b + "/rootfs")}' > crun/cr/status
	export STASIS_RUNTIME_ROOT=$DIR/crun
	[ "$(stasis list --json | jq -r '.[] | select(.id == "cr") | "\(.runtime) \(.pid)"')" = "crun $pid" ]
	stasis checkpoint cr -D img
	stasis restore img
	runs
	new=$(jq .pid crun/cr/status)
	[ "$new" != "$pid" ]
	[ "$(stasis list --json | jq -r '.[] | select(.id == "cr") | .status')" = running ]
	kill -9 "$new"
}

@test "a pid: processes without a container" {
	IMG=$DIR
	mkdir work
	W=$DIR/work/w
	"$BUILD/tests/kit/work" "$W" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$W.ready"
	says 0 "It has ended." stasis checkpoint "$PID" -D img
	until_true gone "$PID"
	stasis check img
	stasis restore img -d
	verify
}

@test "a checkpoint that fails says why, and the container runs on; no file is left that looks like one" {
	bundle b '.process.args = ["/usr/bin/python3", "-c", "import socket, time; s = socket.create_server((\"127.0.0.1\", 9)); c = socket.create_connection((\"127.0.0.1\", 9)); a = s.accept(); open(\"/data/ready\", \"w\"); time.sleep(1000)"] | '"$USR"
	start b "$ID"
	until_true test -e b/rootfs/data/ready
	says 1 "--tcp-established" stasis checkpoint "$ID" -D img
	[ ! -e img/inventory.img ] && [ ! -e img/stasis.json ]
	says 1 "--tcp-established" stasis checkpoint "$ID" --export x.tar
	[ ! -e x.tar ] && [ -z "$(find . -maxdepth 1 -name '.stasis*')" ]
	is "$ID" running
	says 0 "stasis restore img --tcp-established" stasis checkpoint "$ID" -D img --tcp-established
	says 0 "tcp 127.0.0.1:9 listening" stasis show img
	[[ $output == *"established"* ]]
	[[ $output == *"/usr/bin/python3 -c import socket"* ]]
	stasis restore img --tcp-established
	is "$ID" running
}

@test "show: tree, memory, files, namespaces, mounts; JSON; no control characters of others" {
	bundle b '.process.args = ["/bin/sh", "-c", "exec 7>/data/file; busybox sleep 1000 & busybox sleep 1001 & wait"]'
	start b "$ID"
	until_true test -e b/rootfs/data/file
	until_true eval '[ "$(r ps -f json "$ID" | jq length)" = 3 ]'
	stasis checkpoint "$ID" -D img
	says 0 "/data/file" stasis show img
	[[ $output == *"busybox sleep 1000"* ]] && [[ $output == *"Namespaces"*"pid net ipc uts mnt"* ]]
	[[ $output == *"/dev/shm"* ]] && [[ $output != *$'\033'* ]]
	stasis show img --json > j
	[ "$(jq '.tasks | length' j)" = 3 ]
	[ "$(jq -r '.tasks[] | select(.ppid == 0) | .descriptors[] | select(.fd == 7) | .what' j)" = /data/file ]
	[ "$(jq '.memory' j)" = "$(cat img/pages-* | wc -c)" ]
	[ "$(jq -r .id j)" = "$ID" ]
	# a hostile name steers no terminal: rename the file in its image
	python3 - img/files.img <<'EOF'
import sys
p = sys.argv[1]
d = open(p, 'rb').read()
assert b'/data/file' in d
open(p, 'wb').write(d.replace(b'/data/file', b'/data\x1b[2J\x9b'[:10]))
EOF
	run stasis show img
	[[ $output != *$'\033'* ]]
	stasis show img --json | jq -e . >/dev/null
}

@test "check: whole; every kind of damage is found" {
	up b
	stasis checkpoint "$ID" -D img
	says 0 whole stasis check img
	[ "$(stasis check img --json | jq .whole)" = true ]
	pid=$(stasis show img --json | jq '.tasks[0].pid')
	pages=$(cd img && ls pages-*.img | head -n1)
	hurt() { # hurt WORDS COMMAND...: on a copy
		local words=$1
		shift
		rm -rf bad
		cp -a img bad
		(cd bad && "$@") || return 1
		says 1 "$words" stasis check bad || return 1
		[ "$(stasis check bad --json | jq .whole)" = false ]
	}
	hurt "too short" truncate -s -4096 "$pages"
	hurt "pagemap-" rm "$pages"
	hurt "core-$pid.img" rm "core-$pid.img"
	hurt "mm-$pid.img" rm "mm-$pid.img"
	hurt "fs-$pid.img" rm "fs-$pid.img"
	hurt "files.img" truncate -s -3 files.img
	hurt "files.img does not have" truncate -s 8 files.img
	hurt "magic" sh -c "printf xxxx | dd of=mm-$pid.img bs=1 seek=4 conv=notrunc status=none"
	hurt "inventory.img" truncate -s 2 inventory.img
	hurt "its image is missing" sh -c 'rm utsns-*.img'
	hurt "mountpoints" sh -c 'truncate -s -1 mountpoints-*.img'
	hurt "tmpfs-dev" sh -c 'for f in tmpfs-dev-*.tar.gz.img; do truncate -s -20 $f; done'
	hurt "seccomp.img" sh -c 'printf "\377\377\377\377" >> seccomp.img'
	says 1 "is no checkpoint" stasis check b
	says 1 "No such file" stasis check nothing
}

# over BUNDLE: its root becomes an overlay with layers
over() {
	mkdir -p "$1"/{lower,upper,work}
	mv "$1"/rootfs/* "$1/lower"
	mkdir -p "$1/lower/dir" "$1/lower/opaque"
	echo old > "$1/lower/dir/changed"
	echo old > "$1/lower/dir/deleted"
	echo old > "$1/lower/opaque/hidden"
	mount -t overlay overlay -o "lowerdir=$PWD/$1/lower,upperdir=$PWD/$1/upper,workdir=$PWD/$1/work" "$1/rootfs"
}

@test "export: the layout that Podman, CRI-O and checkpointctl read, in every compression" {
	counter b '.process.capabilities |= map_values(. + ["CAP_CHOWN"])'
	over b
	start b "$ID"
	runs
	r exec "$ID" busybox sh -c 'echo new > /dir/changed; busybox rm /dir/deleted; echo add > /dir/added; busybox chown 5:6 /dir/added;
		busybox rm -r /opaque; busybox mkdir /opaque; echo in > /opaque/in; busybox ln -s in /opaque/link; busybox ln /opaque/in /opaque/hard'
	for f in a.tar a.tar.gz a.tar.zst; do
		says 0 "It runs on." stasis checkpoint "$ID" --leave-running --export "$f"
		[ "$(stat -c %a "$f")" = 600 ]
		says 0 whole stasis check "$f"
		says 0 "$ID" stasis show "$f"
	done
	starts() { [ "$(od -An -tx1 -N"$2" "$1" | tr -d ' ')" = "$3" ]; }
	for f in xz bzip2; do # made by others; the name says nothing
		"$f" <a.tar >"other-$f"
		says 0 whole stasis check "other-$f"
		says 0 "$ID" stasis show "other-$f"
	done
	starts a.tar.gz 2 1f8b && starts a.tar.zst 4 28b52ffd
	stasis checkpoint "$ID" -R --export odd --compress gzip
	starts odd 2 1f8b
	[ -z "$(find . -maxdepth 1 -name '.stasis*' -o -name '*.part')" ]
	tar tf a.tar > names
	! grep -q '^\./' names
	for n in config.dump spec.dump network.status bind.mounts stats-dump dump.log checkpoint/ checkpoint/inventory.img rootfs-diff.tar deleted.files; do
		grep -qx "$n" names || { echo "no $n" >&2; false; }
	done
	mkdir x && tar xf a.tar -C x
	[ "$(jq -r .id x/config.dump)" = "$ID" ] && [ "$(jq -r .runtime x/config.dump)" = runc ]
	jq -e '.checkpointedTime | fromdate' x/config.dump >/dev/null
	[ "$(jq -S . x/spec.dump)" = "$(jq -S . b/config.json)" ]
	[ "$(cat x/network.status)" = null ]
	[ "$(jq -c 'sort' x/deleted.files)" = '["/dir/deleted","/opaque/hidden"]' ]
	tar tvf x/rootfs-diff.tar > diff
	grep -q ' dir/changed$' diff && grep -q '5/6.* dir/added$' diff && grep -q 'opaque/link -> in' diff && grep -q ' data/count -> ' diff
	! grep -q deleted diff && ! grep -q busybox diff
	# an archive that was unpacked by hand
	says 0 whole stasis check x
}

@test "format oci: an image that skopeo and umoci read; restored, shown and checked like the plain one" {
	up b
	for f in a.tar a.tar.gz; do
		says 0 "Bring it back:  stasis restore --import $f" stasis checkpoint "$ID" -R --format oci --export "$f"
		says 0 whole stasis check "$f"
		says 0 "$ID" stasis show "$f"
		[ -z "$(find . -maxdepth 1 -name '.stasis*' -o -name '*.part')" ]
	done
	mkdir layout && tar xf a.tar -C layout
	for f in layout/blobs/sha256/*; do
		[ "$(sha256sum <"$f" | cut -d' ' -f1)" = "${f##*/}" ]
	done
	skopeo inspect --raw oci-archive:a.tar | jq -e --arg id "$ID" '.annotations |
		."org.criu.checkpoint.container.name" == $id and ."org.criu.checkpoint.runtime.name" == "runc" and
		."org.criu.checkpoint.criu.version" == "40200" and ."org.criu.checkpoint.engine.name" == "runc"'
	skopeo inspect oci-archive:a.tar | jq -e '.Layers | length == 1'
	[ "$(umoci ls --layout layout)" = latest ]
	umoci unpack --image layout:latest flat
	[ -s flat/rootfs/checkpoint/inventory.img ] && [ "$(jq -r .id flat/rootfs/config.dump)" = "$ID" ]
	# what others made of it: copied, the layer compressed
	skopeo copy -q oci-archive:a.tar dir:copied
	skopeo copy -q --dest-compress oci-archive:a.tar oci-archive:b.tar:web
	says 0 whole stasis check b.tar
	# damaged, or with two images in it
	! cmp -s a.tar b.tar
	sed "s/CLONE_NEWNS/&/; s/\"ociVersion\"/\"ociVersioN\"/" a.tar >bad.tar
	! cmp -s a.tar bad.tar
	says 1 "is not what its name says" stasis check bad.tar
	jq '.manifests += .manifests' layout/index.json >two && mv two layout/index.json
	tar cf two.tar -C layout .
	says 1 "must name one image" stasis check two.tar
	jq '.manifests = .manifests[:1] | .manifests[0].digest = "sha256:../../../../etc/passwd"' layout/index.json >three && mv three layout/index.json
	tar cf three.tar -C layout .
	says 1 "must name one image" stasis check three.tar
	# for good, and back from a copy
	stasis checkpoint "$ID" --format oci --export c.tar
	skopeo copy -q --dest-compress oci-archive:c.tar oci-archive:d.tar:web
	stasis restore --import d.tar </dev/null >out 2>&1 3>&-
	grep -q "runs: pid" out
	runs
	r kill "$ID" KILL
	until_true is "$ID" stopped
}

@test "network.status names addresses and gateway" {
	up b
	nsenter -t "$(pid_of "$ID")" -n sh -c 'ip link add d0 type veth peer name d1 && ip addr add 10.1.2.3/24 dev d0 && ip link set d0 up && ip route add default via 10.1.2.1'
	stasis checkpoint "$ID" -R --export a.tar
	tar xf a.tar network.status
	[ "$(jq -c '.default.interfaces.d0.subnets' network.status)" = '[{"ipnet":"10.1.2.3/24","gateway":"10.1.2.1"}]' ]
	jq -e '.default.interfaces.d0.mac_address' network.status >/dev/null
}

@test "import: into the same root, and with the changes into another one" {
	counter b
	over b
	start b "$ID"
	runs
	r exec "$ID" busybox sh -c 'echo new > /dir/changed; busybox rm /dir/deleted; echo add > /dir/added'
	stasis checkpoint "$ID" --export a.tar.zst
	stasis restore --import a.tar.zst > said 2>&1 3>&-
	grep -q "runs: pid" said
	is "$ID" running
	runs
	[ -z "$(ls -A "$TMPDIR")" ]
	r delete -f "$ID"
	# a new machine has the image only
	umount b/rootfs
	mkdir -p c
	cp -a b/lower c/rootfs
	cp b/config.json c/
	mv b gone
	mkdir -p c/rootfs/{proc,dev,sys,tmp}
	FILE=$DIR/c/rootfs/data/count
	stasis restore --import a.tar.zst --bundle c > said 2>&1 3>&-
	grep -q "runs: pid" said
	pid=$(sed -n 's/.*pid \([0-9]*\)\..*/\1/p' said)
	runs
	[ "$(cat c/rootfs/dir/changed c/rootfs/dir/added)" = "new
add" ]
	[ ! -e c/rootfs/dir/deleted ]
	kill -9 "$pid"
}

@test "whole-rootfs: a root without layers is in the archive only when asked for" {
	up b
	says 0 "no layers" stasis checkpoint "$ID" -R --export a.tar
	! tar tf a.tar | grep -q rootfs-diff
	stasis checkpoint "$ID" -R --export w.tar --whole-rootfs
	tar xf w.tar rootfs-diff.tar
	tar tf rootfs-diff.tar | grep -qx bin/busybox
	! tar tf rootfs-diff.tar | grep -q '^proc/.'
}

# evil PYTHON: good.tar with what the code adds to out, as evil.tar
evil() {
	python3 - "$1" <<'EOF'
import io, sys, tarfile
src = tarfile.open('good.tar')
out = tarfile.open('evil.tar', 'w')
def add(name, data=b'x', **kw):
    t = tarfile.TarInfo(name)
    t.size = len(data)
    for k, v in kw.items():
        setattr(t, k, v)
    if t.type not in (tarfile.REGTYPE,):
        t.size = 0
        out.addfile(t)
    else:
        out.addfile(t, io.BytesIO(data))
def copy(skip=()):
    for m in src:
        if m.name not in skip:
            out.addfile(m, src.extractfile(m) if m.isreg() else None)
exec(sys.argv[1])
out.close()
EOF
}

@test "hostile archives: nothing is written outside, every one is refused in a sentence" {
	up b
	stasis checkpoint "$ID" --export good.tar
	says 0 whole stasis check good.tar
	mkdir victim
	echo safe > victim/f
	for code in \
		'add("../../victim/f"); copy()' \
		'add("'"$DIR"'/victim/f"); copy()' \
		'add("checkpoint/../../victim/f"); copy()' \
		'add("checkpoint", type=tarfile.SYMTYPE, linkname="'"$DIR"'/victim"); copy()' \
		'copy(("checkpoint/inventory.img",)); add("checkpoint/inventory.img", type=tarfile.SYMTYPE, linkname="/etc/passwd")' \
		'copy(); add("checkpoint/parent", type=tarfile.SYMTYPE, linkname="/")' \
		'copy(); add("checkpoint/pstree.img", type=tarfile.LNKTYPE, linkname="../victim/f")' \
		'copy(); add("checkpoint/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)' \
		'copy(); add("checkpoint/pipe", type=tarfile.FIFOTYPE)' \
		'copy(); add("checkpoint/pstree.img")' ; do
		evil "$code"
		for c in "check evil.tar" "show evil.tar" "restore --import evil.tar"; do
			# shellcheck disable=SC2086
			run stasis $c
			[ "$status" = 1 ] || { echo "$code: $c: $output" >&2; false; }
			[ "${#lines[@]}" = 1 ]
		done
		[ "$(cat victim/f)" = safe ] && [ "$(ls victim)" = f ]
		[ -z "$(ls -A "$TMPDIR")" ]
	done
	# larger than any machine
	python3 - <<'EOF'
h = bytearray(512)
h[0:16] = b'checkpoint/big.i'
h[100:108] = b'0000600\0'
h[124:136] = b'\x80' + bytes(3) + (1 << 45).to_bytes(8, 'big')
h[156:157] = b'0'
h[257:265] = b'ustar\x0000'
h[148:156] = b' ' * 8
h[148:156] = b'%06o\0 ' % sum(h)
open('evil.tar', 'wb').write(h + bytes(10240))
EOF
	says 1 "too large" stasis show evil.tar
	# JSON that a recursive reader dies of
	evil 'copy(("config.dump",)); add("config.dump", b"[" * 1000000)'
	says 1 "config.dump" stasis check evil.tar
	echo garbage > evil.tar
	says 1 "evil.tar" stasis show evil.tar
	head -c 100000 good.tar > evil.tar
	says 1 "evil.tar" stasis check evil.tar
	[ -z "$(ls -A "$TMPDIR")" ]
}

@test "a hostile root file system in an archive stays below the root" {
	up b
	stasis checkpoint "$ID" --export good.tar
	mkdir victim
	echo safe > victim/f
	ln -s "$DIR/victim" b/rootfs/data/way
	diffs() { # diffs PYTHON: adds to a rootfs-diff.tar
		python3 - "$1" <<'EOF'
import io, sys, tarfile
out = tarfile.open('d.tar', 'w')
def add(name, data=b'x', **kw):
    t = tarfile.TarInfo(name)
    for k, v in kw.items():
        setattr(t, k, v)
    t.size = len(data) if t.type == tarfile.REGTYPE else 0
    out.addfile(t, io.BytesIO(data) if t.size else None)
exec(sys.argv[1])
out.close()
EOF
		evil 'copy(); add("rootfs-diff.tar", open("d.tar", "rb").read())'
	}
	for code in 'add("../../victim/f")' 'add("'"$DIR"'/victim/f")' 'add("l", type=tarfile.SYMTYPE, linkname="'"$DIR"'/victim"); add("l/f")' \
		'add("disk", type=tarfile.BLKTYPE, devmajor=254)' 'add("h", type=tarfile.LNKTYPE, linkname="../../victim/f"); add("h")'; do
		diffs "$code"
		! stasis restore --import evil.tar > said 2>&1 3>&- || { echo "$code: $(cat said)" >&2; false; }
		[ "$(cat victim/f)" = safe ]
		[ ! -e b/rootfs/disk ]
	done
	# what is not in the bundle's configuration is not given
	for code in 'n["mounts"].append({"destination": "/tmp", "name": "/tmp", "source": "/etc"})' \
		'n["mounts"][0]["source"] = "/sys/fs/cgroup/../../../etc"' \
		'n["namespaces"].append({"type": "net", "path": "/proc/1/ns/net", "label": "extRootNetNS"})'; do
		evil 'import json; n = json.load(src.extractfile("checkpoint/stasis.json")); '"$code"'; copy(("checkpoint/stasis.json",)); add("checkpoint/stasis.json", json.dumps(n).encode())'
		says 1 "does not give it" stasis restore --import evil.tar
	done
	evil 'import json; n = json.load(src.extractfile("checkpoint/stasis.json")); n["bundle"] = n["rootfs"] = "/"; copy(("checkpoint/stasis.json",)); add("checkpoint/stasis.json", json.dumps(n).encode())'
	says 1 "--bundle" stasis restore --import evil.tar
	evil 'copy(); add("deleted.files", b"""["/../../victim/f", "/data/way/f", "'"$DIR"'/victim/f", "/..", "/", "", 5]""")'
	stasis restore --import evil.tar > said 2>&1 3>&-
	[ "$(cat victim/f)" = safe ]
	runs
}

@test "help teaches; options of other commands are refused; criu's own commands are as ever" {
	says 0 "stasis checkpoint CONTAINER" stasis help
	says 0 "stasis list" stasis --help
	for c in checkpoint restore list show check; do
		says 0 "stasis $c" stasis help "$c"
		says 0 "stasis $c" stasis "$c" --help
	done
	says 0 "--images-dir" stasis help dump
	says 1 "no command nonsense" stasis help nonsense
	says 1 "which CONTAINER" stasis checkpoint
	says 1 "is not for show" stasis show --export x y
	says 1 "value is missing" stasis checkpoint x --export
	says 1 "one word too many" stasis show a b
	says 1 "no such option" stasis checkpoint x --nonsense
	says 1 "none of plain, oci" stasis checkpoint $$ --export x --format docker
	says 1 "needs --export" stasis checkpoint $$ --format oci
	says 1 "none of none, gzip, zstd" stasis checkpoint $$ --export x --compress lzma
	says 255 "has been removed" criu show
	run criu list
	[ "$status" = 1 ]
}

@test "completion: commands, options, containers" {
	up b
	mkdir checkpoint-dir
	for shell in bash zsh; do
		/usr/bin/python3 "$BATS_TEST_DIRNAME/../kit/complete.py" "$shell" "$BATS_TEST_DIRNAME/../../contrib/completions" \
			"stasis checkp" "stasis checkpoint --exp" "stasis checkpoint ${ID%?}" "stasis help resto" "stasis list --exp" \
			"stasis restore --js" "stasis dump --leave-r" "stasis checkpoint x --compress gz" "stasis show checkpoint-d" >said
		sed 's/ *$//' said | diff - <(cat <<-X
			stasis checkpoint
			stasis checkpoint --export
			stasis checkpoint $ID
			stasis help restore
			stasis list --exp
			stasis restore --json
			stasis dump --leave-running
			stasis checkpoint x --compress gzip
			stasis show checkpoint-dir/
			X
		) || { echo "$shell"; return 1; }
	done
}

@test "--json: what came of a checkpoint and of a restore, whether it went well or not" {
	up b
	pid=$(pid_of "$ID")
	run -0 --separate-stderr stasis checkpoint "$ID" --json -R --evasive-devices --display-stats -D c1
	jq -e --arg id "$ID" --arg d "$DIR" --argjson p "$pid" '.ok and .id == $id and .runtime == "runc" and .pid == $p and .state == "running" and
		.images == $d + "/c1" and .log == $d + "/c1/dump.log" and .pids[0] == 1 and .frozen_us > 0 and .memory > 0 and
		(.warnings | any(startswith("evasive-devices: ")))' <<<"$output"
	[ -z "$stderr" ]
	run -1 --separate-stderr stasis checkpoint "$ID" --json -D c1
	jq -e '.ok == false and (.error | test("c1: holds a checkpoint already")) and .warnings == [] and .log == null' <<<"$output"
	[[ $stderr == *"holds a checkpoint already"* ]]
	run -0 --separate-stderr stasis checkpoint "$ID" --export c2.tar --json
	jq -e --arg d "$DIR" '.ok and .archive == $d + "/c2.tar" and .images == null and .log == null and .state == "ended" and
		(.warnings | any(test("--whole-rootfs")))' <<<"$output"
	run -0 --separate-stderr stasis restore c1 --json
	jq -e --arg id "$ID" --arg d "$DIR" '.ok and .id == $id and .images == $d + "/c1" and .known_to_runtime and .restore_us > 0' <<<"$output"
	[ "$(jq .pid <<<"$output")" = "$(pid_of "$ID")" ]
	runs
	run -1 --separate-stderr stasis restore c1 --json
	jq -e '.ok == false and (.error | test("runs already"))' <<<"$output"
	says 1 "goes to standard output" stasis checkpoint "$ID" --json -o - -D c3
	# people are told what the log warns of
	run -0 --separate-stderr stasis checkpoint "$ID" --evasive-devices -D c3
	[[ $stderr == "stasis: warning: evasive-devices"* && $output != *evasive* ]]
}

@test "a command or option that is none: which one was meant" {
	says 1 "there is no command chekpoint; did you mean checkpoint?" stasis chekpoint web
	says 1 "did you mean dump?" stasis dupm -t 1
	says 1 "did you mean list?" stasis help lsit
	says 1 "there is no command frobnicate (stasis help lists them)" stasis frobnicate
	says 1 "did you mean --leave-running?" stasis checkpoint web --leave-runing
	says 1 "did you mean --export?" stasis checkpoint web --exprot=x
	says 1 "did you mean --json?" stasis list --jsno
	says 1 "--frobnicate: there is no such option (stasis help list)" stasis list --frobnicate
	says 1 "--tcp: may be short for several options" stasis checkpoint web --tcp
	says 1 "no command is given" stasis
	run -1 --separate-stderr criu dump --lave-running
	[[ $output == Usage:* && $stderr == *"did you mean --leave-running?" ]]
	run -1 --separate-stderr criu chekpoint
	[[ $output == Usage:* && $stderr == "stasis: there is no command chekpoint" ]]
	run -1 --separate-stderr criu restroe
	[[ $stderr == *"did you mean restore?" ]]
}
