#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Checkpoints made by CRIU 4.2 restore and verify. Needs ../shared/corpus or $STASIS_CORPUS.

setup() {
	CORPUS=${STASIS_CORPUS:-$BATS_TEST_DIRNAME/../../../shared/corpus}
	[ -d "$CORPUS/tools" ] || skip "no corpus"
	export CRIU=$BUILD/criu
}

teardown() {
	[ -z "${COPY:-}" ] || rm -rf "$COPY"
	[ ! -e "/tmp/corpus-$N.pid" ] || kill -9 "$(cat "/tmp/corpus-$N.pid")" 2>/dev/null || true
	umount "/opt/corpus/$N/root" 2>/dev/null || true
	rm -rf "/tmp/corpus-$N.pid" "/tmp/corpus-$N-restore.log" "/tmp/corpus-$N-dump.log" "/opt/corpus/$N"
}

corpus() {
	N=$1
	rm -f "/tmp/corpus-$N.pid"
	bash "$CORPUS/tools/corpus.sh" prepare "$N"
	[ -z "${2:-}" ] || (eval "$2") # modes that a read-only corpus has lost
	for step in restore verify; do
		bash "$CORPUS/tools/corpus.sh" "$step" "$N"
	done
}

# the same programs, dumped by us
cycle() {
	N=$1
	COPY=$(mktemp -d)
	cp -r "$CORPUS/tools" "$CORPUS/$N" "$COPY"
	chmod -R u+w "$COPY"
	rm -f "/tmp/corpus-$N.pid"
	for step in prepare dump restore verify; do
		bash "$COPY/tools/corpus.sh" "$step" "$N"
	done
}

@test "loop: one static task" { corpus loop; }
@test "threads" { corpus threads; }
@test "cow: memory shared by fork, and shared memory" { corpus cow; }
@test "task: attributes, signals, timers, credentials" { corpus task; }
@test "seccomp: chains of filters, strict mode" { corpus seccomp; }
@test "pidtree: an own pid namespace, sessions, groups, zombies, orphans" { corpus pidtree; }
@test "mounts: an own mount namespace" { corpus mounts; }
@test "timens: an own time namespace" { corpus timens; }
@test "pipes, a fifo" { corpus pipes; }
@test "ghost: files without a name" { corpus ghost; }
@test "linkremap: a file with another name" { corpus linkremap; }
@test "events: epoll, timerfd, signalfd, inotify" { corpus events; }

@test "loop, dumped by us" { cycle loop; }
@test "threads, dumped by us" { cycle threads; }
@test "cow, dumped by us" { cycle cow; }
@test "task, dumped by us" { cycle task; }
@test "seccomp, dumped by us" { cycle seccomp; }
@test "pidtree, dumped by us" { cycle pidtree; }
@test "mounts, dumped by us" { cycle mounts; }
@test "timens, dumped by us" { cycle timens; }
@test "pipes, dumped by us" { cycle pipes; }
@test "ghost, dumped by us" { cycle ghost; }
@test "linkremap, dumped by us" { cycle linkremap; }
@test "events, dumped by us" { cycle events; }
@test "unix, dumped by us" { cycle unix; }
@test "tcp, dumped by us" { cycle tcp; }
@test "tcp: connections, half closed ones, listeners, UDP" { corpus tcp; }
@test "unix: unix sockets" { corpus unix; }
@test "openfiles: files, directories, mappings, locks" { corpus openfiles "cd /opt/corpus/openfiles; chmod 755 . sub sub/deep; chmod 644 data sub/inner; chmod 600 log; chmod 640 lk.*"; }
@test "openfiles, dumped by us" { cycle openfiles; }
@test "shm: shared memory of all sorts, System V IPC in an own namespace" { corpus shm; }
@test "shm, dumped by us" { cycle shm; }
@test "pty: terminals, a controlling one, packet mode, waiting data" { corpus pty; }
@test "pty, dumped by us" { cycle pty; }
@test "netns: links, addresses, routes, rules, switches" { corpus netns; }
@test "netns, dumped by us" { cycle netns; }
@test "userns: an own user namespace" { corpus userns; }
@test "userns, dumped by us" { cycle userns; }
@test "misc: netlink, pidfds, a namespace file, guard pages" { corpus misc; }
@test "misc, dumped by us" { cycle misc; }
@test "legacy: images in the forms of old versions" { corpus legacy; }

@test "incr: a chain of parents" {
	COPY=$(mktemp -d)
	cp -r "$CORPUS/tools" "$CORPUS/incr" "$COPY"
	chmod -R u+w "$COPY"
	# links, where a copy of the corpus has lost them
	[ -L "$COPY/incr/img/parent" ] || ln -sf ../img1 "$COPY/incr/img/parent"
	[ -L "$COPY/incr/img1/parent" ] || ln -sf ../img0 "$COPY/incr/img1/parent"
	CORPUS=$COPY corpus incr
}
