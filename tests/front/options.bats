#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every option becomes the same CriuOpts as a caller of RPC would send.
load link

setup_file() {
	export OPTS_DIR=$(mktemp -d)
	link words "$OPTS_DIR/words"
}
teardown_file() { rm -rf "$OPTS_DIR"; }

words() { # words WORD...: the options as text, without the field that is always there
	"$OPTS_DIR/words" "$@" >"$OPTS_DIR/bin" || return 1
	protoc -I"$BATS_TEST_DIRNAME/../../images" --decode criu_opts rpc.proto <"$OPTS_DIR/bin" |
		grep -v '^images_dir_fd: -1$' | tr -s '\n ' ' ' | sed 's/ $//'
}
is() { # is TEXT WORD...
	local want=$1
	shift
	[ "$(words "$@")" = "$want" ] || { echo "want: $want"; echo "have: $(words "$@")"; return 1; }
}

@test "switches, their negation, their short forms" {
	is 'shell_job: true' -j
	is 'shell_job: false' -j --no-shell-job
	is 'tcp_established: true' --tcp-est
	is 'tcp_established: true tcp_skip_in_flight: true tcp_close: true' --tcp-established --tcp-close --skip-in-flight
	is 'leave_running: true file_locks: true' dump -lR
	is 'evasive_devices: true link_remap: true' --link-remap --evasive-devices
	is 'skip_file_rwx_check: true' --skip-file-rwx-check
	is 'rst_sibling: true' -S
	is 'rst_sibling: false' --no-restore-sibling
	! words --no-leave-running
	! words --shell-job=yes
}

@test "cgroups" {
	is 'manage_cgroups: true manage_cgroups_mode: SOFT' --manage-cgroups
	is 'manage_cgroups: true manage_cgroups_mode: FULL' --manage-cgroups=full
	is 'manage_cgroups: true manage_cgroups_mode: IGNORE' --manage-cgroups=ignore
	is 'manage_cgroups: true manage_cgroups_mode: CG_NONE' --manage-cgroups=none
	is 'manage_cgroups: true manage_cgroups_mode: STRICT' --manage-cgroups=strict
	! words --manage-cgroups=some
	is 'cg_root { path: "/a" }' --cgroup-root /a
	is 'cg_root { ctrl: "cpu" path: "/a" } cg_root { ctrl: "cpuset" path: "/a" } cg_root { ctrl: "name=systemd" path: "/x" } cg_root { ctrl: "" path: "/b" }' \
		--cgroup-root cpu,cpuset:/a --cgroup-root name=systemd:/x --cgroup-root :/b
	! words --cgroup-root cpu
	is 'freeze_cgroup: "/sys/fs/cgroup//a"' --freeze-cgroup /sys/fs/cgroup//a
	is 'cgroup_props: "x" cgroup_props_file: "f" cgroup_dump_controller: "cpu" cgroup_yard: "/y"' \
		--cgroup-props x --cgroup-props-file f --cgroup-dump-controller cpu --cgroup-yard /y
}

@test "what is outside: external, mounts, interfaces, sockets, descriptors, namespaces" {
	is 'external: "console:" external: "mnt[/a]:b"' --external console: --external 'mnt[/a]:b'
	is 'ext_mnt { key: "/a" val: "b:c" } ext_mnt { key: "console" val: "" }' -M /a:b:c --ext-mount-map console:
	is 'auto_ext_mnt: true ext_sharing: true ext_masters: true' -M auto --enable-external-sharing --enable-external-masters
	! words -M nothing
	is 'veths { if_in: "eth0" if_out: "v=1" }' --veth-pair eth0=v=1
	is 'ext_unix_sk: true' -x
	is 'ext_unix_sk: true unix_sk_ino { inode: 12 } unix_sk_ino { inode: 13 }' --ext-unix-sk=12,13
	! words -xabc
	is 'inherit_fd { key: "pipe:[1]" fd: 0 }' --inherit-fd 'fd[0]:pipe:[1]'
	! words --inherit-fd 'fd[900]:x'
	! words --inherit-fd 'fd[]:x'
	! words --inherit-fd '0:x'
	is 'join_ns { ns: "ipc" ns_file: "/proc/1/ns/ipc" } join_ns { ns: "user" ns_file: "12" extra_opt: "0,0" }' \
		-J ipc:/proc/1/ns/ipc --join-ns user:12,0,0
	! words --join-ns pid:1
	is 'empty_ns: 1073741824' --empty-ns net
	! words --empty-ns pid
	is 'root: "/r"' -r /r
}

