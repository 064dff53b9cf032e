#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Containers of Debian's containerd, checkpointed and restored by ctr, with us as runc's criu.
bats_require_minimum_version 1.5.0
load ../kit/containerd

setup() { setup_containerd; mkdir "$DIR/data"; FILE=$DIR/data/count; }
teardown() { teardown_containerd; }

COUNT='i=0; while :; do i=$((i+1)); ln -sfn $i /data/count; sleep 0.02; done'
counter() { # counter ID: runs in the background and counts in $FILE, on a bind mount
	c run -d --mount "type=bind,src=$DIR/data,dst=/data,options=rbind:rw" "$IMAGE" "$1" sh -c "$COUNT" \
		</dev/null >/dev/null 3>&-
	until_true counts_beyond "$FILE" 3
}
again() { local n; n=$(number "$FILE"); until_true counts_beyond "$FILE" "$((n + 3))"; }

@test "ctr t checkpoint --image-path: the task runs on" {
	counter one
	c t checkpoint --image-path "$DIR/img" --work-path "$DIR/work" one
	task_is one RUNNING
	again
	[ -s "$DIR/img/inventory.img" ]
	[ -s "$DIR/work/dump.log" ]
	# flat: containerd makes one regular file of each entry
	[ -z "$(find "$DIR/img" -mindepth 1 ! -type f)" ]
}

restored() { # restored ID CHECKPOINT OPTIONS...: ctr stays with the task it restores
	local id=$1 ref=$2
	shift 2
	c c restore "$@" "$id" "$ref" </dev/null >"$DIR/out" 2>"$DIR/err" 3>&- &
	until_true task_is "$id" RUNNING || { cat "$DIR/err" >&2; return 1; }
}
over() { no_task "$1" || task_is "$1" STOPPED; }
stopped() { # stopped ID: the task is killed and removed
	c t kill -s KILL "$1"
	until_true over "$1"
	c t rm "$1" >/dev/null 2>&1 || true
}

@test "ctr t checkpoint --exit: the task is gone, its checkpoint an image" {
	counter one
	c t checkpoint --exit one > "$DIR/ref"
	until_true over one
	n=$(number "$FILE")
	c t rm one >/dev/null 2>&1 || true
	ref=$(tail -n1 "$DIR/ref")
	c i ls "name==$ref" | grep -q containerd.io/checkpoint=true
	[ "$(number "$FILE")" = "$n" ]
}

@test "ctr c checkpoint --task --image --rw, ctr c restore --live: twice, with its own files" {
	counter one
	c t exec --exec-id x one sh -c 'echo kept > /kept'
	c c checkpoint --image --rw --task one localhost/cp:1
	task_is one RUNNING
	again
	stopped one
	c c rm one
	n=$(number "$FILE")
	# containerd paused it first: it runs again all the same
	restored two localhost/cp:1 --live --rw
	until_true counts_beyond "$FILE" "$((n + 3))"
	[ "$(number "$FILE")" -lt "$((n + 5000))" ]
	[ "$(c t exec --exec-id y two cat /kept)" = kept ]
	# containerd 1.6 leaves the task out of the second one, without a word, while it holds the first
	c i rm --sync localhost/cp:1 >/dev/null
	c c checkpoint --image --rw --task two localhost/cp:2
	again
	stopped two
	restored three localhost/cp:2 --live --rw
	again
	[ "$(c t exec --exec-id z three cat /kept)" = kept ]
}

@test "a paused task: checkpointed, and still paused" {
	counter one
	c t pause one
	n=$(number "$FILE")
	c t checkpoint --image-path "$DIR/img" one
	task_is one PAUSED
	[ "$(number "$FILE")" = "$n" ]
	c t resume one
	again
	[ -s "$DIR/img/inventory.img" ]
}

@test "a container whose checkpoint fails runs on, with a sentence that says why" {
	c run -d --mount "type=bind,src=$DIR/data,dst=/data,options=rbind:rw" "$IMAGE" one \
		sh -c 'busybox nc -l -p 9 -e sleep 1000 & until busybox nc 127.0.0.1 9 < /dev/zero > /dev/null; do sleep 0.02; done' </dev/null >/dev/null 3>&-
	linked() { c t exec --exec-id n$RANDOM one busybox netstat -tn | grep -q ESTABLISHED; }
	until_true linked
	run ! c t checkpoint --work-path "$DIR/work" --image-path "$DIR/img" one
	grep -m1 Error "$DIR/work/dump.log" | grep -q -- --tcp-established
	task_is one RUNNING
}

@test "stasis list, checkpoint, show by the container's id; its restore is containerd's" {
	id=box-$NAMESPACE # others may run in other namespaces
	counter "$id"
	[ "$(stasis list --json | jq -r --arg id "$id" '.[] | select(.id == $id) | "\(.manager) \(.runtime) \(.status)"')" = "containerd runc running" ]
	run -0 stasis checkpoint "$id" -D "$DIR/img" --leave-running
	[[ $output == *"stasis show $DIR/img (only containerd itself"* ]]
	again
	stasis check "$DIR/img"
	[ "$(stasis show "$DIR/img" --json | jq -r '"\(.id) \(.engine)"')" = "$id containerd" ]
	run -1 stasis restore "$DIR/img"
	[[ $output == *"$id belongs to containerd"* ]]
}
