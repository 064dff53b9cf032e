#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Programs at work in containers of runc: dumped while they run on, then taken through two generations.
bats_require_minimum_version 1.5.0
load ../kit/runc

setup() { setup_runc; }
teardown() { teardown_runc; }

# generations COUNT [OPTIONS...]: COUNT holds a number that has to go on, COUNT.wrong must not appear
generations() {
	local count=$1 n
	shift
	goes_on "$count"
	checkpoint "$ID" "$DIR/running" --leave-running "$@"
	goes_on "$count"
	for n in 1 2; do
		checkpoint "$ID" "$DIR/img$n" "$@"
		resume b "$ID" "$DIR/img$n" "$@"
		goes_on "$count"
	done
}
goes_on() {
	until_true test -s "$1" || { cat "$DATA/out" >&2; false; }
	until_true counts_beyond "$1" "$(number "$1")" || { cat "$DIR/out" >&2; false; }
	[ ! -e "$1.wrong" ] || { cat "$1.wrong" >&2; false; }
}

# program FILTER SCRIPT [FILE...]: a bundle with the host's programs that runs SCRIPT, files in /prog
program() {
	SCRIPT=$2 bundle b '.process.args = ["/bin/sh", "-c", env.SCRIPT] | '"$1"' |
		.process.env += ["HOME=/data"] | '"$USR"
	mkdir -p "$DIR/b/rootfs/prog" "$DIR/b/rootfs/etc" "$DIR/b/rootfs/run"
	cp "$BATS_TEST_DIRNAME/../kit/programs/clients.py" "${@:3}" "$DIR/b/rootfs/prog"
	printf 'root:x:0:0:r:/data:/bin/sh\nuser:x:1000:1000:u:/data:/bin/sh\nsshd:x:100:100:s:/run:/bin/false\n' > "$DIR/b/rootfs/etc/passwd"
	chmod 1777 "$DIR/b/rootfs/data" "$DIR/b/rootfs/tmp" "$DIR/b/rootfs/run"
	DATA=$DIR/b/rootfs/data
}
KIT=$BATS_TEST_DIRNAME/../kit/programs
USER='.process.user = {"uid": 1000, "gid": 1000}'

@test "postgresql: pgbench over TCP sees no error, and the accounts agree" {
	program "$USER" 'PATH=/usr/lib/postgresql/'"$(ls /usr/lib/postgresql | tail -n1)"'/bin:/usr/bin:/bin
		initdb -D /data/pg -A trust -U user >/data/initdb.log &&
		postgres -D /data/pg -h 127.0.0.1 -k /tmp >/data/postgres.log 2>&1 &
		until psql -h 127.0.0.1 -U user postgres -c "select 1" >/dev/null 2>&1; do busybox sleep 0.1; done
		pgbench -h 127.0.0.1 -U user -i -q -s 2 postgres 2>/data/init &&
		pgbench -h 127.0.0.1 -U user -c 10 -j 3 -T 600 -P 1 postgres >/data/bench 2>/data/progress; echo $? > /data/ended; wait'
	start b "$ID"
	sql() { r exec "$ID" /usr/bin/psql -h 127.0.0.1 -U user postgres -Atc "$1"; }
	done_so_far() { sql 'select count(*) from pgbench_history' > "$DATA/count.new" && mv "$DATA/count.new" "$DATA/count"; }
	at_work() { n=$(number "$DATA/count"); done_so_far 2>/dev/null && counts_beyond "$DATA/count" "$n"; }
	until_true at_work
	until_true at_work
	checkpoint "$ID" "$DIR/running" --leave-running --tcp-established
	until_true at_work
	for g in 1 2; do
		checkpoint "$ID" "$DIR/img$g" --tcp-established
		resume b "$ID" "$DIR/img$g" --tcp-established
		until_true at_work
	done
	[ ! -e "$DATA/ended" ]
	r exec "$ID" busybox killall -ALRM pgbench # as -T ends it
	until_true test -s "$DATA/ended"
	cat "$DATA/bench"
	[ "$(cat "$DATA/ended")" = 0 ]
	grep -q 'number of failed transactions: 0 ' "$DATA/bench"
	[ "$(sql "select count(*) from pgbench_history")" = "$(sed -n 's/^number of transactions actually processed: //p' "$DATA/bench")" ]
	[ "$(sql "select (select sum(abalance) from pgbench_accounts) = sum(delta) and
		(select sum(bbalance) from pgbench_branches) = sum(delta) and
		(select sum(tbalance) from pgbench_tellers) = sum(delta) from pgbench_history")" = t ]
	run ! grep -E 'PANIC|terminated by|connection to client lost' "$DATA/postgres.log"
}

