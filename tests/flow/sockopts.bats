#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: inet-more inet-opts
# Every option of every sort of socket that can be set and read back: found and judged by the program itself.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

started() { [ "$SURROUNDING" != plain ] || [ "$(wc -l <"$IMG/said")" -gt "300" ]; }

@test "a dump changes no option" {
	start_kind sockopts all
	dump -R --tcp-established
	verify
}

@test "options are restored" { AROUND="plain user" NO_LOOK=1 keeps sockopts all -- --tcp-established; }

@test "options are restored, in an own network where groups may ping" {
	WITH=(unshare -n sh -c 'echo "0 100" >/proc/sys/net/ipv4/ping_group_range; exec "$@"' -)
	start_kind sockopts all
	grep -q ping6 "$IMG/said"
	cycle --tcp-established
	verify
}
