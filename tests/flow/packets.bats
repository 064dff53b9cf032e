#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/pipe fd/fifo
# Packet mode (O_DIRECT): what one read gets stays what one write was.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

@test "a pipe in packet mode" { keeps pipes packets; }
@test "a fifo in packet mode" { keeps pipes fifo; }
@test "a pipe full of packets" { keeps pipes full; }
@test "packets among other bytes, in a pipe that is in packet mode no more" { keeps pipes mixed; }
