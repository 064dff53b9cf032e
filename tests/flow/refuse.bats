#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What cannot be done is said in one sentence, and nothing is changed.
load ../kit/helper

setup() { setup_work; }
teardown() { teardown_work; }

says() { # says TEXT COMMAND...: fails, and the text is in what it prints
	local text=$1 out
	shift
	if out=$("$@" 2>&1); then
		echo "did not fail: $*" >&2
		return 1
	fi
	case $out in *"$text"*) ;; *) echo "$out" >&2; return 1 ;; esac
}

@test "no such process" {
	says "there is no such process" "$BUILD/stasis" dump -t 32760 -D "$IMG/img" || \
		says "read its status" "$BUILD/stasis" dump -t 32760 -D "$IMG/img"
}

@test "a pid in use" {
	dump -R
	says "its pid is in use" restore
	verify
}

@test "a tree that holds the supervisor" {
	says "The criu itself is within dumped tree" "$BUILD/stasis" dump -t $$ -D "$IMG/img"
}

@test "a pages file that was cut" {
	dump
	until_true gone "$PID"
	for f in "$IMG"/img/pages-*.img; do truncate -s 4096 "$f"; done
	says "is too short" restore
	gone "$PID"
}

@test "every image cut in the middle is refused, and nothing is left" {
	dump
	until_true gone "$PID"
	for f in "$IMG"/img/{inventory,pstree,files}.img "$IMG"/img/{mm,core,fs,ids}-"$PID".img; do
		cp "$f" "$IMG/keep"
		truncate -s $(($(stat -c %s "$f") - 3)) "$f"
		says "Error" restore
		gone "$PID"
		cp "$IMG/keep" "$f"
	done
	restore
	verify
}

@test "an option that is not built yet is refused before anything is done" {
	says "--lazy-pages is not supported yet" dump --lazy-pages
	[ -z "$(ls "$IMG/img")" ]
	verify
}

@test "a full disk: the dump fails and the tasks run on" {
	mount -t tmpfs -o size=256k tmpfs "$IMG/img"
	says "No space left on device" dump
	umount "$IMG/img"
	was=$(beat)
	until_true beats_on "$was"
	[ ! -e "$IMG/img/inventory.img" ]
	verify
}

@test "a pid held by a zombie" {
	mkdir "$IMG/z"
	# its parent does not wait for it
	bash -c '"$0/tests/kit/idle" & echo $! > "$1"; exec sleep 1000' "$BUILD" "$IMG/pid" </dev/null >/dev/null 2>&1 3>&- &
	KEEPER=$!
	until_true test -s "$IMG/pid"
	pid=$(cat "$IMG/pid")
	until_true grep -q idle "/proc/$pid/comm"
	"$BUILD/stasis" dump -t "$pid" -D "$IMG/z"
	until_true grep -q '^State:.Z' "/proc/$pid/status"
	says "is held by a zombie" "$BUILD/stasis" restore -D "$IMG/z" -d
	kill -9 "$KEEPER"
	until_true gone "$pid"
	"$BUILD/stasis" restore -D "$IMG/z" -d
	kill -9 "$pid"
	verify
}

@test "images of an earlier dump do not get into the next one; what is no image stays" {
	mkdir "$IMG/img/core-7.img" "$IMG/keep"
	files=(filelocks.img core-99999.img pages-7.img tcp-stream-abc.img ipcns-mq-9.img xfrm-state-2.img tmpfs-dev-44.tar.gz.img pipes.img)
	keeps=(cpuinfo.img disk-2.img core-x.img core-7.img.bak files.img.json descriptors.json dump.log mm-.img)
	for f in "${files[@]}" "${keeps[@]}"; do echo old >"$IMG/img/$f"; done
	ln -s "$IMG/keep" "$IMG/img/parent"
	ln -s "$IMG/keep/it" "$IMG/img/seccomp.img"
	echo old >"$IMG/keep/it"
	says "--lazy-pages is not supported yet" dump --lazy-pages # refused: nothing is touched
	for f in "${files[@]}"; do [ -e "$IMG/img/$f" ]; done
	dump
	until_true gone "$PID"
	for f in "${files[@]}"; do [ ! -e "$IMG/img/$f" ] || ! grep -qx old "$IMG/img/$f"; done
	for f in "${keeps[@]}"; do [ "$(cat "$IMG/img/$f")" = old ]; done
	[ -d "$IMG/img/core-7.img" ] && [ -L "$IMG/img/parent" ]
	[ "$(cat "$IMG/keep/it")" = old ] && [ ! -L "$IMG/img/seccomp.img" ]
	restore
	verify
}
