#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: apparmor lsm
# Profiles of AppArmor, on a kernel that has it; apparmor_parser comes from the package apparmor.
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	PID=
	POLICY=$IMG/sec/apparmor/policy
	mkdir "$IMG/img" "$IMG/sec"
	mount -t securityfs none "$IMG/sec"
	modules=$(cat "$IMG/sec/lsm")
	case ,$modules, in *,apparmor,*) ;; *) skip "this kernel has $modules" ;; esac
	NS=stasis-ns-$$
	load_profile stasis-outer
}
teardown() {
	[ -z "$PID" ] || kill -9 "$PID" 2>/dev/null || true
	[ -z "$PID" ] || until_true gone "$PID"
	rmdir "$POLICY/namespaces/${NS:-none}" 2>/dev/null || true
	[ ! -w "$POLICY/.remove" ] || for p in stasis-outer; do printf %s "$p" >"$POLICY/.remove" || true; done
	umount "$IMG/sec"
	rm -rf --one-file-system "$IMG"
}

# load_profile PROFILE [NAMESPACE]: one that allows all, but writing to DENIED
load_profile() {
	printf '%s\n' "profile $1 flags=(attach_disconnected,mediate_deleted) {" "file," "deny $IMG/denied-$1 w," \
		capability, network, mount, umount, signal, ptrace, unix, dbus, pivot_root, \
		"change_profile," "}" >"$IMG/$1.profile"
	apparmor_parser -QKS "$IMG/$1.profile" >"$IMG/$1.binary"
	cat "$IMG/$1.binary" >"$POLICY${2:+/namespaces/$2}/.replace"
}
# confined LABEL COMMAND...
confined() {
	# shellcheck disable=SC2016 # the inner shell's
	sh -c 'printf %s "exec $0" >/proc/self/attr/exec && exec "$@"' "$@" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true has_label "$1"
}
label() { cut -d' ' -f1 "/proc/$PID/attr/current"; }
has_label() { [ "$(label)" = "$1" ]; }
again() {
	dump
	until_true gone "$PID"
	"${@:-true}"
	rm -f "$IMG/pid"
	restore --pidfile "$IMG/pid"
	PID=$(cat "$IMG/pid")
}

@test "a profile of the host: the task has it again; where it is not loaded nothing is left" {
	confined stasis-outer "$BUILD/tests/kit/idle"
	again
	[ "$(cat "/proc/$PID/attr/current")" = "stasis-outer (enforce)" ]
	dump
	until_true gone "$PID"
	printf stasis-outer >"$POLICY/.remove"
	run restore
	[ "$status" -ne 0 ]
	[[ $output == *"take the label apparmor:stasis-outer; load that profile, or name another with --lsm-profile"* ]]
	gone "$PID"
	restore --lsm-profile none:
	[ "$(label)" = unconfined ]
}

@test "profiles of a namespace: loaded where they are missing, also below another and of a stacked label" {
	mkdir "$POLICY/namespaces/$NS"
	mkdir "$POLICY/namespaces/$NS/namespaces/below"
	load_profile stasis-inner "$NS"
	load_profile stasis-deep "$NS/namespaces/below"
	confined "stasis-outer//&:$NS:stasis-inner" "$BUILD/tests/kit/idle"
	again
	again rmdir "$POLICY/namespaces/$NS"
	has_label "stasis-outer//&:$NS:stasis-inner"
	cmp "$IMG/stasis-inner.binary" "$POLICY/namespaces/$NS"/profiles/stasis-inner.*/raw_data
	cmp "$IMG/stasis-deep.binary" "$POLICY/namespaces/$NS"/namespaces/below/profiles/stasis-deep.*/raw_data
}

@test "a namespace that is made for a restore that fails: goes again" {
	mkdir "$POLICY/namespaces/$NS"
	load_profile stasis-inner "$NS"
	confined ":$NS:stasis-inner" "$BUILD/tests/kit/idle"
	dump
	until_true gone "$PID"
	rmdir "$POLICY/namespaces/$NS"
	printf '#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" != pre-resume ] || exit 1\n' >"$IMG/fail"
	chmod +x "$IMG/fail"
	run restore --action-script "$IMG/fail" --lsm-profile "apparmor::$NS:nosuch"
	[ "$status" -ne 0 ]
	[ ! -e "$POLICY/namespaces/$NS" ]
	restore
	has_label ":$NS:stasis-inner"
}