@test "nginx: two workers, forty clients that stay connected" {
	program "$USER" '/usr/sbin/nginx -p /data -c /prog/nginx.conf -e /data/error &
		until busybox nc 127.0.0.1 8080 </dev/null; do busybox sleep 0.05; done
		exec python3 /prog/clients.py http 8080 40 /data/count'
	echo 'worker_processes 2; daemon off; pid /data/pid; error_log /data/error;
		events { worker_connections 100; }
		http { access_log /data/access; keepalive_requests 1000000; client_body_temp_path /tmp/1; proxy_temp_path /tmp/2;
			fastcgi_temp_path /tmp/3; uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;
			server { listen 127.0.0.1:8080; root /data/www; sendfile on; } }' > "$DIR/b/rootfs/prog/nginx.conf"
	mkdir "$DATA/www"
	for n in $(seq 0 39); do yes "$n" | head -n 2000 > "$DATA/www/f$n"; done
	start b "$ID"
	generations "$DATA/count" --tcp-established
	run ! grep -E 'crit|alert|emerg|exited' "$DATA/error"
	# its master still rules: new workers, new clients
	workers() { pgrep -d ' ' -f 'nginx: worker process$'; }
	was=$(workers)
	others() { n=$(workers) && for w in $was; do [[ " $n " != *" $w "* ]] || return 1; done; }
	touch "$DATA/count.reload"
	r exec "$ID" busybox kill -HUP "$(cat "$DATA/pid")"
	until_true others
	goes_on "$DATA/count"
}

@test "redis: publishers and ten subscribers miss nothing" {
	program "$USER" 'redis-server --port 6379 --save "" --dir /data >/data/log &
		until redis-cli ping >/dev/null 2>&1; do busybox sleep 0.05; done
		exec python3 /prog/clients.py pubsub 6379 /data/count'
	start b "$ID"
	generations "$DATA/count" --tcp-established
}

@test "python3: an asyncio server and 200 connections" {
	program "$USER" 'python3 /prog/clients.py serve 7000 &
		until busybox nc 127.0.0.1 7000 </dev/null; do busybox sleep 0.05; done
		exec python3 /prog/clients.py lines 7000 200 /data/count'
	start b "$ID"
	generations "$DATA/count" --tcp-established
}

@test "node: sockets, timers, a worker thread, children, files" {
	program "$USER" 'exec node /prog/node.js /data/count' "$KIT/node.js"
	start b "$ID"
	generations "$DATA/count" --tcp-established
}

@test "a Java machine: threads, timers, pools, sockets, collections of garbage" {
	program "$USER" 'exec '"$(readlink -f "$(command -v java)")"' -Xmx256m /prog/Many.java /data/count' "$KIT/Many.java"
	cp -a /etc/java-*-openjdk "$DIR/b/rootfs/etc"
	start b "$ID"
	generations "$DATA/count" --tcp-established --file-locks # that of its performance data
}

@test "a Go program: 200 connections, threads, signals, tickers, children" {
	CGO_ENABLED=0 GOCACHE=$DIR/cache HOME=$DIR go build -o "$DIR/many" "$KIT/many.go"
	program "$USER" 'exec /prog/many /data/count' "$DIR/many"
	start b "$ID"
	generations "$DATA/count" --tcp-established
}

@test "tmux: a session with two windows, shells and what they run" {
	program '.process.env += ["TERM=xterm", "LANG=C.UTF-8"]' '
		tmux -f /dev/null -S /tmp/tmux new-session -d -s main -x 100 -y 30 bash --norc &&
		tmux -S /tmp/tmux new-window -t main -n loop "i=0; while :; do i=\$((i+1)); echo \$i > /data/.n; busybox mv /data/.n /data/count; echo tick \$i; busybox sleep 0.05; done"
		while :; do busybox sleep 1000; done'
	start b "$ID"
	until_true test -s "$DATA/count"
	tm() { r exec "$ID" /usr/bin/tmux -S /tmp/tmux "$@"; }
	screen_has() { tm capture-pane -p -t "main:$1" | grep -q "$2"; }
	says() { tm send-keys -t main:0 "$1" Enter; until_true screen_has 0 "^$2\$"; }
	says 'X=kept; busybox sleep 999 & echo pid-$?' pid-0
	generations "$DATA/count"
	says 'echo $X-$(jobs | busybox wc -l)' kept-1
	says 'kill %1; wait %1; echo ended-$?' ended-143
	until_true screen_has 1 'tick [0-9]*'
	tm resize-window -t main:0 -x 80 -y 20
	says 'stty size' '[0-9]* 80'
	tm send-keys -t main:0 'busybox sleep 1000' Enter
	until_true screen_has 0 'busybox sleep 1000'
	tm send-keys -t main:0 C-c # the terminal's line discipline and groups
	says 'echo int-$?' int-130
}

