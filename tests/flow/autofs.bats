#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: mnt-autofs
# Automounters, which serve their mounts again after a restore.
load ../kit/kind

setup() { setup_kind; AROUND=spaces; }
teardown() { teardown_kind; }

@test "a direct mount, as systemd's" { keeps autofs direct; }
@test "a direct mount on which something is mounted" { keeps autofs covered; }
@test "an indirect mount, with directories and a timeout" { keeps autofs indirect; }
@test "one that is out of service" { keeps autofs catatonic; }
@test "one whose automounter is not among the tasks, or has something to do, is refused" {
	SURROUNDING=spaces
	clean_kind
	start_kind autofs alone
	refused "an autofs whose automounter is not one of the tasks"
	end_kind
	clean_kind
	start_kind autofs pending
	refused "its automounter has not read what is wanted of it"
}
