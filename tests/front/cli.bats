#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: cpuinfo
# The command line: usage, exit statuses, configuration files, action scripts, what goes where.
bats_require_minimum_version 1.5.0
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	export IMG HOME=$IMG/home
	mkdir -p "$IMG/img" "$HOME/.criu"
	unset CRIU_CONFIG_FILE
}
teardown() {
	[ -z "${PID:-}" ] || teardown_work
	rm -rf "$IMG"
}
start() {
	local home=$HOME img=$IMG
	setup_work
	rm -rf "$img"
	export HOME=$IMG/home IMG
	mkdir -p "$HOME/.criu"
}
# fails STATUS TEXT WORD...: criu ends with that status and says TEXT
fails() {
	local want=$1 text=$2
	shift 2
	run "$BUILD/criu" "$@"
	[ "$status" -eq "$want" ] && [[ $output == *"$text"* ]] || { echo "$status: $output"; return 1; }
}

@test "criu --version; help before everything else" {
	run "$BUILD/criu" --version
	[ "$status" -eq 0 ]
	[ "$output" = "Version: 4.2" ]
	run "$BUILD/criu" dump -V
	[ "$output" = "Version: 4.2" ]
	run "$BUILD/criu" --nonsense dump -h
	[ "$status" -eq 0 ]
	[[ $output == *Usage:* ]]
}

@test "no command, an unknown command or option: usage on stdout, the reason on stderr, 1" {
	for args in "" nonsense "--nonsense dump" "dump too many" "cpuinfo" "dump --cpu-cap=x" "dump -t"; do
		[ "$("$BUILD/criu" $args 2>/dev/null | head -c 6)" = Usage: ]
		[ -n "$("$BUILD/criu" $args 2>&1 >/dev/null)" ]
		fails 1 "" $args
	done
	fails 1 "Usage: criu swrk <fd>" swrk
	fails 1 "Usage: criu swrk <fd>" swrk 1 2
	fails 255 crit show
	fails 255 compel exec
}

@test "wrong values and combinations: the reason and 1" {
	fails 1 "is no pid" dump -t 0
	fails 1 "which tree" dump -D "$IMG/img"
	fails 1 "needs --restore-detached" restore -S -D "$IMG/img"
	fails 1 "does not go with" restore -d --exec-cmd -D "$IMG/img" -- true
	fails 1 "for restore only" dump -t 1 --inherit-fd 'fd[0]:x'
	fails 1 "for restore only" dump -t 1 --mntns-compat-mode
	fails 1 "does not go with" restore -D "$IMG/img" --empty-ns net --join-ns net:1
	fails 1 "images directory" dump -t 1 -D "$IMG/none"
	for c in pre-dump lazy-pages page-server dedup; do
		fails 1 "not supported yet" $c -t 1 -D "$IMG/img"
	done
}

@test "check: a verdict; features by name" {
	run "$BUILD/criu" check
	[ "$status" -eq 0 ] && [ "$output" = "Looks good." ]
	run "$BUILD/criu" check --feature external_net_ns
	[ "$status" -eq 0 ] && [ "$output" = "external_net_ns is supported" ]
	run "$BUILD/criu" check --feature mnt_id
	[ "$status" -eq 0 ] && [ "$output" = "mnt_id is supported" ]
	run "$BUILD/criu" check --feature uffd-noncoop
	[ "$status" -eq 1 ] && [ -z "$output" ]
	fails 1 "no feature of that name" check --feature list
	run setpriv --bounding-set -all --inh-caps -all "$BUILD/criu" check
	[ "$status" -eq 1 ] && [[ $output == *"Does not look good."* ]]
	run setpriv --bounding-set -all --inh-caps -all "$BUILD/criu" check -W "$IMG" -o check.log
	[ "$status" -eq 1 ] && [ -z "$output" ] && grep -q "Does not look good." "$IMG/check.log"
	fails 1 "log file none/log" check -o none/log
}