@test "sizes, numbers, names" {
	is 'ghost_limit: 2097152' --ghost-limit 2M
	is 'ghost_limit: 3072' --ghost-limit=3k
	! words --ghost-limit 4G
	! words --ghost-limit -1
	! words --ghost-limit 1X
	is 'timeout: 0' --timeout 0
	is 'network_lock: SKIP' --network-lock none
	is 'network_lock: NFTABLES' --network-lock nftables
	! words --network-lock x
	is 'cpu_cap: 7' --cpu-cap
	is 'cpu_cap: 5' --cpu-cap=fpu,ins
	is 'cpu_cap: 0' --cpu-cap=none
	is 'cpu_cap: 6' --cpu-cap=^fpu
	! words --cpu-cap=x
	is 'log_level: 4' -v4
	is 'log_level: 5' -vvv
	is 'log_level: 3' --verbosity
	is 'pid: 7' -t7
	! words -t 0
	! words -t 7x
	is 'lazy_pages: true' --lazy-pages
	is 'parent_img: "../p" track_mem: true auto_dedup: true' --prev-images-dir ../p --track-mem --auto-dedup
	is 'lsm_profile: "apparmor:x" lsm_mount_context: "c"' --lsm-profile apparmor:x --lsm-mount-context c
	is 'tls_cacert: "a" tls: true' --tls --tls-cacert a
	is 'address_map: "1.2.3.4=1.2.3.5" address_policy: "keep"' --address-map 1.2.3.4=1.2.3.5 --address-policy keep
	is 'skip_mnt: "/m" enable_fs: "a" enable_fs: "b"' --skip-mnt /m --enable-fs a,b
	is 'force_irmap: true irmap_scan_paths: "/a"' --force-irmap --irmap-scan-path /a
}

@test "every name of criu's manual is known" {
	for o in tree=1 leave-stopped leave-running restore-detached daemon restore-sibling images-dir=a work-dir=a \
		prev-images-dir=a log-file=a log-pid verbosity pidfile=a display-stats root=a pre-dump-mode=read track-mem \
		auto-dedup page-server address=a port=1 ps-socket=0 status-fd=0 lazy-pages stream tls tls-cacert=a \
		tls-cacrl=a tls-cert=a tls-key=a tls-no-cn-verify external=a inherit-fd=fd[0]:a ext-mount-map=auto \
		enable-external-sharing enable-external-masters skip-mnt=a enable-fs=a veth-pair=a=b ext-unix-sk \
		tcp-established tcp-close skip-in-flight shell-job file-locks link-remap ghost-limit=1 ghost-fiemap \
		evasive-devices force-irmap irmap-scan-path=a action-script=a libdir=a cpu-cap exec-cmd freeze-cgroup=a \
		manage-cgroups cgroup-root=/a cgroup-props=a cgroup-props-file=a cgroup-dump-controller=a cgroup-yard=a \
		lsm-profile=none: lsm-mount-context=a join-ns=net:1 empty-ns=net network-lock=skip file-validation=filesize \
		skip-file-rwx-check timeout=1 weak-sysctls mntns-compat-mode allow-uprobes unprivileged feature=a extra \
		experimental all deprecated config=a no-default-config; do
		words "--$o" >/dev/null || { echo "$o"; return 1; }
	done
	! words --ms
	! words --port 0
	! words --close 900
}
