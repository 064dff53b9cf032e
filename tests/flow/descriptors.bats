#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Many descriptors: each is the file it was, after a restore.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

links() { # the files it opened; what bats lent it besides has no name of its own
	local n
	for n in $(ls "/proc/$PID/fd" | sort -n); do
		echo "$n $(readlink "/proc/$PID/fd/$n")"
	done | grep -F "$IMG/f"
}

@test "600 descriptors of 600 files" {
	python3 -c '
import os, sys, time
d = sys.argv[1]
for i in range(600):
    os.open(f"{d}/f{i}", os.O_RDWR | os.O_CREAT)
open(d + "/ready", "w").close()
while True:
    time.sleep(1000)' "$IMG" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/ready"
	links > "$IMG/before"
	[ "$(wc -l < "$IMG/before")" -eq 600 ]
	dump
	until_true gone "$PID"
	restore
	links > "$IMG/after"
	diff "$IMG/before" "$IMG/after"
}
