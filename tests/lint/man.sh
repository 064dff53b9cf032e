#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The manual page is one that mandoc and groff take without a warning.
cd "$(dirname "$0")/../.." || exit 1
command -v mandoc >/dev/null || { echo "mandoc is missing: sh contrib/packages test"; exit 1; }
said=$(mandoc -T lint -W warning man/stasis.8; groff -man -Tutf8 -ww -z man/stasis.8 2>&1)
[ -z "$said" ] || { echo "$said"; exit 1; }
