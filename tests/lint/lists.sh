#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every source file is in lists.am: rerun autogen.sh when this fails.
cd "$(dirname "$0")/../.." || exit 1
bad=0
for f in $(find src images -name '*.c' -o -name '*.proto' | grep -vE 'pb-c|/tables/'); do
	grep -qF "$f" lists.am || { echo "not in lists.am: $f"; bad=1; }
done
exit $bad
