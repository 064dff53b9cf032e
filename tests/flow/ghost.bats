#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/reg fd/fifo
# Files without a name, and fifos, judged by the program that has them.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img" "$IMG/d"; W=$IMG/d/verdict; }
teardown() { kill -9 "$PID" 2>/dev/null || true; rm -rf "$IMG"; }

start() { # start WHAT
	"$BUILD/tests/kit/ghost" "$1" "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
}

# nothing but what the program made
clean() { ! ls -A "$IMG/d" | grep -E 'ghost|link_remap'; }

# keeps WHAT [OPTION...]: it runs on as if nothing had been, then two generations
keeps() {
	start "$1"
	dump -R "${@:2}"
	rm -f "$IMG"/d/link_remap.*
	dump "${@:2}"
	until_true gone "$PID"
	restore
	dump "${@:2}"
	until_true gone "$PID"
	restore
	clean
	verify
}

@test "deleted files, O_TMPFILE, mapped ones, a name used by another" { keeps files; }
@test "deleted directories, one of them the working directory" { keeps dirs; }
@test "fifos: ends, flags, size, contents; one without a name" { keeps fifo; }
@test "a file with another hard link, by --link-remap" { keeps link --link-remap; }

@test "without --link-remap it is refused, and nothing is left behind" {
	start link
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *--link-remap* ]]
	clean
	verify
}

@test "a large one is refused until --ghost-limit allows it" {
	start huge
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *"--ghost-limit"* ]]
	dump --ghost-limit 3M
	until_true gone "$PID"
	restore
	verify
}

@test "images of ghosts that are damaged are refused and leave nothing" {
	start files
	dump
	until_true gone "$PID"
	for f in "$IMG"/img/ghost-file-*.img "$IMG/img/remap-fpath.img"; do
		for n in 4 12 40 5000; do
			cp "$f" "$IMG/keep"
			truncate -s $(($(stat -c %s "$f") - n > 8 ? $(stat -c %s "$f") - n : 8)) "$f"
			if restore >/dev/null 2>&1 3>&-; then # a shorter file may be a whole one
				kill -9 "$PID"
				until_true gone "$PID"
			fi
			cp "$IMG/keep" "$f"
			clean
		done
	done
	restore
	verify
}

@test "a program whose own file is gone" {
	cp "$BUILD/tests/kit/ghost" "$IMG/d/prog"
	"$IMG/d/prog" fifo "$IMG/d" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/d/ready"
	rm "$IMG/d/prog"
	dump --ghost-limit 8M
	until_true gone "$PID"
	restore
	[ "$(readlink "/proc/$PID/exe")" = "$IMG/d/prog (deleted)" ]
	verify
}

@test "a fifo that stands in its image twice, or whose path is another file, is refused" {
	start fifo
	dump
	until_true gone "$PID"
	cp "$IMG/img/fifo-data.img" "$IMG/keep"
	tail -c +9 "$IMG/keep" >> "$IMG/img/fifo-data.img"
	run restore
	[ "$status" -ne 0 ]
	[[ "$output" == *twice* ]]
	cp "$IMG/keep" "$IMG/img/fifo-data.img"
	mv "$IMG/d/fifo" "$IMG/d/was"
	ln -s /dev/null "$IMG/d/fifo"
	run restore
	[ "$status" -ne 0 ]
	rm "$IMG/d/fifo"
	mv "$IMG/d/was" "$IMG/d/fifo"
	restore
	verify
}
