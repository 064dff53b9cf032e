#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# criu service: a socket for everybody; the superuser may do all, others may dump what is theirs.
load ../kit/helper

setup() {
	setup_work
	export RPC_PB=$IMG IMG PID W SOCK=$IMG/sock PYTHONPATH=$BATS_TEST_DIRNAME/../kit HOME=$IMG
	protoc -I"$BATS_TEST_DIRNAME/../../images" --python_out="$IMG" rpc.proto
	chmod 755 "$IMG"
}
teardown() {
	[ -z "${SERVICE:-}" ] || kill "$SERVICE" 2>/dev/null || true
	[ -z "${THEIRS:-}" ] || kill -9 "$THEIRS" 2>/dev/null || true
	teardown_work
}
serve() { # serve PROGRAM WORD...
	"$@" service --address "$SOCK" --pidfile "$IMG/service.pid" -W "$IMG/srv" -D "$IMG/srv" </dev/null >"$IMG/service.out" 2>&1 3>&- &
	SERVICE=$!
	until_true test -s "$IMG/service.pid" || { cat "$IMG/service.out"; return 1; }
}
py() { timeout 60 /usr/bin/python3 - "$@"; }
client='
import socket
from rpc import *
def ask(req, pid=None):
    w = Swrk.__new__(Swrk)
    w.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    w.sock.connect(os.environ["SOCK"])
    w.steps, w.fds, w.refuse = [], [], ()
    return w.ask(req)
'

@test "dump and restore by the superuser; what only a parent may ask is refused" {
	mkdir "$IMG/srv"
	serve "$BUILD/criu"
	[ "$(cat "$IMG/service.pid")" = "$SERVICE" ]
	[ "$(stat -c %a "$SOCK")" = 666 ]
	py <<PY
$client
img, pid = os.environ["IMG"] + "/img", int(os.environ["PID"])
assert ask(rpc.criu_req(type=rpc.VERSION)).version.major_number == 4
req = opts(img, pid=pid)
req.type = rpc.DUMP
assert ask(req).success
req = opts(img, rst_sibling=True)
req.type = rpc.RESTORE
resp = ask(req)
assert resp.cr_errno == 56 and "rst_sibling" in resp.cr_errmsg, resp
req = opts(img, log_file="../file.log")
req.type = rpc.RESTORE
assert "No subdirs are allowed in log_file name" in ask(req).cr_errmsg
req = opts(img)
req.type = rpc.RESTORE
resp = ask(req)
assert resp.success and resp.restore.pid == pid, resp
PY
	until_true beats_on "$(beat)"
	verify
}

@test "another user: its own tasks, as itself; not other's, no file it may not write" {
	mkdir "$IMG/srv" "$IMG/theirs"
	chown 1000:1000 "$IMG/theirs"
	chmod 755 "$IMG/img"
	serve "$BUILD/criu"
	# nothing of the test's own stays open in it: this user could not see it
	setpriv --reuid 1000 --regid 1000 --clear-groups setsid bash -c 'for f in {3..300}; do [ $f = 255 ] || eval "exec $f>&-"; done; exec "$0" "$1"' \
		"$BUILD/tests/kit/work" "$IMG/theirs/work" </dev/null >/dev/null 2>&1 3>&- &
	THEIRS=$!
	until_true test -e "$IMG/theirs/work.ready"
	export THEIRS
	cat >"$IMG/client.py" <<PY
$client
home, mine, other = os.environ["IMG"], int(os.environ["THEIRS"]), int(os.environ["PID"])
img = home + "/theirs/img"
os.mkdir(img)
def job(t, where=img, **kw):
    req = opts(where, **kw)
    req.type = t
    return ask(req)
resp = job(rpc.DUMP, pid=other)
assert not resp.success and "user 1000" in resp.cr_errmsg, resp
resp = job(rpc.DUMP, pid=1)
assert not resp.success, resp
resp = job(rpc.RESTORE, log_file="restore.log")
assert not resp.success and "inventory.img" in resp.cr_errmsg, resp
resp = job(rpc.DUMP, where=home + "/img", pid=mine, leave_running=True)
assert not resp.success, resp
os.symlink("/etc/stasis-test", img + "/criu.log")
resp = job(rpc.DUMP, pid=mine, leave_running=True)
assert not resp.success and not os.path.exists("/etc/stasis-test"), resp
os.unlink(img + "/criu.log")
resp = job(rpc.DUMP, pid=mine, leave_running=True)
assert resp.success, resp
assert os.stat(img + "/inventory.img").st_uid == 1000
PY
	chmod 644 "$IMG/client.py" "$IMG/rpc_pb2.py"
	timeout 60 setpriv --reuid 1000 --regid 1000 --clear-groups env PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$IMG/client.py"
	[ ! -e "$IMG/img/inventory.img" ]
	verify
}

@test "started setuid by another user: it serves as that user" {
	mkdir -m 777 "$IMG/srv"
	cp "$BUILD/stasis" "$IMG/criu"
	chmod 4755 "$IMG/criu"
	chmod 777 "$IMG"
	run setpriv --reuid 1000 --regid 1000 --clear-groups "$IMG/criu" dump -t "$PID" -D "$IMG/srv"
	[ "$status" -eq 1 ] && [[ $output == *"not user 1000's own"* ]] || { echo "$output"; return 1; }
	printf 'secret-line\n' >"$IMG/secret"
	chmod 600 "$IMG/secret"
	run env CRIU_CONFIG_FILE="$IMG/secret" setpriv --reuid 1000 --regid 1000 --clear-groups "$IMG/criu" dump -t "$PID" -D "$IMG/srv"
	[[ $output != *secret-line* ]]
	dump -R
	run setpriv --reuid 1000 --regid 1000 --clear-groups "$IMG/criu" restore -D "$IMG/img" -W "$IMG/srv"
	[ "$status" -eq 1 ] && [[ $output == *"capabilities of user 1000"* ]] || { echo "$output"; false; }
	verify
}

@test "-d, --status-fd: ready when it says so" {
	mkdir "$IMG/srv" && mkfifo "$IMG/ready"
	timeout 20 head -c1 "$IMG/ready" >"$IMG/got" 3>&- &
	reader=$!
	"$BUILD/criu" service -d --address "$SOCK" --pidfile "$IMG/service.pid" --status-fd 7 7>"$IMG/ready" </dev/null >/dev/null 2>&1 3>&-
	wait "$reader"
	[ "$(stat -c %s "$IMG/got")" = 1 ]
	SERVICE=$(cat "$IMG/service.pid")
	[ "$(tr '\0' ' ' <"/proc/$SERVICE/cmdline" | cut -d' ' -f2)" = service ]
}

@test "-o: what it says goes there, also in the background" {
	mkdir "$IMG/srv"
	"$BUILD/criu" service -d --address "$SOCK" --pidfile "$IMG/service.pid" -W "$IMG/srv" -o service.log </dev/null >/dev/null 2>&1 3>&-
	SERVICE=$(cat "$IMG/service.pid")
	[ "$(readlink "/proc/$SERVICE/fd/2")" = "$IMG/srv/service.log" ]
	[ "$(stat -c %a "$IMG/srv/service.log")" = 600 ]
}
