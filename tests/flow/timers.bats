#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/posixtimer task/itimer
# Timers on every clock: ids, what is left, whose CPU time, in which thread they ring.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

looked() { dump -R && dump -R; }
@test "timers on every clock" { keeps timers all; }
@test "hundreds of timers, between whose ids others are missing" { keeps timers many; }
