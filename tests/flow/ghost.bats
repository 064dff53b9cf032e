#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/reg fd/fifo
# Files without a name, and fifos, judged by the program that has them.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

# nothing but what the program made
restored() { ! ls -A "$(dir_of)" | grep -E 'ghost|link_remap'; }
looked() { rm -f "$(dir_of)"/link_remap.*; }

@test "deleted files, O_TMPFILE, mapped ones, a name used by another" { keeps ghost files; }
@test "deleted directories, one of them the working directory" { keeps ghost dirs; }
@test "fifos: ends, flags, size, contents; one without a name" { keeps ghost fifo; }
@test "a file with another hard link, by --link-remap" { keeps ghost link -- --link-remap; }

@test "without --link-remap it is refused, and nothing is left behind" {
	start_kind ghost link
	not_dumped --link-remap
	restored
	verify
}

@test "a large one is refused until --ghost-limit allows it" {
	start_kind ghost huge
	not_dumped --ghost-limit
	dump --ghost-limit 3M
	until_true gone "$PID"
	restore
	verify
}

@test "images of ghosts that are damaged are refused and leave nothing" {
	start_kind ghost files
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
			restored
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
	start_kind ghost fifo
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
