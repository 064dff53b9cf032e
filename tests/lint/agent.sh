#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The agent has no relocations and no writable data, and fits one page.
set -e
elf=$BUILD/src/agent/agent.elf
readelf -r "$elf" | grep -q 'There are no relocations' || { echo "agent: relocations"; exit 1; }
! readelf -lW "$elf" | grep -E '^ *LOAD' | grep -q 'RW' || { echo "agent: writable segment"; exit 1; }
[ "$(stat -c %s "$BUILD/src/agent/agent.bin")" -le 4096 ] || { echo "agent: larger than a page"; exit 1; }
