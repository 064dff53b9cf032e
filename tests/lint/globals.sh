#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# No variables of file scope but const tables (those stand in .rodata or .data.rel.ro).
bad=$(objdump -t "$BUILD/libengine.a" | awk 'NF > 3 && $(NF-2) ~ /^(\.data|\.bss|\*COM\*)$/ && $(NF-1) !~ /^0+$/ && $NF !~ /^\./ {print $NF}')
[ -z "$bad" ] || { echo "global variables: $bad"; exit 1; }
