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

@test "our messages have the fields of CRIU's, number by number" {
	TABLE=${STASIS_CORPUS:-$BATS_TEST_DIRNAME/../../../shared/corpus}/../spec/images.tsv
	[ -e "$TABLE" ] || skip "no corpus"
	python3 "$BATS_TEST_DIRNAME/compare.py" "$TABLE"
}
