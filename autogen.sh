#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes lists.am from what is in the tree, then configure. Run it again after adding a file.
set -e
cd "$(dirname "$0")"
LC_ALL=C
export LC_ALL

list() { # list VARIABLE GLOB...: one variable of all files that match
	name=$1
	shift
	printf '%s =' "$name"
	for f in "$@"; do
		[ -e "$f" ] && printf ' \\\n\t%s' "$f"
	done
	printf '\n\n'
}

{
	echo '# Written by autogen.sh: what is in the tree.'
	list PROTOS images/*.proto
	for family in fd ns task mem; do
		list "$(echo "$family" | tr a-z A-Z)_KINDS" src/kind/$family/*.c
	done
	list ENGINE src/base/*.[ch] src/image/*.[ch] src/session/*.[ch] src/agent/batch.h \
		src/task/*.[ch] src/kind/*.[ch] src/flow/*.[ch] src/arch/*.h
	list FRONT src/front/*.[ch]
	list OCI oci/*.[ch]
	list CAPI src/front/capi/*.c
	list CAPI_H src/front/capi/*.h
	list ARCH_X86_64 src/arch/x86_64/*.[chS]
	list AGENT src/agent/agent.c src/agent/agent.lds src/agent/blob.S src/agent/blob.h
	list UNIT_TESTS tests/unit/*.c
	list KIT tests/kit/*.c
	list LINTS tests/lint/*.sh tests/unit/*.sh
	list BATS tests/*/*.bats tests/kind/*/*.bats
	list TEST_FILES tests/kit/*.bash tests/kit/*.py tests/kit/*.sh tests/kit/*.h tests/kit/crun-build tests/kit/programs/* tests/bench/* tests/wire/* tests/front/*.c tests/front/*.bash
	list DOCS docs/*.md
} > lists.am

autoreconf --force --install
