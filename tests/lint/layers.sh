#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A layer includes only those before it in this list.
cd "$(dirname "$0")/../../src" || exit 1
bad=0 allowed=
for layer in base session image agent arch task kind flow front oci; do
	allowed="$allowed $layer"
	[ -d "$layer" ] && dir=$layer || dir=../$layer
	for inc in $(grep -rhoE '^#include "[a-z]+/' "$dir" | sed 's/.*"//; s,/,,' | sort -u); do
		case " $allowed images " in *" $inc "*) ;; *) echo "$layer includes $inc"; bad=1 ;; esac
	done
done
exit $bad
