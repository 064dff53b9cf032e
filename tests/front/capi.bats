#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# libcriu, installed, and a program that knows nothing but its header, its pkg-config file and -lcriu.
load ../kit/helper

setup_file() {
	export DEST=$(mktemp -d)
	make -s -C "$BUILD" install DESTDIR="$DEST" >/dev/null 2>&1
	export PC=$(find "$DEST" -name criu.pc)
	export PKG_CONFIG_PATH=${PC%/*} PKG_CONFIG_SYSROOT_DIR=$DEST
	export LIBDIR=$(dirname "${PC%/*}")
}
teardown_file() { rm -rf "$DEST"; }
setup() { setup_work; }
teardown() { teardown_work; }

@test "what is installed" {
	[ "$(pkg-config --modversion criu)" = 4.2 ]
	readelf -d "$LIBDIR/libcriu.so.2" | grep -q 'SONAME.*\[libcriu.so.2\]'
	[ "$(readlink "$LIBDIR/libcriu.so")" = libcriu.so.2.0 ]
	readelf -h "$(find "$DEST" -path "*/sbin/stasis" -type f)" | grep -q 'Type:'
	for h in criu.h version.h rpc.pb-c.h rpc.proto; do [ -n "$(find "$DEST" -path "*/include/criu/$h")" ]; done
	echo '#include <criu/criu.h>' | gcc -x c -fsyntax-only -Wall -Werror -I"$(dirname "$LIBDIR")/include" -I"$(dirname "$LIBDIR")/include/criu" -
	echo '#include <criu.h>' | g++ -x c++ -fsyntax-only -Wall -Werror $(pkg-config --cflags criu) - || [ ! -x "$(command -v g++)" ]
}

@test "every function of libcriu 2 is exported, and rpc.proto's" {
	nm -D --defined-only "$LIBDIR/libcriu.so.2" | awk '{print $3}' | sort >"$IMG/have"
	for n in auto_dedup auto_ext_mnt config_file cpu_cap empty_ns evasive_devices exec_cmd ext_masters ext_sharing \
		ext_unix_sk file_locks force_irmap freeze_cgroup ghost_limit images_dir_fd leave_running link_remap \
		log_file log_level lsm_mount_context lsm_profile manage_cgroups manage_cgroups_mode mntns_compat_mode \
		network_lock notify_cb orphan_pts_master page_server_address_port parent_images pid pidfd_store_sk \
		pre_dump_mode root service_address service_binary service_fd shell_job skip_file_rwx_check tcp_close \
		tcp_established tcp_skip_in_flight timeout track_mem unprivileged weak_sysctls work_dir_fd; do
		echo "criu_set_$n"; echo "criu_local_set_$n"
	done >"$IMG/want"
	for n in add_cg_root add_enable_fs add_ext_mount add_external add_inherit_fd add_irmap_path add_skip_mnt \
		add_unix_sk add_veth_pair check check_version dump dump_iters feature_check free_opts get_version \
		init_opts join_ns_add pre_dump restore restore_child; do
		echo "criu_$n"; echo "criu_local_$n"
	done >>"$IMG/want"
	for n in cg_props cg_props_file cg_dump_controller cg_yard; do echo "criu_local_add_$n"; done >>"$IMG/want"
	for n in criu_free_service criu_notify_pid criu_get_orphan_pts_master_fd criu_lib_version criu_req__pack \
		criu_resp__unpack criu_opts__init criu_opts__descriptor cgroup_root__init criu_req__descriptor \
		criu_notify__free_unpacked criu_cg_mode__descriptor criu_req_type__descriptor; do echo "$n"; done >>"$IMG/want"
	missing=$(sort -u "$IMG/want" | comm -23 - "$IMG/have")
	[ -z "$missing" ] || { echo "$missing"; return 1; }
}

@test "a program linked from outside: every call" {
	gcc -Wall -o "$IMG/outsider" "$BATS_TEST_DIRNAME/outsider.c" $(pkg-config --cflags --libs criu)
	readelf -d "$IMG/outsider" | grep -q 'NEEDED.*libcriu.so.2'
	LD_LIBRARY_PATH=$LIBDIR timeout 60 "$IMG/outsider" "$BUILD/criu" "$IMG/img" "$PID" >"$IMG/out" 2>"$IMG/err" ||
		{ cat "$IMG/err" "$IMG"/img/*.log | grep -v '^(' ; return 1; }
	[ "$(cat "$IMG/out")" = OK ] && [ ! -s "$IMG/err" ]
	until_true beats_on "$(beat)"
	verify
}

@test "the same, linked to the static library" {
	gcc -Wall -o "$IMG/outsider" "$BATS_TEST_DIRNAME/outsider.c" $(pkg-config --cflags criu) "$LIBDIR/libcriu.a" -lprotobuf-c
	timeout 60 "$IMG/outsider" "$BUILD/criu" "$IMG/img" "$PID" >"$IMG/out"
	[ "$(cat "$IMG/out")" = OK ]
	verify
}

selfdump() { # selfdump WHERE [running]: starts it
	gcc -Wall -o "$IMG/self" "$BATS_TEST_DIRNAME/selfdump.c" $(pkg-config --cflags criu) "$LIBDIR/libcriu.a" -lprotobuf-c
	mkdir -p "$IMG/own"
	"$IMG/self" "$1" "$IMG/own" "$IMG/out" ${2:+"$2"} </dev/null >/dev/null 2>&1 3>&- &
	SELF=$!
}
said() { [ -e "$IMG/out" ] && [ "$(tail -n1 "$IMG/out")" = "$1" ]; }
finished() { grep -q "$1" "$IMG/own/self.log" 2>/dev/null; }

@test "a program dumps itself, and is told when it is restored" {
	selfdump "$BUILD/criu"
	wait "$SELF" || [ $? -eq 137 ]
	until_true finished "Dumping finished successfully" || { grep Error "$IMG/own/self.log"; return 1; }
	[ ! -e "$IMG/out" ]
	"$BUILD/stasis" restore -d -D "$IMG/own"
	until_true said "1 same whole 0"
	# and once more from the same images
	until_true gone "$SELF"
	"$BUILD/stasis" restore -d -D "$IMG/own"
	until_true eval '[ "$(wc -l <"$IMG/out")" = 2 ]'
	said "1 same whole 0"
}

@test "a program dumps itself and runs on: 0; its copy hears 1" {
	selfdump "$BUILD/criu" running
	wait "$SELF"
	said "0 same whole 0" || { cat "$IMG/out"; grep Error "$IMG/own/self.log"; return 1; }
	"$BUILD/stasis" restore -d -D "$IMG/own"
	until_true said "1 same whole 0"
}

@test "a program has itself dumped by a service" {
	"$BUILD/criu" service --address "$IMG/sock" --pidfile "$IMG/service.pid" </dev/null >/dev/null 2>&1 3>&- &
	SERVICE=$!
	until_true test -s "$IMG/service.pid"
	selfdump "$IMG/sock"
	wait "$SELF" || [ $? -eq 137 ]
	until_true finished "Dumping finished successfully" || { grep Error "$IMG/own/self.log"; kill "$SERVICE"; return 1; }
	kill "$SERVICE"
	[ ! -e "$IMG/out" ]
	"$BUILD/stasis" restore -d -D "$IMG/own"
	until_true said "1 same whole 0"
}
