#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What libcriu returns, whatever the program called criu answers.
bats_require_minimum_version 1.5.0
load ../kit/helper

setup_file() {
	export DEST=$(mktemp -d)
	make -s -C "$BUILD" install DESTDIR="$DEST" >/dev/null 2>&1
	local pc
	pc=$(find "$DEST" -name criu.pc)
	export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$DEST
	gcc -Wall -o "$DEST/returns" "$BATS_TEST_DIRNAME/returns.c" $(pkg-config --cflags criu) "$(dirname "${pc%/*}")/libcriu.a" -lprotobuf-c
	protoc -I"$BATS_TEST_DIRNAME/../../images" --python_out="$DEST" rpc.proto
	# a criu that answers as it is told
	cat >"$DEST/fake" <<-'END'
		#!/usr/bin/python3
		import os, socket, sys
		sys.path.insert(0, os.environ["DEST"])
		import rpc_pb2 as rpc
		s = socket.socket(fileno=int(sys.argv[2]))
		req = rpc.criu_req()
		req.ParseFromString(s.recv(65536))
		resp = rpc.criu_resp(type=req.type, success=True)
		exec(os.environ["ANSWER"])
		s.send(resp.SerializeToString())
	END
	chmod +x "$DEST/fake"
}
teardown_file() { rm -rf "$DEST"; }
setup() {
	IMG=$(mktemp -d)
}
teardown() { rm -rf "$IMG"; }
returns() { # returns ANSWER: all on one line
	ANSWER=$1 timeout 60 "$DEST/returns" "$DEST/fake" "$IMG" | tr '\n' ' '
}
are() { # are WANTED ANSWER
	local got
	got=$(returns "$2")
	[ "$got" = "$1 " ] || { echo "want: $1"; echo "have: $got"; return 1; }
}
all() { echo "version $1 at least 4.2.1 $1 check $1 dump $1 restore $1"; }

@test "versions: with a git id it is the next one" {
	v='import os
if req.type == rpc.VERSION: resp.version.major_number, resp.version.minor_number = 4, 2
resp.restore.pid = 9
'
	are "version  = 40200 at least 4.2.1  = 0 check  = 0 dump  = 0 restore  = 9" "$v"
	are "version  = 40300 at least 4.2.1  = 1 check  = 0 dump  = 0 restore  = 9" "$v
resp.version.major_number, resp.version.minor_number, resp.version.gitid = 4, 2, 'v4.2-22-gabc'"
	are "version  = 40203 at least 4.2.1  = 1 check  = 0 dump  = 0 restore  = 9" "$v
resp.version.major_number, resp.version.minor_number, resp.version.sublevel = 4, 2, 3"
	are "version  = 40300 at least 4.2.1  = 1 check  = 0 dump  = 0 restore  = 9" "$v
resp.version.major_number, resp.version.minor_number, resp.version.sublevel, resp.version.gitid = 4, 2, 3, 'x'"
	are "version  = 40200 at least 4.2.1  = 0 check  = 0 dump  = 1 restore  = 9" "$v
resp.dump.restored = True"
}

@test "refused: -EBADE, and errno is criu's" {
	are "$(all -EBADE)" 'resp.success = False'
	are "$(all -EBADEESRCH)" 'resp.success = False; resp.cr_errno = 3'
	are "$(all -EBADEEBADRQC)" 'resp.success = False; resp.cr_errno = 56; resp.cr_errmsg = "x" * 1023'
}

@test "no answer, an odd one, a request it does not know" {
	are "$(all -ECOMM)" 'sys.exit(0)'
	are "$(all -ECOMM)" 's.send(b"\xff\xff\xff\xff"); sys.exit(0)'
	are "$(all -EINVAL)" 'resp.type = rpc.EMPTY; resp.success = False'
	are "$(all -EBADMSG)" 'resp.type = rpc.WAIT_PID'
	[ "$("$DEST/returns" /nonexistent "$IMG" | tr '\n' ' ')" = "$(all -ECONNREFUSED) " ]
	[ "$("$DEST/returns" /bin/true "$IMG" | tr '\n' ' ')" = "$(all -ECOMM) " ]
}

@test "a program dumps itself and runs on; a restore while it is there: EEXIST" {
	"$DEST/returns" "$BUILD/criu" "$IMG" self </dev/null >"$IMG/out" 2>/dev/null 3>&- || { cat "$IMG/out"; false; }
	[ "$(tr '\n' ' ' <"$IMG/out")" = "dump  = 0 restore -EBADEEEXIST " ] || { cat "$IMG/out" "$IMG"/*.log; false; }
}
