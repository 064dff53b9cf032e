#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A Debian container as lxc-debian makes it, running systemd with sshd, cron, nginx and postgresql, checkpointed and
# restored by lxc-checkpoint.
bats_require_minimum_version 1.5.0
load ../kit/lxc

MADE=/var/cache/stasis-tests/debian-server

setup() {
	[ -e $MADE/config ] || skip "no corpus: make it with tests/kit/debian.sh"
	setup_lxc
}
teardown() {
	[ -z "${DIR:-}" ] || { kill ${CLIENTS:-} 2>/dev/null || true; teardown_lxc; }
}

unit() { # unit NAME: its text is our standard input
	local units=$P/$N/rootfs/etc/systemd/system
	cat >"$units/$1.service"
	mkdir -p "$units/multi-user.target.wants"
	ln -s "../$1.service" "$units/multi-user.target.wants/$1.service"
}

# Units in namespaces of their own, and behind BPF programs with maps; postgresql and sshd take us in.
debian() {
	local root=$P/$1/rootfs
	cp -a $MADE "$P/$1"
	sed -i "s,$MADE,$P/$1,; s,^lxc.uts.name.*,lxc.uts.name = $1," "$P/$1/config"
	unit counter <<-'END'
		[Service]
		ExecStart=/bin/sh -c 'i=0; while :; do i=$((i+1)); echo $i > /tmp/n && cat /tmp/n > /var/lib/c && mv /var/lib/c /var/lib/count; sleep 0.05; done'
		PrivateTmp=yes
		PrivateDevices=yes
		ProtectSystem=yes
		ProtectHostname=yes
		PrivateNetwork=yes
	END
	unit walled <<-END
		[Service]
		ExecStart=/bin/bash -c 'while :; do (for a in $HOST localhost; do echo 2>/dev/null >/dev/udp/\$a/9 && echo \$a open || echo \$a shut; done) >/var/lib/w; mv /var/lib/w /var/lib/walled; sleep 0.1; done'
		IPAddressDeny=any
		IPAddressAllow=localhost
		IPAccounting=yes
	END
	echo "listen_addresses = '*'" >>"$root/etc/postgresql/15/main/postgresql.conf"
	echo "host all all $HOST/32 trust" >>"$root/etc/postgresql/15/main/pg_hba.conf"
	echo '* * * * * root date >>/var/lib/ticks' >"$root/etc/cron.d/tick"
	inner "$root"
	ssh-keygen -q -t ed25519 -N '' -f "$DIR/key"
	mkdir -p "$root/root/.ssh"
	cp "$DIR/key.pub" "$root/root/.ssh/authorized_keys"
}
# a bundle for runc, which runs inside
inner() {
	local lib
	cp "$(command -v runc)" "$1/usr/sbin/"
	for lib in $(ldd "$(command -v runc)" | awk '/=>/ { print $3 }'); do
		[ -e "$1$lib" ] || cp -L "$lib" "$1$lib"
	done
	mkdir -p "$1/bundle/rootfs/bin"
	cp /bin/busybox "$1/bundle/rootfs/bin/"
	runc spec -b "$1/bundle"
	jq '.process.terminal = false | .root.readonly = false | .process.args = ["/bin/busybox", "sh", "-c",
		"i=0; while :; do i=$((i+1)); echo $i > /n && /bin/busybox mv /n /count; /bin/busybox sleep 0.05; done"]' \
		"$1/bundle/config.json" >"$1/bundle/new"
	mv "$1/bundle/new" "$1/bundle/config.json"
}
inner_count() { local n; n=$(cat "$P/$N/rootfs/bundle/rootfs/count" 2>/dev/null || true); echo "${n:-0}"; }
inner_beyond() { [ "$(inner_count)" -gt "$1" ]; }
inner_on() { # runc itself takes it for another: man stasis, BUGS
	local n
	n=$(inner_count)
	until_true inner_beyond "$((n + 3))"
}
count() { local n; n=$(cat "$P/$1/rootfs/var/lib/count" 2>/dev/null || true); echo "${n:-0}"; }
running() { [ "$(inside "$1" systemctl is-system-running 2>/dev/null)" = running ]; }
lease() { awk '{ print $3 }' "$DIR/leases"; }
up() { running "$N" && [ -n "$(lease)" ] && counts_beyond "$N" 3 && pg_isready -q -h "$(lease)"; }

