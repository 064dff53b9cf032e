#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What callers of criu's command line rely on, one by one; rpc.bats and expect-rpc.bats do the same for the RPC.
bats_require_minimum_version 1.5.0
load ../kit/helper

setup() {
	setup_work
	export IMG HOME=$IMG/home
	mkdir "$HOME"
	unset CRIU_CONFIG_FILE
}
teardown() { teardown_work; }
state() { sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status"; }
is_state() { [ "$(state "$1")" = "$2" ]; }
dead() { gone "$1" || is_state "$1" Z; }
parent() { sed -n 's/^PPid:[[:space:]]*//p' "/proc/$1/status"; }
script() { # script NAME TEXT: an action script
	printf '#!/bin/bash\n%s\n' "$2" >"$IMG/$1"
	chmod +x "$IMG/$1"
}

@test "commands of later: every option of theirs is known, and one sentence refuses" {
	refused() {
		run --separate-stderr "$BUILD/criu" "$@"
		[ "$status" -eq 1 ] && [ -z "$output" ] && [ "${#stderr_lines[@]}" -eq 1 ] && [[ $stderr == *"$1 is not supported yet; nothing was done" ]] ||
			{ echo "$status: $output $stderr"; return 1; }
	}
	refused pre-dump -t "$PID" -D "$IMG/img" --track-mem --prev-images-dir ../a --pre-dump-mode read -o log -v4 -j -l --tcp-established \
		--page-server --address 127.0.0.1 --port 9 --leave-running --auto-dedup --manage-cgroups=full --freeze-cgroup /sys/fs/cgroup/freezer/x
	refused page-server -D "$IMG/img" -W "$IMG" --address ::1 --port 9 --ps-socket 0 --status-fd 0 -d --pidfile "$IMG/p" --auto-dedup \
		--lazy-pages --tls --tls-cacert a --tls-cacrl b --tls-cert c --tls-key d --tls-no-cn-verify -o log -v4
	refused lazy-pages -D "$IMG/img" -W "$IMG" --page-server --address host --port 9 --daemon --pidfile "$IMG/p" --status-fd 0
	refused dedup -D "$IMG/img" -o log -v4
	for o in --lazy-pages --page-server "--prev-images-dir ../a" --track-mem --stream --tls; do
		# shellcheck disable=SC2086
		run -1 "$BUILD/criu" dump -t "$PID" -D "$IMG/img" -R $o
		[[ $output == *"${o%% *} is not supported yet; nothing was done"* ]] || { echo "$o: $output"; false; }
	done
	[ ! -e "$IMG/p" ] && [ "$(ls "$IMG/img")" = "" ]
	verify
}

@test "LXC's words, in its order" {
	"$BUILD/criu" dump --tcp-established --file-locks --link-remap --manage-cgroups=full --ext-mount-map auto --enable-external-sharing \
		--enable-external-masters --enable-fs hugetlbfs --enable-fs tracefs -D "$IMG/img" -o "$IMG/dump.log" --cgroup-root cpu,cpuset:/lxc.payload.x \
		--cgroup-root name=systemd:/lxc.payload.x -v4 --ext-mount-map /d:d -t "$PID" --skip-in-flight --ext-mount-map /dev/console:console \
		--external 'tty[8803:19]' --force-irmap --ghost-limit 1048576
	grep -q "Dumping finished successfully" "$IMG/dump.log"
	until_true gone "$PID"
	"$BUILD/criu" restore --tcp-established --file-locks --link-remap --manage-cgroups=full --ext-mount-map auto --enable-external-sharing \
		--enable-external-masters --enable-fs hugetlbfs -D "$IMG/img" -o "$IMG/restore.log" -v4 --restore-detached --restore-sibling \
		--ext-mount-map console: --external apparmor:unconfined --external console: --external 'veth[eth0]:vethX@br0' --ext-mount-map d:/d \
		--lsm-profile apparmor:unconfined
	grep -q "Restore finished successfully" "$IMG/restore.log"
	[ "$(parent "$PID")" = $BASHPID ]
	verify
}

@test "--leave-stopped: the tasks stay, stopped; at a restore as well; it wins over --leave-running" {
	dump -s -R
	is_state "$PID" T
	kill -CONT "$PID"
	dump --leave-stopped
	is_state "$PID" T
	for p in $(cat "/proc/$PID/task/$PID/children") "$PID"; do
		kill -9 "$p"
		until_true dead "$p"
	done
	restore --leave-stopped
	until_true is_state "$PID" T
	kill -CONT "$PID" $(cat "/proc/$PID/task/$PID/children")
	verify
}

@test "the log: below the work directory, anywhere, on standard output; an existing file is kept and emptied" {
	mkdir "$IMG/wd"
	dump -R -o log -v4 -W "$IMG/wd"
	[ "$(stat -c %a "$IMG/wd/log")" = 600 ]
	[[ $(sed -n 1p "$IMG/wd/log") =~ ^\([0-9]{2}\.[0-9]{6}\)\ Version:\ 4\.2 ]] && grep -q "^([0-9.]*) Running on Linux" "$IMG/wd/log"
	[[ $(tail -n1 "$IMG/wd/log") == *"Dumping finished successfully" ]]
	echo old >"$IMG/far"; chmod 644 "$IMG/far"
	node=$(stat -c %i "$IMG/far")
	dump -R -o "$IMG/far" -W "$IMG/wd"
	[ "$(stat -c %i,%a,%s "$IMG/far")" = "$node,644,0" ]
	run --separate-stderr dump -R -o - -v3
	[[ $output == *"Dumping finished successfully"* ]] && [ -z "$stderr" ]
	run --separate-stderr "$BUILD/criu" dump -t "$PID" -D "$IMG/img" -o log --shell-job --freeze-cgroup /none -v1
	[ "$status" -eq 1 ]
	grep -q '^Error (.*): .*/none' "$IMG/img/log" && grep -q '^Error (.*): Dumping FAILED\.$' "$IMG/img/log"
	run --separate-stderr "$BUILD/criu" restore -D "$IMG/none" -o log
	[ "$status" -eq 1 ] && [[ $stderr == *"images directory $IMG/none"* ]]
	verify
}

@test "the environment: no HOME, CRIU_DEPRECATED, CRIU_LIBS_DIR; --close, --log-pid, --libdir; -t at a restore" {
	env -u HOME CRIU_DEPRECATED=1 CRIU_LIBS_DIR=/nonexistent "$BUILD/criu" dump -t "$PID" -D "$IMG/img" --close 7 7</dev/null
	until_true gone "$PID"
	run --separate-stderr restore -t 1 --log-pid --libdir /nonexistent
	[ "$status" -eq 0 ] && [ -z "$output" ] && [ "${#stderr_lines[@]}" -eq 3 ]
	verify
}

@test "configuration: /etc, home, environment, --config, command line: the later wins" {
	[ -d /etc/criu ] || { mkdir /etc/criu && made=1; }
	cat >"$IMG/order" <<-'END'
		set -e
		mount -t tmpfs none /etc/criu
		used() { # used LOG WORD...
			rm -f "$IMG"/img/*
			local want=$1; shift
			"$BUILD/criu" dump -t "$PID" -D "$IMG/img" -R "$@" || exit 1
			[ "$(cd "$IMG/img" && ls -- *.log)" = "$want" ] || { ls "$IMG/img"; exit 1; }
		}
		mkdir "$HOME/.criu"
		echo "log-file etc.log" >/etc/criu/default.conf
		used etc.log
		echo "log-file home.log" >"$HOME/.criu/default.conf"
		used home.log
		echo "log-file=env.log" >"$IMG/env"
		export CRIU_CONFIG_FILE=$IMG/env
		used env.log
		echo "log-file file.log" >"$IMG/file"
		used file.log --config "$IMG/file"
		used argv.log --config "$IMG/file" -o argv.log
		echo "tcp-close" >"$IMG/file"
		used env.log --config "$IMG/file" # the first two are off, the environment's is not
		used env.log --no-default-config
		echo "" >"$IMG/env"
		"$BUILD/criu" dump -t "$PID" -D "$IMG/img" -R --no-default-config 2>&1 | grep . && exit 1 || true
	END
	PID=$PID unshare -m bash "$IMG/order"
	[ -z "${made:-}" ] || rmdir /etc/criu
	verify
}

@test "what is in the way of a dump or restore: said in criu's words" {
	run -1 "$BUILD/criu" dump -t "$(cat /proc/sys/kernel/pid_max)" -D "$IMG/img"
	[[ $output == *"No such process"* ]]
	cat >"$IMG/within" <<-END
		"$BUILD/criu" dump -t \$\$ -D "$IMG/img"; exit \$?
	END
	run -1 bash "$IMG/within"
	[[ $output == *"The criu itself is within dumped tree"* ]]
	dump -R
	run -1 restore
	[[ $output == *"is in use"* ]]
	verify
}

@test "--exec-cmd takes our place as the root's parent; --restore-sibling makes it the caller's child" {
	dump
	until_true gone "$PID"
	script parent 'grep ^PPid: /proc/$1/status >$2; echo $$ >>$2'
	"$BUILD/criu" restore -D "$IMG/img" --exec-cmd -- "$IMG/parent" "$PID" "$IMG/who"
	[ "$(sed -n 's/PPid:[[:space:]]*//p' "$IMG/who")" = "$(tail -n1 "$IMG/who")" ]
	dump
	until_true gone "$PID"
	restore -S
	[ "$(parent "$PID")" = $BASHPID ]
	verify
}

@test "action scripts of a tree with namespaces: criu's ten names, the root's pid in all but pre-restore" {
	teardown_work
	mkdir -p "$IMG/img"
	unshare -n "$BUILD/tests/kit/work" "$W" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$W.ready"
	script tell 'echo "$CRTOOLS_SCRIPT_ACTION ${CRTOOLS_INIT_PID:+pid}" >>$IMG/steps; [ -e $CRTOOLS_IMAGE_DIR/. ]'
	dump --empty-ns net --action-script "$IMG/tell"
	until_true gone "$PID"
	restore --empty-ns net --action-script "$IMG/tell"
	[ "$(tr '\n' ',' <"$IMG/steps")" = "pre-dump pid,network-lock pid,post-dump pid,pre-restore ,setup-namespaces pid,post-setup-namespaces pid,post-restore pid,network-unlock pid,pre-resume pid,post-resume pid," ] ||
		{ cat "$IMG/steps"; return 1; }
	verify
}

@test "check: every feature has a name, and is there or not, without a word" {
	known="mnt_id mem_dirty_track aio_remap timerfd tun tun_ns userns fdinfo_lock seccomp_suspend seccomp_filters loginuid cgroupns
		autofs tcp_half_closed compat_cr uffd uffd-noncoop can_map_vdso sk_ns sk_unix_file net_diag_raw nsid link_nsid kcmp_epoll timens
		external_net_ns clone3_set_tid newifindex nftables has_ipt_legacy pidfd_store ns_pid apparmor_stacking network_lock_nftables
		sockopt_buf_lock memfd_hugetlb move_mount_set_group openat2 get_rseq_conf ipv6_freebind pagemap_scan timer_cr_ids overlayfs_maps
		breakpoints pagemap_scan_guard_pages"
	for f in $known; do
		run --separate-stderr "$BUILD/criu" check --feature "$f"
		[ -z "$stderr" ] && { [ "$status$output" = "0$f is supported" ] || [ "$status$output" = 1 ]; } || { echo "$f: $output $stderr"; false; }
	done
	# what this engine keeps, where the kernel has it
	for f in aio_remap tun tun_ns cgroupns memfd_hugetlb net_diag_raw overlayfs_maps; do
		"$BUILD/criu" check --feature "$f" || { echo "$f"; false; }
	done
}
