#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A user who is not the superuser restores what is its own, by a service, by a setuid program, and by the one
# capability that it takes.
bats_require_minimum_version 1.5.0
load ../kit/helper

setup() {
	IMG=$(mktemp -d)
	chmod 755 "$IMG"
	mkdir -m 700 "$IMG/own"
	mkdir "$IMG/own/img"
	chown -R 1000:1000 "$IMG/own"
	export IMG PYTHONPATH=$BATS_TEST_DIRNAME/../kit RPC_PB=$IMG SOCK=$IMG/sock HOME=$IMG
	protoc -I"$BATS_TEST_DIRNAME/../../images" --python_out="$IMG" rpc.proto
	chmod 644 "$IMG/rpc_pb2.py"
	# nothing of the test's own stays open in it: this user could not see it
	setpriv --reuid 1000 --regid 1000 --groups 1000,1234 setsid bash -c 'for f in {3..300}; do [ $f = 255 ] || eval "exec $f>&-"; done; exec "$0" 2' "$BUILD/tests/kit/idle" </dev/null >/dev/null 2>&1 3>&- &
	export PID=$!
	until_true eval '[ "$(cat "/proc/$PID/comm")" = idle ]'
}
teardown() {
	kill -9 "$PID" 2>/dev/null || true
	[ -z "${SERVICE:-}" ] || kill "$SERVICE" 2>/dev/null || true
	rm -rf "$IMG"
}
user() { setpriv --reuid 1000 --regid 1000 --groups 1000,1234 "$@"; }
# as before, with no capability, and traceable by its user
is_users() {
	[ "$(grep -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb)):' "/proc/$PID/status" | tr -s '\t\n ' ' ')" = \
		"Uid: 1000 1000 1000 1000 Gid: 1000 1000 1000 1000 Groups: 1000 1234 CapInh: 0000000000000000 CapPrm: 0000000000000000 CapEff: 0000000000000000 CapAmb: 0000000000000000 " ]
	user readlink "/proc/$PID/exe"
}
own_images() { # by the superuser, given to the user
	"$BUILD/criu" dump -t "$PID" -D "$IMG/own/img" "$@"
	chown -R 1000:1000 "$IMG/own/img"
	until_true gone "$PID"
}
edit() { edit_image "$IMG/own/img/$1" "$2"; } # edit IMAGE STATEMENT

@test "by a service: dumped and restored by the user, who owns images and log" {
	"$BUILD/criu" service --address "$SOCK" --pidfile "$IMG/service.pid" -W "$IMG" -D "$IMG" </dev/null >"$IMG/service.out" 2>&1 3>&- &
	SERVICE=$!
	until_true test -s "$IMG/service.pid"
	cat >"$IMG/client.py" <<'PY'
import socket
from rpc import *
def ask(t, **kw):
    w = Swrk.__new__(Swrk)
    w.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    w.sock.connect(os.environ["SOCK"])
    w.steps, w.fds, w.refuse = [], [], ()
    req = opts(os.environ["IMG"] + "/own/img", notify_scripts=True, **kw)
    req.type = t
    return w.ask(req), w.steps
pid = int(os.environ["PID"])
resp, steps = ask(rpc.DUMP, pid=pid, leave_running=True)
assert resp.success, resp
resp, steps = ask(rpc.RESTORE)
assert not resp.success and resp.cr_errno == 17, resp
resp, steps = ask(rpc.DUMP, pid=pid)
assert resp.success, resp
resp, steps = ask(rpc.RESTORE, log_file="restore.log")
assert resp.success and resp.restore.pid == pid, resp
assert [s for s, p in steps] == ["pre-restore", "post-restore", "pre-resume", "post-resume"], steps
assert os.stat(os.environ["IMG"] + "/own/img/restore.log").st_uid == 1000
PY
	chmod 644 "$IMG/client.py"
	user env PYTHONDONTWRITEBYTECODE=1 timeout 60 /usr/bin/python3 "$IMG/client.py"
	is_users
}

@test "by a program that is setuid root" {
	own_images
	cp "$BUILD/stasis" "$IMG/criu"
	chmod 4755 "$IMG/criu"
	printf '#!/bin/sh\nid -u >>%s/own/who\ngrep CapEff /proc/self/status >>%s/own/who\n' "$IMG" "$IMG" >"$IMG/script"
	chmod 755 "$IMG/script"
	user "$IMG/criu" restore -d -D "$IMG/own/img" --action-script "$IMG/script"
	is_users
	[ "$(sort -u "$IMG/own/who" | tr -s '\t\n' '  ')" = "1000 CapEff: 0000000000000000 " ] || { cat "$IMG/own/who"; false; }
}

@test "by CAP_CHECKPOINT_RESTORE alone, with --unprivileged as without" {
	own_images
	user --inh-caps +checkpoint_restore --ambient-caps +checkpoint_restore "$BUILD/stasis" restore -d -D "$IMG/own/img" --unprivileged
	is_users
}

@test "images that ask for more: refused before anything is made" {
	own_images
	for more in '["uid"] = 0' '["groups"] = [1000, 0]' '["cap_prm"] = [1, 0]' '["secbits"] = 1' '["cap_bnd"] = [0, 0]'; do
		cp "$IMG/own/img/core-$PID.img" "$IMG/core"
		edit "core-$PID.img" "e[0]['thread_core']['creds']$more"
		run user --inh-caps +checkpoint_restore --ambient-caps +checkpoint_restore "$BUILD/stasis" restore -d -D "$IMG/own/img"
		[ "$status" -eq 1 ] && [[ $output == *"has not just the user, groups and capabilities of user 1000"* ]] || { echo "$more: $output"; false; }
		cp "$IMG/core" "$IMG/own/img/core-$PID.img"
	done
	gone "$PID"
}
