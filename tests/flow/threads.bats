#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/prctl task/regs
# Threads that are not quite of their process: the main one has ended, or some have files of their own.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

@test "the main thread has ended, others run" { keeps threads leader; }
@test "threads with descriptors, a working directory of their own" { keeps threads unshared; }
