#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes docs/coverage.md to standard output: what the heads of the kind files say is kept and lost, and the tests
# that name each in a line "# Shows: fd/eventfd task/sched"; then, of the RESULTS that tests/run wrote, what passed.
# Without them that part stays as it is. Use "make coverage"; tests/lint/coverage.sh compares what is before it.
# Usage: coverage.sh [RESULTS]
results=${1:+$(realpath "$1")}
cd "$(dirname "$0")/.." || exit 1
LC_ALL=C
export LC_ALL

# the field Kept, Lost or Kernel of a file's head, on one line
field() {
	awk -v want="$2:" '
		/\*\// { exit }
		$2 == want { on = 1; sub(/^ \* [A-Z][a-z]+: */, ""); printf "%s", $0; next }
		on && /^ \* [A-Z][a-z]+:/ { exit }
		on && /^ \*( |$)/ { sub(/^ \* */, ""); if ($0 == "") exit; printf " %s", $0 }
	' "$1" | sed 's/|/\\|/g'
}

shows() { # the tests that name a kind
	grep -lE "^# Shows:.* $1( |\$)" tests/*/*.bats | sed 's|^tests/||' | tr '\n' ' '
}

table() { # table TITLE FILE...
	printf '\n## %s\n\n| kind | kept | lost | by which calls | shown by |\n|---|---|---|---|---|\n' "$1"
	shift
	for f in "$@"; do
		grep -q '^ \* Kept:' "$f" || continue
		name=${f#src/kind/}
		name=${name%.c}
		printf '| %s | %s | %s | %s | %s |\n' "$name" "$(field "$f" Kept)" "$(field "$f" Lost)" \
			"$(field "$f" Kernel)" "$(shows "$name" | sed 's/ $//')"
	done
}

cat <<'TEXT'
# What is kept

Written by `make coverage` from the heads of src/kind and the tests that name each kind; do not edit. "Lost" is
what a checkpoint does not keep, or refuses. The last column names files below tests/, which `make check` runs; what
passed in the last whole run stands at the end.
TEXT
table 'Descriptors' src/kind/fd/*.c
table 'Tasks' src/kind/task/*.c
table 'Memory' src/kind/mem/*.c
table 'Namespaces' src/kind/ns/*.c
table 'Parts of several of them' src/kind/*.c

if [ -z "$results" ]; then
	sed -n '/^## Results$/,$p' docs/coverage.md | sed '1i\\'
	exit
fi
cat <<TEXT

## Results

Written by tests/run: $(sed -n '1s/^# //p' "$results"). The last columns count programs that came through two generations
as a plain tree, as a tree in its own namespaces, and as one in a user namespace (tests/kit/kind.bash); other tests have
surroundings of their own.

| tests | passed | failed | skipped | plain | namespaces | user namespace |
|---|---|---|---|---|---|---|
TEXT
grep -v '^#' "$results" | while read -r f passed failed skipped plain spaces user; do
	echo "| $f | $passed | $failed | $skipped | $plain | $spaces | $user |" | sed 's/| 0 | 0 | 0 |$/| | | |/'
done