# A session of ssh, one of psql and a connection to nginx: held by us all the time
clients() {
	mkfifo "$DIR/sql" "$DIR/sh"
	psql -qtAX -h "$IP" -U postgres -v ON_ERROR_STOP=1 <"$DIR/sql" >"$DIR/sql.out" 2>&1 3>&- &
	CLIENTS=$!
	ssh -qi "$DIR/key" -o StrictHostKeyChecking=no -o UserKnownHostsFile="$DIR/known" "root@$IP" \
		'n=0; while read -r l; do n=$((n+1)); echo "$l $n"; done' <"$DIR/sh" >"$DIR/sh.out" 2>&1 3>&- &
	CLIENTS="$CLIENTS $!"
	exec 5>"$DIR/sql" 6>"$DIR/sh" 7<>"/dev/tcp/$IP/80"
	echo 'create table t (n serial primary key, pid int default pg_backend_pid());' >&5
	transact
	PID_PG=$(tail -1 "$DIR/sql.out" | cut -d'|' -f3)
}
lines() { [ "$(wc -l <"$1")" -ge "$2" ]; }
rows() { wc -l <"$DIR/sql.out"; }
rows_beyond() { [ "$(rows)" -gt "$1" ]; }
insert() { echo 'begin; insert into t default values; select count(*), max(n), max(pid) from t; commit;' >&5; }
transact() {
	local n
	n=$(rows)
	insert
	until_true rows_beyond "$n" || { cat "$DIR/sql.out" >&2; return 1; }
}
# transactions without end, as fast as they go, with all the time that a checkpoint takes
load_begin() {
	(trap 'exit 0' TERM
	while :; do
		n=$(rows)
		insert
		until rows_beyond "$n"; do read -rt 0.01 <> <(:) || true; done
	done) </dev/null >/dev/null 2>&1 3>&- 6>&- 7>&- &
	LOAD=$!
	CLIENTS="$CLIENTS $LOAD"
}
ask_ssh() {
	local n
	n=$(wc -l <"$DIR/sh.out")
	echo ping >&6
	until_true lines "$DIR/sh.out" $((n + 1))
	[ "$(tail -1 "$DIR/sh.out")" = "ping $((n + 1))" ]
}
ask_nginx() {
	local line length=0
	printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >&7
	read -rt 10 line <&7
	[[ $line = "HTTP/1.1 200"* ]]
	while read -rt 10 line <&7 && [ "$line" != $'\r' ]; do
		[[ $line != Content-Length:* ]] || length=${line//[^0-9]/}
	done
	[ "$(head -c "$length" <&7 | wc -c)" = "$length" ]
}
served() { # all that was served before is, to the same clients
	local n
	n=$(rows)
	until_true rows_beyond $((n + 3))
	ask_ssh
	ask_nginx
}
journal() { # journal TEXT: what is logged arrives
	inside "$N" logger -t mark "$1"
	until_true eval "inside '$N' journalctl -q -t mark | grep -q 'mark.*: $1\$'"
}
walled() { # what the unit's own BPF programs let through now
	rm "$P/$N/rootfs/var/lib/walled"
	until_true test -s "$P/$N/rootfs/var/lib/walled"
	printf '%s shut\nlocalhost open\n' "$HOST" | diff - "$P/$N/rootfs/var/lib/walled"
}
ticks() { wc -l 2>/dev/null <"$P/$N/rootfs/var/lib/ticks" || echo 0; }
ticks_beyond() { [ "$(ticks)" -gt "$1" ]; }
bpf_programs() { grep -h ^prog_tag "/proc/$(pid_of "$N")"/fdinfo/* | sort; }

@test "systemd with sshd, cron, nginx and postgresql, all in use, and a container of runc's: five generations" {
	CONTAINERS="$N $N-b"
	debian "$N"
	start "$N"
	until_true up || until_true up
	IP=$(lease)
	stock "$N-b"
	start "$N-b"
	clients
	load_begin
	inside "$N" sh -c 'runc run -d -b /bundle inner </dev/null >/dev/null 2>&1'
	inner_on
	served
	walled
	mounts "$N" >"$DIR/before"
	bpf_programs >"$DIR/programs"
	[ -s "$DIR/programs" ]
	checkpoint "$N" "$DIR/img0" # and let it go on
	is "$N" RUNNING
	served
	for g in 1 2 3 4 5; do
		checkpoint "$N" "$DIR/img$g" -s
		is "$N" STOPPED
		n=$(count "$N")
		t=$(ticks)
		resume "$N" "$DIR/img$g" -d
		again "$N"
		[ "$(count "$N")" -lt "$((n + 2000))" ]
		served
		inner_on
		running "$N"
		journal "generation-$g"
		rm -r "$DIR/img$g"
	done
	is "$N-b" RUNNING
	kill "$LOAD"
	# one psql, one server process, no number lost
	wait "$LOAD" || true
	transact
	[[ $(tail -1 "$DIR/sql.out") = "$(rows)|$(rows)|$PID_PG" ]] || { tail -2 "$DIR/sql.out" >&2; return 1; }
	walled
	bpf_programs | diff - "$DIR/programs"
	mounts "$N" >"$DIR/after"
	# the console is one of LXC's each time
	diff <(grep -v " /dev/console " "$DIR/before") <(grep -v " /dev/console " "$DIR/after")
	# systemd still is the master of its units
	inside "$N" systemctl restart ssh nginx postgresql walled
	inside "$N" systemctl stop counter
	[ "$(inside "$N" systemctl is-active counter)" = inactive ]
	for s in 1 2 3 4 5 6 7; do # cron works once a minute
		ticks_beyond "$t" || until_true ticks_beyond "$t" 2>/dev/null || true
	done
	ticks_beyond "$t"
	inside "$N" pkill -9 -f "busybox sh -c i=0" # it does not mind SIGTERM
	lxc stop "$N" -t 30
	is "$N" STOPPED
}
