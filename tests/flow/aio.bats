#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: mem/aio
# Contexts of io_setup(2), judged by the program that uses them.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

@test "AIO contexts: unread events, rings that wrap, full ones; they work on" { keeps aio all; }

@test "a request that waits is reported" {
	start_kind aio all
	run dump -R
	[ "$status" -eq 0 ]
	[[ "$output" == *"IOCB_CMD_POLL"* ]]
	verify
}
