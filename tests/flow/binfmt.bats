#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: mnt-binfmt
# Handlers of executable formats (binfmt_misc), judged by who has registered them.
load ../kit/kind

setup() {
	setup_kind
	AROUND=user
	grep -q binfmt_misc /proc/filesystems || skip "this kernel has no binfmt_misc"
}
teardown() { teardown_kind; }

@test "handlers by extension and magic, in their order, one disabled" {
	SURROUNDING=user
	clean_kind
	start_kind binfmt handlers
	cycle # an odd number of times: order turned round twice would be right
	verify
	end_kind
	keeps binfmt handlers
}
@test "all disabled, mounted read-only" { keeps binfmt disabled; }
@test "those of a user namespace below" { keeps binfmt below; }
@test "without a user namespace: those of the host, which stay as they are" { AROUND=spaces keeps binfmt hosts; }
@test "an interpreter that was opened and has gone is refused" {
	SURROUNDING=user
	clean_kind
	start_kind binfmt gone
	run dump
	[ "$status" -eq 1 ]
	[[ $output == *"the interpreter /d/deep/interp of its handler lost (flag F) is no file of that name"* ]] || { echo "$output" >&2; return 1; }
	verify
}