@test "configuration files in their order" {
	start
	conf() { printf '%s\n' "$2" >"$IMG/$1"; }
	used() { # used LOG WORD...: dump writes that log
		local want=$1
		shift
		rm -rf "$IMG"/img/*
		dump -R "$@" || return 1
		[ "$(cd "$IMG/img" && ls -- *.log)" = "$want" ] || { ls "$IMG/img"; return 1; }
	}
	conf home/.criu/default.conf 'log-file home.log'
	used home.log
	conf env 'log-file=env.log  # behind it'
	export CRIU_CONFIG_FILE=$IMG/env
	used env.log
	conf file '   log-file "a \" file.log"'
	used 'a " file.log' --config "$IMG/file"
	used argv.log --conf "$IMG/file" -o argv.log
	conf env '# nothing'
	conf file 'tcp-close'
	used argv.log --config="$IMG/file" -o argv.log
	conf home/.criu/default.conf 'nonsense'
	used argv.log -o argv.log --no-default-config
	for bad in nonsense 'log-file a b' 'log-file "a" b' 'log-file "a' 'shell-job yes' 'dump'; do
		conf env "$bad"
		fails 1 "configuration file" dump -t "$PID" -D "$IMG/img" -R --no-default-config
	done
	export CRIU_CONFIG_FILE=$IMG/none
	used argv.log -o argv.log --no-default-config
	verify
}

script() { # script NAME COMMAND...: an action script
	printf '#!/bin/bash\n%s\n' "$2" >"$IMG/$1"
	chmod +x "$IMG/$1"
}

@test "action scripts: names, order, environment, no standard input, output in the log" {
	start
	script one 'echo "one $CRTOOLS_SCRIPT_ACTION ${CRTOOLS_INIT_PID:-none}" >>$IMG/steps
		[ ! -e /proc/self/fd/0 ] || [ "$(readlink /proc/$$/fd/0)" != "" ] && ls -l /proc/$$/fd/0 >>$IMG/stdin 2>/dev/null
		ls $CRTOOLS_IMAGE_DIR/ >/dev/null || exit 1
		pwd >>$IMG/cwd
		echo "said by $CRTOOLS_SCRIPT_ACTION"'
	script two 'echo "two $CRTOOLS_SCRIPT_ACTION" >>$IMG/steps'
	mkdir "$IMG/wd"
	cp "$IMG/two" "$IMG/wd/two"
	dump --action-script "$IMG/one" --action-script ./two -W "$IMG/wd" -o log
	[ "$(cat "$IMG/steps")" = "$(printf '%s\n' "two pre-dump" "one pre-dump $PID" "two post-dump" "one post-dump $PID")" ] ||
		{ cat "$IMG/steps"; return 1; }
	[ "$(sort -u "$IMG/cwd")" = "$IMG/wd" ]
	[ ! -s "$IMG/stdin" ] || { cat "$IMG/stdin"; return 1; }
	grep -q "said by post-dump" "$IMG/wd/log"
	rm "$IMG/steps"
	restore --action-script "$IMG/one"
	[ "$(cat "$IMG/steps")" = "$(printf '%s\n' "one pre-restore none" "one post-restore $PID" "one pre-resume $PID" "one post-resume $PID")" ] ||
		{ cat "$IMG/steps"; return 1; }
	verify
}

@test "a script that fails: 255 after post-dump, 1 before; the tree runs on; a restore leaves nothing" {
	start
	script bad '[ "$CRTOOLS_SCRIPT_ACTION" != "$STEP" ]'
	export STEP=post-dump
	fails 255 "post-dump" dump -t "$PID" -D "$IMG/img" --action-script "$IMG/bad"
	[ ! -e "$IMG/img/inventory.img" ]
	export STEP=pre-dump
	fails 1 "pre-dump" dump -t "$PID" -D "$IMG/img" --action-script "$IMG/bad"
	fails 1 "pre-dump" dump -t "$PID" -D "$IMG/img" --action-script "$IMG/none"
	until_true beats_on "$(beat)"
	dump
	until_true gone "$PID"
	export STEP=post-restore
	fails 1 "post-restore" restore -d -D "$IMG/img" --action-script "$IMG/bad"
	gone "$PID"
	export STEP=post-resume
	restore --action-script "$IMG/bad"
	verify
}

@test "exec-cmd, pidfile, display-stats, -o -" {
	start
	run dump --display-stats
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -eq 10 ] && [ "${lines[0]}" = "Displaying dump stats:" ]
	until_true gone "$PID"
	run "$BUILD/criu" restore -D "$IMG/img" --display-stats --pidfile pid --exec-cmd -- sh -c 'echo "child $1"; exit 3' x y
	[ "$status" -eq 3 ] || { echo "$output"; return 1; }
	[ "${lines[0]}" = "Displaying restore stats:" ] && [ "${#lines[@]}" -eq 7 ] && [ "${lines[6]}" = "child y" ]
	[ "$(cat "$IMG/img/pid")" = "$PID" ] && [ "$(stat -c %a,%s "$IMG/img/pid")" = "600,${#PID}" ]
	fails 1 "exists already" restore -d -D "$IMG/img" --pidfile pid
	verify
}

@test "a pidfile that cannot be written: nothing is left of the restore" {
	start
	dump
	until_true gone "$PID"
	fails 1 "pidfile no/such: No such file" restore -d -D "$IMG/img" --pidfile no/such
	until_true gone "$PID"
	restore
	verify
}

@test "a restore that waits ends with 0 however the tasks end" {
	start
	dump
	until_true gone "$PID"
	"$BUILD/criu" restore -D "$IMG/img" </dev/null >/dev/null 2>&1 3>&- &
	d=$!
	until_true beats_on "$(beat)"
	verify
	wait "$d"
}

@test "cpu-cap: a dump notes the processor, and a restore asks whether this one is as good" {
	start
	dump -R
	[ ! -e "$IMG/img/cpuinfo.img" ]
	rm -rf "$IMG/img"; mkdir "$IMG/img"
	dump --cpu-cap
	crit decode -i "$IMG/img/cpuinfo.img" >"$IMG/json"
	jq '.entries[0].x86_entry[0].xsave_size += 64' "$IMG/json" | crit encode -o "$IMG/img/cpuinfo.img"
	run -1 "$BUILD/criu" restore -d -D "$IMG/img" --cpu-cap=fpu
	[[ $output == *"processor here differs"* ]]
	restore --cpu-cap=ins
	verify
}

@test "cpuinfo: exit codes" {
	run -1 "$BUILD/criu" cpuinfo
	run -1 "$BUILD/criu" cpuinfo check -D "$IMG/img"
	run -1 "$BUILD/criu" cpuinfo dump check -D "$IMG/img"
	"$BUILD/criu" cpuinfo dump -D "$IMG/img"
	"$BUILD/criu" cpuinfo check -D "$IMG/img"
}
