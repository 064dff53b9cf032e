# SPDX-License-Identifier: Apache-2.0
# Helpers for bats. BUILD is the build directory, with stasis, criu and the programs of tests/kit.

setup_work() {
	IMG=$(mktemp -d)
	W=$IMG/work
	mkdir "$IMG/img"
	"$BUILD/tests/kit/work" "$W" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$W.ready"
}

teardown_work() {
	local pid
	for pid in $(cat "/proc/$PID/task/$PID/children" 2>/dev/null) $PID; do
		kill -9 "$pid" 2>/dev/null || true
	done
	rm -rf "$IMG"
}

# until_true COMMAND...: poll, ten seconds at most
until_true() {
	local _try # no other name: what is called sees it
	for _try in $(seq 1000); do
		"$@" && return 0
		read -rt 0.01 <> <(:) || true
	done
	echo "still not true: $*" >&2
	return 1
}

# the file may just be being rewritten: then it is empty
beat() { local n; n=$(cat "$W.beat" 2>/dev/null || true); echo "${n:-0}"; }
beats_on() { [ "$(beat)" -gt "$1" ]; }
gone() { [ ! -d "/proc/$1" ]; }

# the program says itself whether all is as it was
verify() {
	kill -TERM "$PID" 2>/dev/null || [ -s "$W" ] # it may have judged already
	until_true test -s "$W"
	[ "$(cat "$W")" = OK ] || { cat "$W" >&2; return 1; }
}

dump() { "$BUILD/stasis" dump -t "$PID" -D "$IMG/img" "$@"; }
# for the background: $! is the supervisor itself, no shell
dump_exec() { exec "$BUILD/stasis" dump -t "$PID" -D "$IMG/img" "$@"; }
restore_exec() { exec "$BUILD/stasis" restore -D "$IMG/img" -d "$@"; }
restore() { "$BUILD/stasis" restore -D "$IMG/img" -d "$@"; }

# edit_image FILE STATEMENT: of Python, in which e is the list of entries
edit_image() {
	crit decode -i "$1" | /usr/bin/python3 -c '
import json, os, sys
doc = json.load(sys.stdin)
e = doc["entries"]
exec(sys.argv[1])
json.dump(doc, sys.stdout)' "$2" >"$1.json"
	crit encode -i "$1.json" -o "$1"
	rm "$1.json"
}

# by_rpc DUMP|RESTORE STATEMENTS: of Python, in which o is the request's options; fails with the answer's sentence
by_rpc() {
	local kit=$BATS_TEST_DIRNAME/../kit
	[ -e "$IMG/rpc_pb2.py" ] || protoc -I"$BATS_TEST_DIRNAME/../../images" --python_out="$IMG" rpc.proto
	IMG=$IMG RPC_PB=$IMG PYTHONPATH=$kit timeout 60 /usr/bin/python3 -c '
from rpc import *
req = opts(os.environ["IMG"] + "/img")
o, req.type = req.opts, getattr(rpc, sys.argv[1])
exec(sys.argv[2])
resp, status, w = once(req)
if not resp or not resp.success or status or w.out:
    sys.exit("%s status %d, %s" % (resp and resp.cr_errmsg, status, w.out))' "$@"
}
