#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Terminals, locks and System V IPC in containers of runc.
load ../kit/runc

setup() { setup_runc; }
teardown() { teardown_runc; }

@test "a container on a terminal: the new master is sent to --console-socket" {
	bundle b '.process.terminal = true | .process.args = ["/bin/sh", "-c", "while read x; do echo got $x; done"]'
	timeout 60 /usr/bin/python3 "$BATS_TEST_DIRNAME/../kit/console.py" "$DIR" "$STATE" "$ID" 3>&- || { tail -20 "$DIR/img/restore.log"; false; }
}

inside() { # inside PROGRAM CASE CAPABILITIES [OPTION]: judged by itself, in a container
	bundle b '.process.args = ["/bin/prog", "'"$2"'", "/data"] | .process.capabilities |= map_values(. + ['"$3"'])'
	cp "$BUILD/tests/kit/$1" "$DIR/b/rootfs/bin/prog"
	start b "$ID"
	until_true test -e "$DIR/b/rootfs/data/ready"
	checkpoint "$ID" "$DIR/img" ${4:-}
	resume b "$ID" "$DIR/img" ${4:-}
	r kill "$ID" TERM
	until_true test -s "$DIR/b/rootfs/data/verdict"
	[ "$(cat "$DIR/b/rootfs/data/verdict")" = OK ] || { cat "$DIR/b/rootfs/data/verdict" >&2; false; }
}

@test "terminals of a container's devpts" { inside pty session '"CAP_KILL"'; }
@test "halves of terminals in a container" { inside pty halves '"CAP_KILL"'; }
@test "locks in a container" { inside locks all '"CAP_LEASE"' --file-locks; }
@test "System V IPC in a container" { inside sysv forced ''; }
