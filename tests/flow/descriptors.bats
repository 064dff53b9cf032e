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

hold() { # hold N: a program with N files open
	python3 -c '
import os, sys, time
d = sys.argv[1]
for i in range(int(sys.argv[2])):
    os.open(f"{d}/f{i}", os.O_RDWR | os.O_CREAT)
open(d + "/ready", "w").close()
while True:
    time.sleep(1000)' "$IMG" "$1" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/ready"
	links > "$IMG/before"
	[ "$(wc -l < "$IMG/before")" -eq "$1" ]
}

@test "600 descriptors of 600 files" {
	hold 600
	dump
	until_true gone "$PID"
	restore
	links > "$IMG/after"
	diff "$IMG/before" "$IMG/after"
}

@test "more of them than whoever dumps and restores may open: its soft limit is lifted meanwhile, for nobody else" {
	hold 600
	grep files "/proc/$PID/limits" > "$IMG/limit"
	printf '#!/bin/sh\nulimit -Sn >> %s\n' "$IMG/seen" > "$IMG/script"
	chmod +x "$IMG/script"
	(ulimit -Sn 100; dump --action-script "$IMG/script")
	until_true gone "$PID"
	(ulimit -Sn 100; restore --action-script "$IMG/script")
	links > "$IMG/after"
	diff "$IMG/before" "$IMG/after"
	grep files "/proc/$PID/limits" | diff "$IMG/limit" -
	[ "$(sort -u "$IMG/seen")" = 100 ]
}
