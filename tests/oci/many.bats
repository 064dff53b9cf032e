#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Much of something in one container: dumped while it runs on, then taken through two generations.
bats_require_minimum_version 1.5.0
load ../kit/runc

setup() { setup_runc; }
teardown() { teardown_runc; }

# much CASE N [ROUNDS]: tests/kit/load, which checks itself; ROUNDS dumps of the running one come first
much() {
	local n beat=$DIR/b/rootfs/data/beat
	bundle b '.process.args = ["/bin/load", "'"$1"'", "'"$2"'", "/data"] |
		.process.rlimits = [{"type":"RLIMIT_NOFILE","hard":8192,"soft":8192}]'
	cp "$BUILD/tests/kit/load" "$DIR/b/rootfs/bin/load"
	start b "$ID"
	until_true counts_beyond "$beat" 1
	for n in $(seq "${3:-1}"); do
		checkpoint "$ID" "$DIR/running$n" --leave-running
		until_true counts_beyond "$beat" "$(number "$beat")"
		rm -rf "$DIR/running$((n - 1))"
	done
	for n in 1 2; do
		checkpoint "$ID" "$DIR/img$n"
		resume b "$ID" "$DIR/img$n"
		until_true counts_beyond "$beat" "$(number "$beat")"
	done
	r kill "$ID" TERM
	until_true test -s "$DIR/b/rootfs/data/verdict"
	[ "$(cat "$DIR/b/rootfs/data/verdict")" = OK ] || { cat "$DIR/b/rootfs/data/verdict" >&2; false; }
}

@test "500 threads that pass a turn to one another" { much threads 500; }
@test "2000 descriptors" { much fds 2000; }
@test "5000 mappings" { much maps 5000; }
@test "300 processes that answer" { much procs 300; }
@test "forks and exits all the time, dumped 20 times" { much fork 4 20; }
@test "a parent that is in vfork() nearly always" { much vfork 30; }
@test "signals by thousands, real-time ones in order" { much signals 1; }

@test "a vfork() that lasts too long: refused by name, everything runs on" {
	W=$DIR/w
	mkdir "$W" "$DIR/img"
	"$BUILD/tests/kit/load" vfork 4000 "$W" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$W/ready"
	kid() { KID=$(cat "/proc/$PID/task/$PID/children") && [ -n "$KID" ]; }
	until_true kid
	run "$BUILD/stasis" dump -t "$PID" -D "$DIR/img" --timeout 1
	[ "$status" -ne 0 ]
	[[ "$output" == *"is in vfork()"*"child ${KID% } has neither"* ]] || { echo "$output" >&2; false; }
	[ ! -e "$DIR/img/inventory.img" ]
	until_true counts_beyond "$W/beat" 0 # the child ended, the parent went on
	# with time enough it is waited for
	"$BUILD/stasis" dump -t "$PID" -D "$DIR/img"
	"$BUILD/stasis" restore -d -D "$DIR/img"
	kill -TERM "$PID"
	until_true test -s "$W/verdict"
	[ "$(cat "$W/verdict")" = OK ]
}
