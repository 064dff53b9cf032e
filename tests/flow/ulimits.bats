#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/rlimit
# Small limits and odd signals of whoever dumps or restores are not the tasks' business, nor do they stop the work.
load ../kit/helper

setup() { setup_work; }
teardown() { teardown_work; }

# under WORDS JOB...: the job in a shell that has done WORDS first
under() {
	local words=$1
	shift
	(eval "$words" && case $1 in dump) dump_exec "${@:2}" ;; restore) restore_exec "${@:2}" ;; esac)
}
limits_of() { cat "/proc/$1/limits"; grep -E '^Sig(Ign|Blk)' "/proc/$1/status"; }
survives() { # survives WORDS: a dump and a restore under them, and the tasks have their own limits and signals
	local was
	was=$(limits_of "$PID")
	under "$1" dump
	until_true gone "$PID"
	under "$1" restore
	[ "$(limits_of "$PID")" = "$was" ] || { diff <(echo "$was") <(limits_of "$PID"); return 1; }
	until_true beats_on "$(beat)"
	verify
}

@test "soft limit of open files" { survives "ulimit -Sn 24"; }
@test "soft limit of a file's size" { survives "ulimit -Sf 16"; }
@test "soft limit of the stack" { survives "ulimit -Ss 64"; }
@test "soft limits of memory" { survives "ulimit -Sv 300000; ulimit -Sd 1000"; }
@test "soft limit of processes" { survives "ulimit -Su 2"; }
@test "umask 0777" { survives "umask 0777"; }
@test "standard descriptors closed" { survives "exec <&- >&- 2>&- 3>&-"; }
@test "the working directory is deleted" { survives 'mkdir "$IMG/gone" && cd "$IMG/gone" && rmdir "$IMG/gone"'; }
@test "SIGCHLD, SIGPIPE and SIGHUP ignored" { survives 'trap "" CHLD PIPE HUP'; }

@test "a hard limit of open files that is too low is said, and the tasks run on" {
	run under "ulimit -n 14" dump
	[ "$status" -eq 1 ]
	[[ $output == *"only 14 open files are allowed here"* ]] || { echo "$output" >&2; return 1; }
	until_true beats_on "$(beat)"
	dump
	until_true gone "$PID"
	run under "ulimit -n 14" restore
	[ "$status" -eq 1 ]
	[[ $output == *"raise the "*"limit"*"ulimit -n"* ]] || { echo "$output" >&2; return 1; }
	gone "$PID"
	restore
	verify
}

@test "a hard limit of a file's size is said, and the tasks run on" {
	run under "ulimit -f 16" dump
	[ "$status" -eq 1 ]
	[[ $output == *"File too large"* ]] || { echo "$output" >&2; return 1; }
	until_true beats_on "$(beat)"
	[ ! -e "$IMG/img/inventory.img" ]
	verify
}

@test "who reads the log ends" {
	mkfifo "$IMG/log"
	timeout 20 head -c1 "$IMG/log" >/dev/null 3>&- &
	reader=$!
	dump -v4 -o - >"$IMG/log"
	wait "$reader"
	until_true gone "$PID"
	restore
	verify
}

@test "an action script has its caller's limits and signals" {
	printf '#!/bin/bash\n{ ulimit -Sn; ulimit -Sf; grep SigIgn /proc/self/status; } >"%s/$CRTOOLS_SCRIPT_ACTION"\n' "$IMG" >"$IMG/script"
	chmod +x "$IMG/script"
	under "ulimit -Sn 300; ulimit -Sf 100000; trap - PIPE XFSZ" dump -R --action-script "$IMG/script"
	for step in pre-dump post-dump; do
		mapfile -t got <"$IMG/$step"
		[ "${got[0]} ${got[1]}" = "300 100000" ] || { printf '%s\n' "${got[@]}"; return 1; }
		((0x${got[2]##*[[:space:]]} & 0x1001000)) && { echo "${got[2]}"; return 1; }
	done
	verify
}

@test "thousands of open files, more than the soft limit of who dumps them" {
	[ "$(ulimit -Hn)" -ge 4096 ] || skip "the hard limit here is $(ulimit -Hn)"
	(ulimit -Sn 3000; exec bash -c 'for i in {10..2500}; do eval "exec $i<<<\$i"; done; echo >"$0"; while :; do read -rt 1000 <> <(:); done' "$IMG/many") \
		</dev/null >/dev/null 2>&1 3>&- &
	MANY=$!
	until_true test -e "$IMG/many"
	high() { ls "/proc/$MANY/fd" | awk '$1 >= 100' | wc -l; } # lower ones come and go in its loop
	n=$(high)
	[ "$n" -ge 2400 ]
	mkdir "$IMG/big"
	(ulimit -Sn 256; exec "$BUILD/stasis" dump -t "$MANY" -D "$IMG/big")
	until_true gone "$MANY"
	(ulimit -Sn 256; exec "$BUILD/stasis" restore -D "$IMG/big" -d)
	[ "$(high)" = "$n" ]
	grep -q 'Max open files  *3000 ' "/proc/$MANY/limits"
	kill -9 "$MANY"
	verify
}
