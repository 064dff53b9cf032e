#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: pstree
# Who is whose: groups and sessions of dead leaders, orphans of a subreaper, zombies, stopped tasks.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

@test "a shell's child" { AROUND=plain keeps kin all -- --shell-job; }
@test "a session of its own" { WITH=(setsid); keeps kin all; }
