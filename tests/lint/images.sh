#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every image that is written is one of those that the next dump into its directory removes first (src/image/old.c).
cd "$(dirname "$0")/../.." || exit 1
{
	grep -rhoE 'image_(create|write_one)\(.*"[a-z0-9%-]+\.img"|image_shared\(.*"[a-z-]+\.img"' src | grep -oE '[a-z0-9%-]+\.img'
	grep -rhoE '"[a-z0-9%-]+\.img"' src/kind/net-legacy.c src/kind/net-nft.c | tr -d '"'
	# files of rtnetlink and its like: rows of struct raw_file
	grep -rhoE '"[a-z0-9-]+", (0|0x[0-9a-f]{8}), *[A-Z_]+[(,]' src/kind/net-*.c | grep -E 'RTM_|XFRM_|ACCT|CT|IPSET|TIMEOUT|HELPER|EXP' |
		sed 's/^"\([^"]*\)".*/\1-#.img/'
	grep -rhoE 'IN_FILE\("[a-z0-9-]+"' src/kind | sed 's/.*"\(.*\)"/\1-#.img/'
} | sed 's/%[dxu]/#/; s/%s/#/; s/\.img$//' | grep -vE '^(inventory|cpuinfo|#-#|timens-0)$' | sort -u >"${TMPDIR:-/tmp}/images.$$"
missing=$(while read -r name; do grep -qF "\"$name\"" src/image/old.c || echo "$name"; done <"${TMPDIR:-/tmp}/images.$$")
n=$(wc -l <"${TMPDIR:-/tmp}/images.$$")
rm "${TMPDIR:-/tmp}/images.$$"
[ "$n" -gt 40 ] || { echo "only $n names of images found in src"; exit 1; }
[ -z "$missing" ] || { echo "src/image/old.c lacks: $missing"; exit 1; }
