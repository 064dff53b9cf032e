# SPDX-License-Identifier: Apache-2.0
# One program of the kit, in one surrounding or in all, one after the other:
#   plain   a tree of the host, below the command $WITH if there is one (as "unshare -i")
#   spaces  own pid, mnt, ipc, net, uts, cgroup and time namespaces and an own root
#   user    these, and a user namespace of 65536 ids
# The program is called PROGRAM CASE DIR [ARG...]; it makes DIR/ready, at SIGTERM DIR/verdict, and ends with status 3 if
# this kernel has nothing of what it wants.
load ../kit/helper

setup_kind() {
	IMG=$(mktemp -d)
	PID=
	SURROUNDING=plain
	WITH=()
	AT=/d
	clean_kind
}
teardown_kind() {
	end_kind
	rm -rf --one-file-system "$IMG"
}

tree_of() { # tree_of PID: its descendants, the deepest first, and it
	local kid
	for kid in $(cat /proc/"$1"/task/*/children 2>/dev/null); do tree_of "$kid"; done
	echo "$1"
}
end_kind() {
	local pid
	[ -z "$PID" ] || for pid in $(tree_of "$PID"); do kill -9 "$pid" 2>/dev/null || true; done
	[ -z "$PID" ] || until_true gone "$PID" || true
	! mountpoint -q "$IMG/root" || umount -l "$IMG/root"
}

# as new, for a program that works in $D and leaves its verdict in $W; OPTS are those of a restore
clean_kind() {
	rm -rf --one-file-system "$IMG"/{img,d,root,pid,said}
	mkdir -p "$IMG/img"
	PID=
	if [ "$SURROUNDING" = plain ]; then
		D=$IMG/d W=$IMG/d/verdict OPTS=()
		mkdir "$D"
		return 0
	fi
	D=$AT W=$IMG/root/out/verdict OPTS=(--root "$IMG/root")
	mkdir -p "$IMG/root"/{bin,proc,d,out,tmp,dev/{pts,shm,net}}
	ln -s pts/ptmx "$IMG/root/dev/ptmx"
	mknod -m 666 "$IMG/root/dev/null" c 1 3
	mknod -m 666 "$IMG/root/dev/zero" c 1 5
	mknod -m 666 "$IMG/root/dev/tty" c 5 0
	mknod -m 666 "$IMG/root/dev/net/tun" c 10 200
}

# start_kind PROGRAM CASE [ARG...]
start_kind() {
	launch_kind "$@"
	await_kind
}
launch_kind() {
	local p=$1
	if [ "$SURROUNDING" = plain ]; then
		"${WITH[@]}" "$BUILD/tests/kit/$p" "$2" "$D" "${@:3}" </dev/null >"$IMG/said" 2>&1 3>&- &
		PID=$!
		return
	fi
	cp "$BUILD/tests/kit/spaces" "$BUILD/tests/kit/$p" "$IMG/root/bin"
	[ "$SURROUNDING" != user ] || chown -hR 100000:100000 "$IMG/root"
	chmod 755 "$IMG"
	"$BUILD/tests/kit/spaces" "$SURROUNDING" "$IMG/pid" "$IMG/root" "$D" "/bin/$p" "$2" "$D" "${@:3}" \
		</dev/null >/dev/null 2>"$IMG/said" 3>&-
	PID=$(cat "$IMG/pid")
}
await_kind() {
	await_ready "$(dir_of)"
	[ "$SURROUNDING" != plain ] || return 0
	chmod 700 "$IMG" # no way for the tasks' root to images and root directory: only for the supervisor
	mount --bind "$IMG/root" "$IMG/root"
	mount --make-private "$IMG/root"
}
await_ready() { # await_ready DIR: of a program that may end before, with status 3 if there is none of it here
	local status=0
	until_true ready_or_ended "$1"
	! is_ready "$1" || return 0
	wait "$PID" 2>/dev/null || status=$?
	PID=
	[ "$status" != 3 ] && ! grep -qs 'status 0x300' "$W" || skip "this kernel has none"
	cat "$IMG/said" "$IMG/root/out/stdio" "$W" 2>/dev/null >&2 || true
	return 1
}
is_ready() { [ -e "$1/ready" ] || [ -e "$1/verdict.ready" ]; }
ready_or_ended() { is_ready "$1" || ! kill -0 "$PID" 2>/dev/null; }

# cycle OPTION...: the next generation
cycle() {
	local pid all
	all=$(tree_of "$PID")
	dump "$@"
	for pid in $all; do until_true gone "$pid"; done
	rm -f "$IMG/pid"
	restore "${OPTS[@]}" --pidfile "$IMG/pid" "$@"
	PID=$(cat "$IMG/pid")
}

# keeps PROGRAM CASE [ARG...] [-- OPTION...]: in every surrounding of $AROUND, two generations; a plain one looks first
keeps() {
	local args=()
	while [ $# -gt 0 ] && [ "$1" != -- ]; do args+=("$1"); shift; done
	shift || true
	for SURROUNDING in ${AROUND:-plain spaces user}; do
		echo "surrounding: $SURROUNDING"
		clean_kind
		start_kind "${args[@]}"
		started "${args[1]}"
		if [ "$SURROUNDING" = plain ] && [ -z "${NO_LOOK:-}" ]; then
			dump -R "$@"
			looked
		fi
		for _ in 1 2; do
			cycle "$@"
			has_spaces
			restored
		done
		verify
		end_kind
		passed_in "$SURROUNDING"
	done
}
has_spaces() { # those that its surrounding has
	local ns all=
	[ "$SURROUNDING" = plain ] || all="pid mnt ipc net uts cgroup time"
	[ "$SURROUNDING" != user ] || all+=" user"
	for ns in $all; do
		[ "$(readlink "/proc/$PID/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ] || { echo "no own $ns" >&2; return 1; }
	done
}
# what a test file has to say of its programs meanwhile: started CASE, looked, restored
started() { :; }
looked() { :; }
restored() { :; }
# the directory where the program works, as seen from here
dir_of() { [ "$SURROUNDING" = plain ] && echo "$D" || echo "/proc/$PID/root$D"; }

# for tests/run: what docs/coverage.md says of this file
passed_in() { [ -z "${SURROUNDINGS:-}" ] || echo "$1" >>"$SURROUNDINGS"; }

# refused TEXT [OPTION...]: before anything is stopped or written; the program runs on
refused() {
	not_dumped "$@"
	[ -z "$(ls "$IMG/img")" ]
	verify
}
# not_dumped TEXT [OPTION...]: refused, maybe only when the tasks were stopped
not_dumped() {
	run dump "${@:2}"
	[ "$status" -ne 0 ]
	[[ "$output" == *"$1"* ]] || { echo "$output" >&2; return 1; }
}
