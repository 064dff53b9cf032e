#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Checkpoints made by CRIU 4.2 restore and verify. Needs ../shared/corpus or $STASIS_CORPUS.

setup() {
	CORPUS=${STASIS_CORPUS:-$BATS_TEST_DIRNAME/../../../shared/corpus}
	[ -d "$CORPUS/tools" ] || skip "no corpus"
	export CRIU=$BUILD/criu
}

teardown() {
	[ ! -e "/tmp/corpus-$N.pid" ] || kill -9 "$(cat "/tmp/corpus-$N.pid")" 2>/dev/null || true
	rm -rf "/tmp/corpus-$N.pid" "/tmp/corpus-$N-restore.log" "/opt/corpus/$N"
}

corpus() {
	N=$1
	rm -f "/tmp/corpus-$N.pid"
	for step in prepare restore verify; do
		bash "$CORPUS/tools/corpus.sh" "$step" "$N"
	done
}

@test "loop: one static task" { corpus loop; }
@test "threads" { corpus threads; }
@test "cow: memory shared by fork, and shared memory" { corpus cow; }
@test "task: attributes, signals, timers, credentials" { corpus task; }
@test "unix: unix sockets" { corpus unix; }
