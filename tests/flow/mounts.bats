#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: mnt-idmap mnt-overlay
# Mounts. The first is a property test; MOUNTS_SECONDS=600 bats ... tries more trees, a failure prints its seed:
# tests/kit/mounts.py BUILD DIR SEED repeats it.
load ../kit/helper

setup() { IMG=$(mktemp -d); }
teardown() { rm -rf --one-file-system "$IMG"; }

@test "random mount trees: propagation, namespaces, overmounts, hidden and partial file systems" {
	SECONDS_MAX=${MOUNTS_SECONDS:-20} python3 "$BATS_TEST_DIRNAME/../kit/mounts.py" "$BUILD" "$IMG"
}

@test "2,000 mounts, of directories of one file system and of their own" {
	python3 "$BATS_TEST_DIRNAME/../kit/mounts.py" "$BUILD" "$IMG" many 2000 bind
	python3 "$BATS_TEST_DIRNAME/../kit/mounts.py" "$BUILD" "$IMG" many 1000 tmpfs
}

becomes() { # becomes TEXT CASE...: what mounts.py says of each
	local text=$1 one
	for one in "${@:2}"; do
		out=$(python3 "$BATS_TEST_DIRNAME/../kit/mounts.py" "$BUILD" "$IMG" case "$one" 2>&1)
		[[ $out == *"$text"* ]] || { echo "$one: $out" >&2; return 1; }
		[[ $text == kept || $text == +* ]] || ! grep -q 'stopped' "$IMG/img/dump.log" || { echo "$one: was stopped" >&2; return 1; }
	done
}

@test "tmpfs: owners, modes, times, attributes, ACLs, capabilities, devices, whiteouts, holes, hard links" { becomes kept files; }
@test "overlays of the container's own directories, also on tmpfs, and on one another" { becomes kept overlay overlay_tmpfs overlay_nested; }
@test "overlays whose layers later mounts cover" { becomes kept overlay_covered overlay_covered_empty overlay_itself; }
@test "an overlay whose layer was deleted is refused" { becomes "its layer /b/low" overlay_lower_deleted; }
@test "binfmt_misc of the host" { becomes kept binfmt; }
@test "proc with hidepid and subset, devpts, mqueue, debugfs, tracefs, securityfs, empty hugetlbfs and bpf" {
	becomes kept proc devpts mqueue kernel hugetlbfs bpf
}
@test "hugetlbfs and bpf with something in it are refused" {
	becomes "this hugetlbfs holds x" hugetlbfs_file
	becomes "this bpf holds x" bpf_dir
}
@test "mounts of deleted directories and files, also of a tmpfs that shows nowhere else and in two namespaces" {
	becomes kept deleted_dir deleted_file deleted_big deleted_tmpfs deleted_alone deleted_shared
	becomes "+ ns0 / > /b dev0 $IMG/root/gone//deleted" deleted_up
}
@test "of deleted ones, those with other names, sockets and hidden ones are refused" {
	becomes "lives on under another name" deleted_linked
	becomes "another mount hides it" deleted_hidden
	becomes "a block device, socket or symbolic link, was deleted" deleted_socket
}
@test "idmapped mounts: of several maps, and none, of one directory" { becomes kept idmapped; }
@test "idmapped mounts of a tmpfs, detached files, autofs and fuse are refused" {
	becomes "its files are the container's own" idmapped_tmpfs
	becomes "descriptor 100 is a detached mount (open_tree, fsmount) of a file" detached_file
	becomes "whose automounter is not one of the tasks" autofs
	becomes "which is not in the container; declare it" fuse
}
