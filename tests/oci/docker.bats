#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Containers of Debian's Docker, checkpointed and restored by its experimental commands, with us as criu.
bats_require_minimum_version 1.5.0
load ../kit/docker

setup() { setup_docker; mkdir "$DIR/data"; FILE=$DIR/data/count; }
teardown() { teardown_docker; }

COUNT='i=0; while :; do i=$((i+1)); ln -sfn $i /data/count; sleep 0.02; done'
counter() { # counter NAME [OPTION...]: counts in $FILE
	local name=$1
	shift
	d run -d --name "$name" --network none -v "$DIR/data:/data" "$@" "$IMAGE" sh -c "$COUNT" >/dev/null
	until_true counts_beyond "$FILE" 3
}
# start CHECKPOINT NAME. Docker 20.10 now and then says that content exists already, which it has itself not
# yet collected after the checkpoint; it then has not asked runc, and tries again with success.
start() {
	until_true started "$@" || { cat "$DIR/err" >&2; return 1; }
	[ ! -s "$DIR/err" ]
}
started() { d start --checkpoint "$1" "$2" 2>"$DIR/err" || ! grep -q 'content sha256:.*: already exists' "$DIR/err"; }
again() { local n; n=$(number "$FILE"); until_true counts_beyond "$FILE" "$((n + 3))"; }

@test "docker checkpoint create, docker start --checkpoint: three generations" {
	counter one
	d exec one sh -c 'echo kept > /kept'
	for g in 1 2 3; do
		d checkpoint create one "cp$g"
		until_true state_is one exited
		n=$(number "$FILE")
		d checkpoint ls one | grep -q "cp$g"
		start "cp$g" one
		until_true counts_beyond "$FILE" "$((n + 3))"
		[ "$(number "$FILE")" -lt "$((n + 5000))" ]
		state_is one running
	done
	[ "$(d exec one cat /kept)" = kept ]
	d checkpoint rm one cp1
	d checkpoint ls one | grep -q cp2
}

@test "docker checkpoint create --leave-running" {
	counter one
	d checkpoint create --leave-running one cp
	state_is one running
	again
}

@test "--checkpoint-dir: the checkpoint starts another container" {
	counter one
	d checkpoint create --checkpoint-dir "$DIR/cps" one cp
	until_true state_is one exited
	[ -s "$DIR/cps/cp/inventory.img" ]
	n=$(number "$FILE")
	d create --name two --network none -v "$DIR/data:/data" "$IMAGE" sh -c "$COUNT" >/dev/null
	mkdir -p "$DIR/root/containers/$(d inspect -f '{{.Id}}' two)/checkpoints"
	cp -r "$DIR/cps/cp" "$DIR/root/containers/$(d inspect -f '{{.Id}}' two)/checkpoints/cp"
	start cp two
	until_true counts_beyond "$FILE" "$((n + 3))"
	[ "$(number "$FILE")" -lt "$((n + 5000))" ]
}

@test "a terminal, and what the container writes to its log, go on" {
	counter one -t
	d checkpoint create one cp
	until_true state_is one exited
	start cp one
	again
	d rm -f one >/dev/null
	d run -d --name talker --network none "$IMAGE" sh -c 'i=0; while :; do i=$((i+1)); echo line$i; sleep 0.05; done' >/dev/null
	logged() { d logs talker 2>/dev/null | grep -q "^line$1$"; }
	until_true logged 3
	d checkpoint create talker cp
	until_true state_is talker exited
	n=$(d logs talker | tail -n1 | tr -d 'a-z')
	start cp talker
	until_true logged "$((n + 5))"
}

connected() { d exec one cat /proc/net/tcp | grep -q " 01 "; }

@test "a checkpoint that is refused leaves the container running" {
	# connected, for which Docker has no option
	COUNT="busybox nc -l -p 4000 -e sleep 1000 & sleep 0.2; sleep 1000 | busybox nc 127.0.0.1 4000 & $COUNT"
	counter one
	until_true connected
	run d checkpoint create one cp
	[ "$status" -ne 0 ]
	[[ $output == *"criu failed"* ]]
	state_is one running
	again
}

@test "stasis list, checkpoint, show by the container's name; its restore is Docker's" {
	export STASIS_RUNTIME_ROOT=$DIR/exec/runtime-runc/moby
	counter one
	[ "$(stasis list --json | jq -r '.[] | select(.name == "one") | "\(.manager) \(.runtime) \(.status) \(.image)"')" = "docker runc running $IMAGE" ]
	run -0 stasis checkpoint one --export "$DIR/one.tar" --leave-running
	[[ $output == *"stasis show $DIR/one.tar (only docker itself"* ]]
	again
	[ "$(stasis show "$DIR/one.tar" --json | jq -r '"\(.name) \(.engine) \(.tasks[0].name)"')" = "one docker sh" ]
	stasis check "$DIR/one.tar"
	stasis checkpoint one -D "$DIR/img"
	until_true state_is one exited
	run -1 stasis restore "$DIR/img"
	[[ $output == *"one belongs to docker"* ]]
	d start one >/dev/null
	again
}
