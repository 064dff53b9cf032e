#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Hostile images and requests at random. By hand: FUZZ_SEED=N FUZZ_SECONDS=600 bats tests/wire/fuzz.bats
load ../kit/kind
load ../kit/fuzz

setup() {
	setup_kind
	setup_fuzz
}
teardown() {
	teardown_kind
	teardown_fuzz
}

# good NAME PROGRAM CASE [OPTION...]: images in $IMG/all/NAME. Of a tree with what mounts and networks may have
good() {
	local to=$IMG/all/$1
	SURROUNDING=spaces
	clean_kind
	cp "$(command -v busybox)" "$IMG/root/bin"
	start_kind "$2" "$3"
	if declare -F "more_$1" >/dev/null; then "more_$1"; fi
	dump "${@:4}"
	until_true gone "$PID"
	PID=
	umount "$IMG/root"
	mkdir -p "$to"
	mv "$IMG/img" "$IMG/root" "$to"
	echo "${@:4}" >"$to/options"
}
inside() { nsenter -t "$PID" "$@"; }

more_common() { # networks, mounts, cgroups with limits
	local d pid
	for d in /sys/fs/cgroup/{memory,pids,freezer,unified}; do
		[ -e "$d/cgroup.procs" ] || continue
		mkdir -p "$d/$G-tree/a/b"
		for pid in $(tree_of "$PID"); do echo "$pid" >"$d/$G-tree/a/cgroup.procs"; done
	done
	[ ! -e /sys/fs/cgroup/pids/$G-tree ] || echo 100 >/sys/fs/cgroup/pids/$G-tree/a/pids.max
	inside -n sh -e <<-'EOF'
		ip link add d0 type ifb
		ip link add br0 type bridge
		ip link set d0 master br0 up
		ip link add v0 type veth peer name v1
		ip addr add 10.9.8.7/24 dev v0
		ip link set v0 up
		ip route add 10.7.0.0/16 via 10.9.8.1 dev v0 onlink
		ip rule add from 10.9.8.7 lookup 99
		tc qdisc add dev v0 root tbf rate 1mbit burst 32k latency 10ms
		nft add table inet t
		nft add chain inet t c '{ type filter hook input priority 0; }'
		nft add rule inet t c tcp dport 99 drop
		iptables-legacy -A INPUT -p tcp --dport 98 -j DROP
	EOF
	inside -m /bin/busybox sh -e <<-'EOF'
		cd /tmp
		/bin/busybox mkdir a b c lo up wo
		/bin/busybox mount -t tmpfs -o size=1m,mode=700 one a
		/bin/busybox mkdir a/d
		echo text >a/d/f
		/bin/busybox ln -s /canary a/link
		/bin/busybox mknod a/null c 1 3
		/bin/busybox mount --make-shared a
		/bin/busybox mount --bind a/d b
		/bin/busybox mount --bind a/d/f a/d/f
		/bin/busybox mount -t overlay -o lowerdir=/tmp/lo,upperdir=/tmp/up,workdir=/tmp/wo two c
		/bin/busybox mount -t tmpfs hidden b
	EOF
}

all_good() {
	good common common all --tcp-established
	good ghost ghost files
	good dirs ghost dirs
	good fifo ghost fifo
	good nest nest pid
	good sysv sysv all
	good mqueue mqueue all
	good nsuser nsuser levels
	good terminal pty session
	good timers timers all
	good states states all
	good locks locks all --file-locks
	good bpf bpf all
	good aio aio all
	good unix unix all
}

@test "broken images: no crash, no hang, nothing left behind or written outside; a sentence says why" {
	all_good
	fuzz images "$IMG/all"
}

@test "broken requests: swrk and service live on and answer with a sentence" {
	good timers timers all
	fuzz rpc "$IMG/all"
}

# broken WORDS: images of "common" that are refused with them
broken() {
	mount --bind "$IMG/all/common/root" "$IMG/all/common/root"
	run timeout 100 "$BUILD/stasis" restore -d -D "$IMG/all/common/img" --root "$IMG/all/common/root" --tcp-established
	umount "$IMG/all/common/root"
	[ "$status" = 1 ]
	[[ $output == *"$1"* ]] || { echo "$output" >&2; return 1; }
}

@test "a record nested too deep for the decoder, a pipe in place of an image, a name that steers the terminal" {
	good common common all --tcp-established
	cp -a "$IMG/all/common/img" "$IMG/all/good"
	PYTHONPATH=$BATS_TEST_DIRNAME python3 - "$IMG/all/common/img/cgroup.img" <<-'EOF'
		import sys, mutate
		head, records, tail = mutate.records(open(sys.argv[1], "rb").read())
		controllers = [f for f in mutate.fields(records[0]) if f[0] == 2]
		controllers[0][2] += mutate.pack([[2, 2, mutate.nest(2, b"")]])
		open(sys.argv[1], "wb").write(mutate.join(head, [mutate.pack(controllers)], tail))
	EOF
	broken "image cgroup.img: a record is nested too deep"
	rm -rf "$IMG/all/common/img"
	cp -a "$IMG/all/good" "$IMG/all/common/img"
	for f in "$IMG"/all/common/img/tmpfs-*.img; do rm "$f"; mkfifo "$f"; done
	broken "is not a regular file"
	rm -rf "$IMG/all/common/img"
	mv "$IMG/all/good" "$IMG/all/common/img"
	edit_image "$IMG/all/common/img/mountpoints-"*.img 'e[0]["mountpoint"] = "/x\x1b[2J\nError"'
	broken "?[2J?Error"
	[[ $output != *$'\e'* ]]
}
