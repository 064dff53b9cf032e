#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# No variables of file scope but const tables.
bad=$(nm "$BUILD/libengine.a" 2>/dev/null | awk '$2 ~ /^[bBdDC]$/ {print $3}' | \
	grep -vE '__(descriptor|init_value|field|default_value|enum|number)|^(fd|task|mem)_kinds?(_|$)' || true)
[ -z "$bad" ] || { echo "global variables: $bad"; exit 1; }