@test "sshd: a live session with a terminal, and one without" {
	ssh-keygen -q -t ed25519 -N '' -f "$DIR/key"
	program '.process.capabilities |= map_values(. + ["CAP_SETUID", "CAP_SETGID", "CAP_SYS_CHROOT", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"]) |
		.process.env += ["TERM=xterm"]' '
		/usr/sbin/sshd -D -e -p 2222 -h /prog/key -f /dev/null -o AuthorizedKeysFile=/prog/key.pub -o StrictModes=no -o UsePAM=no -o PidFile=none 2>/data/log &
		until busybox nc 127.0.0.1 2222 </dev/null >/dev/null; do busybox sleep 0.05; done
		s() { ssh -p 2222 -i /prog/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "$@"; }
		busybox mkfifo /data/in /data/in2
		s -tt user@127.0.0.1 < /data/in > /data/session &
		s user@127.0.0.1 "while read x; do echo got \$x; done" < /data/in2 > /data/plain & 
		exec 5>/data/in 6>/data/in2
		i=0; while :; do i=$((i+1)); echo $i >&6; echo "echo tick=$i" >&5; busybox sleep 0.05; done' "$DIR/key" "$DIR/key.pub"
	chmod 644 "$DIR/b/rootfs/prog/key.pub"
	mkdir -p "$DIR/b/rootfs/run/sshd"
	chmod 755 "$DIR/b/rootfs/run" "$DIR/b/rootfs/run/sshd"
	start b "$ID"
	ticks() { tr -d '\r' < "$DATA/session" | grep -c '^tick='; }
	lines() { grep -c got "$DATA/plain"; }
	both_on() { [ "$(ticks)" -gt "$t" ] && [ "$(lines)" -gt "$l" ]; }
	on() { t=$(ticks) l=$(lines) || true; until_true both_on || { tail "$DATA/log" "$DATA/session" "$DATA/plain" >&2; false; }; }
	t=0 l=0; until_true both_on
	checkpoint "$ID" "$DIR/running" --leave-running --tcp-established
	on
	for g in 1 2; do
		checkpoint "$ID" "$DIR/img$g" --tcp-established
		resume b "$ID" "$DIR/img$g" --tcp-established
		on
	done
	# nothing was lost or doubled
	grep got "$DATA/plain" | awk '$2 != NR { print "line " NR ": " $0; exit 1 }'
	tr -d '\r' < "$DATA/session" | sed -n 's/^tick=//p' | awk '$1 != NR { print "tick " NR ": " $0; exit 1 }'
	# and the server takes new ones
	[ "$(r exec "$ID" /usr/bin/ssh -p 2222 -i /prog/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR user@127.0.0.1 'echo $((6*7))' </dev/null)" = 42 ]
}

@test "busybox init: services that it starts again" {
	bundle b '.process.args = ["/bin/init"] | .process.capabilities |= map_values(. + ["CAP_KILL"])'
	ln -s busybox "$DIR/b/rootfs/bin/init"
	mkdir -p "$DIR/b/rootfs/etc"
	DATA=$DIR/b/rootfs/data
	echo '::sysinit:/bin/busybox touch /data/booted
::respawn:/bin/sh /data/steady
::respawn:/bin/sh /data/brief
::once:/bin/busybox sleep 1000' > "$DIR/b/rootfs/etc/inittab"
	echo 'i=0; while :; do i=$((i+1)); echo $i > /data/.n; busybox mv /data/.n /data/count; busybox sleep 0.02; done' > "$DATA/steady"
	echo 'echo $$ >> /data/brief.log; exec busybox sleep 0.3' > "$DATA/brief"
	start b "$ID"
	again_brief() { [ "$(wc -l < "$DATA/brief.log")" -gt "$n" ]; }
	generations "$DATA/count"
	n=$(wc -l < "$DATA/brief.log")
	until_true again_brief # its init reaps and respawns
	kill -9 "$(pgrep -P "$(pid_of "$ID")" -f /data/steady)"
	goes_on "$DATA/count"
}

@test "OpenMPI: three ranks and the daemon that started them" {
	mpicc.openmpi -O1 -o "$DIR/ring" "$KIT/ring.c"
	program "$USER" 'cd /data && mpirun.openmpi --oversubscribe -np 3 /prog/ring /data/count >/data/out 2>&1; echo $? > /data/ended' "$DIR/ring"
	start b "$ID"
	generations "$DATA/count" --tcp-established
	[ ! -e "$DATA/ended" ]
}
