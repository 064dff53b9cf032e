#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# docs/coverage.md is what the heads of the kinds say; every kind has a head that says what it keeps, and a test. Its
# results are of tests that are there.
cd "$(dirname "$0")/../.." || exit 1
bad=0
for f in src/kind/fd/*.c src/kind/task/*.c src/kind/mem/*.c src/kind/ns/*.c; do
	grep -q '^ \* Kept:' "$f" || { echo "$f: its head does not say what is kept"; bad=1; }
done
static() { sed '/^## Results$/,$d'; }
[ "$(sh tests/coverage.sh | static)" = "$(static <docs/coverage.md)" ] ||
	{ echo "docs/coverage.md is out of date: make coverage"; bad=1; }
for t in $(sed -n '/^## Results$/,$s/^| \([a-z]*\/[a-z-]*\) |.*/\1/p' docs/coverage.md); do
	[ -e "tests/$t.bats" ] || { echo "docs/coverage.md: results of tests/$t.bats, which is not there"; bad=1; }
done
grep '|  |$' docs/coverage.md | cut -d'|' -f2 | while read -r k; do echo "no test names $k in a line \"# Shows:\""; done
! grep -q '|  |$' docs/coverage.md || bad=1
for k in $(sed -n 's/^# Shows: //p' tests/*/*.bats); do
	[ -e "src/kind/$k.c" ] || [ "$k" = pstree ] || { echo "tests: \"# Shows: $k\": there is no such kind"; bad=1; }
done
exit $bad
