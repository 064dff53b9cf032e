#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# CRIU's own tool reads what we write.
load ../kit/helper

setup() { setup_work; }
teardown() { teardown_work; }

@test "crit decodes every image" {
	dump -R
	for f in "$IMG"/img/*.img; do
		case $f in */pages-*) continue ;; esac
		crit decode -i "$f" -o "$IMG/json"
		[ -s "$IMG/json" ]
	done
	crit decode -i "$IMG/img/pstree.img" | grep -q "\"pid\": $PID"
	verify
}

# recode DIR: every image that crit knows, decoded and encoded again in place
recode() {
	local f
	differ=
	for f in "$1"/*.img; do
		case ${f##*/} in
		pages-* | tmpfs-* | iptables-* | ip6tables-* | route* | rule-* | ifaddr-* | nftables-* | netns-ct-* | netns-exp-*) continue ;;
		esac
		crit decode -i "$f" -o "$IMG/json"
		crit encode -i "$IMG/json" -o "$IMG/again"
		/usr/bin/python3 "$BATS_TEST_DIRNAME/recode.py" "$f" "$IMG/again" || differ+=" ${f##*/}"
		cp "$IMG/again" "$f"
	done
	[ -z "$differ" ]
}

@test "crit encodes what it decoded to the same bytes; what it does not know is not missed" {
	dump
	recode "$IMG/img"
	restore
	until_true beats_on "$(beat)"
	verify
}

@test "the same of images of namespaces" {
	kill -9 "$PID"
	until_true gone "$PID"
	rm -rf "$W"*
	unshare -niu "$BUILD/tests/kit/work" "$W" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$W.ready"
	dump
	recode "$IMG/img"
	restore
	until_true beats_on "$(beat)"
	verify
}

@test "our messages have the fields of CRIU's, number by number" {
	TABLE=${STASIS_CORPUS:-$BATS_TEST_DIRNAME/../../../shared/corpus}/../spec/images.tsv
	[ -e "$TABLE" ] || skip "no corpus"
	python3 "$BATS_TEST_DIRNAME/compare.py" "$TABLE"
}
