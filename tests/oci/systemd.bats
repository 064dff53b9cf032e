#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A Debian container running systemd, as lxc-debian makes it, checkpointed and restored by lxc-checkpoint.
bats_require_minimum_version 1.5.0
load ../kit/lxc

MADE=/var/cache/stasis-tests/debian

setup() {
	[ -e $MADE/config ] || skip "no corpus: make it with tests/kit/debian.sh"
	setup_lxc
}
teardown() { [ -z "${DIR:-}" ] || teardown_lxc; }

debian() {
	cp -a $MADE "$P/$1"
	sed -i "s,$MADE,$P/$1,; s,^lxc.uts.name.*,lxc.uts.name = $1," "$P/$1/config"
	local root=$P/$1/rootfs u
	# programs of the kernel's (BPF) that systemd has loaded cannot be read back
	for u in systemd-journald systemd-udevd systemd-logind; do
		mkdir -p "$root/etc/systemd/system/$u.service.d"
		printf '[Service]\nIPAddressDeny=\n' >"$root/etc/systemd/system/$u.service.d/nobpf.conf"
	done
	cat >"$root/etc/systemd/system/counter.service" <<-'END'
		[Service]
		ExecStart=/bin/sh -c 'i=0; while :; do i=$((i+1)); echo $i > /tmp/n && cat /tmp/n > /var/lib/c && mv /var/lib/c /var/lib/count; sleep 0.05; done'
		PrivateTmp=yes
		PrivateDevices=yes
		ProtectSystem=yes
		ProtectHostname=yes
		PrivateNetwork=yes
		[Install]
		WantedBy=multi-user.target
	END
	mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
	ln -s ../counter.service "$root/etc/systemd/system/multi-user.target.wants/counter.service"
}
count() { local n; n=$(cat "$P/$1/rootfs/var/lib/count" 2>/dev/null || true); echo "${n:-0}"; }
running() { [ "$(inside "$1" systemctl is-system-running 2>/dev/null)" = running ]; }
lease() { awk '{ print $3 }' "$DIR/leases"; }

@test "systemd: running before and after, units in namespaces of their own, a connection to sshd" {
	debian "$N"
	start "$N"
	until_true running "$N"
	until_true counts_beyond "$N" 3
	mounts "$N" >"$DIR/before"
	exec 4<>"/dev/tcp/$(lease)/22"
	read -rt 5 line <&4
	[[ $line = SSH-2.0-* ]]
	for g in 1 2 3; do
		checkpoint "$N" "$DIR/img$g" -s
		is "$N" STOPPED
		n=$(count "$N")
		resume "$N" "$DIR/img$g"
		again "$N"
		[ "$(count "$N")" -lt "$((n + 2000))" ]
		running "$N"
	done
	mounts "$N" >"$DIR/after"
	# the console is one of LXC's each time
	diff <(grep -v " /dev/console " "$DIR/before") <(grep -v " /dev/console " "$DIR/after")
	printf 'SSH-2.0-test\r\n' >&4
	kex=$(timeout 10 head -c 60 <&4 | tr -dc "a-z0-9-" || true)
	[[ $kex = *x25519* ]]
	# systemd still is the master of its units
	inside "$N" systemctl restart ssh
	inside "$N" systemctl stop counter
	[ "$(inside "$N" systemctl is-active counter)" = inactive ]
	inside "$N" journalctl -n1 -q | grep -q .
	lxc stop "$N" -t 30
	is "$N" STOPPED
}

@test "BPF programs of systemd's are refused by name, before anything is stopped" {
	debian "$N"
	rm -r "$P/$N"/rootfs/etc/systemd/system/*.d
	start "$N"
	until_true counts_beyond "$N" 3
	run ! checkpoint "$N" "$DIR/img" -s
	grep -q 'Error.*task 1: descriptor .* is the BPF program sd_.*IPAddressDeny=' "$DIR/img/dump.log"
	is "$N" RUNNING
	again "$N"
}
