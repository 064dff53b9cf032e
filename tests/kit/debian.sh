#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# debian.sh: the container that tests/oci/systemd.bats copies, by debootstrap; minutes, once.
set -e
P=/var/cache/stasis-tests
[ -e $P/debian/config ] && exit 0
mkdir -p $P
exec lxc-create -P $P -n debian -t debian -- -r bookworm </dev/null
