#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/uffd
# userfaultfd: programs that bring pages of their memory themselves, and judge of which they are told.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

@test "missing pages, and a thread that waits for one" { keeps uffd missing; }
@test "write protection, also of pages that are not there" { keeps uffd protect; }
@test "shared memory: missing pages and minor faults" { keeps uffd shared; }
@test "the pager of another process's memory" { keeps uffd child; }
@test "one that came by fork()" { AROUND="plain spaces"; keeps uffd forked; }
@test "several, one of a process that ended, one just made" { keeps uffd several; }
@test "memory that is watched from outside of the tree is refused" {
	start_kind uffd outside
	local all=$PID
	read -r PID <"/proc/$all/task/$all/children" || true # no line end
	not_dumped "are told to a userfaultfd that no task of the tree has"
	PID=$all
	verify
}
