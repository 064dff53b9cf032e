#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# debian.sh: the containers that tests/oci/systemd.bats copies, by debootstrap; minutes, once. "debian" is as the
# template makes it, "debian-server" has servers in it.
set -e
P=/var/cache/stasis-tests
mkdir -p $P

# servers PATH: into the container there
servers() {
	root=$1/rootfs
	# releases only: what the registry has of them is all that is needed
	sed -i '/security/d' "$root/etc/apt/sources.list"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # nothing starts in a chroot
	chmod +x "$root/usr/sbin/policy-rc.d"
	chroot "$root" apt-get update -qq
	DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root" apt-get install -y -qq --no-install-recommends \
		cron nginx-light postgresql
	rm -r "$root/usr/sbin/policy-rc.d" "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc \
		"$root"/usr/share/locale "$root"/usr/share/man # each test copies it
}

[ -e $P/debian/config ] || lxc-create -P $P -n debian -t debian -- -r bookworm </dev/null
[ -e $P/debian-server/config ] && exit 0
rm -rf $P/debian-server $P/debian-server.new
cp -a $P/debian $P/debian-server.new
servers $P/debian-server.new </dev/null
sed -i "s,$P/debian,$P/debian-server," $P/debian-server.new/config
mv $P/debian-server.new $P/debian-server
