// SPDX-License-Identifier: Apache-2.0
/*
 * old: a file that is missing reads as an empty one, so that one of an earlier dump (the locks of a task that has none any
 * more) would be taken for part of the new checkpoint. All that a dump may write is removed before it begins, and nothing else.
 */
#include "image/old.h"

#include "base/res.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* #: a number, of decimal or hexadecimal digits. tests/lint/images.sh looks whether one is missing. */
static const char *const names[] = {
	"pstree", "core-#", "ids-#", "mm-#", "fs-#", "fdinfo-#", "files", "pagemap-#", "pagemap-shmem-#", "pages-#",
	"seccomp", "remap-fpath", "ghost-file-#", "memfd", "pipes-data", "fifo-data", "sk-queues", "tcp-stream-#",
	"tcp-pending", "unix-pending", "filelocks", "tty-info", "tty-data", "cgroup", "apparmor", "bpfmap-data", "bpf-progs", "mqueue",
	/* of namespaces */
	"timens-#", "utsns-#", "userns-#", "pidns-#", "ipcns-var-#", "ipcns-shm-#", "ipcns-msg-#", "ipcns-sem-#", "ipcns-mq-#",
	"mountpoints-#", "tmpfs-dev-#.tar.gz", "tmpfs-#.tar.gz", "autofs-#", "binfmt-misc", "binfmt-misc-#",
	"netns-#", "netdev-#", "ifaddr-#", "addrlabel-#", "neigh-#", "proxy-#", "fdb-#", "mdb-#", "nexthop-#", "route-#",
	"route6-#", "rule-#", "rule6-#", "mrule-#", "mrule6-#", "iptables-#", "ip6tables-#", "xtables-#", "nftables-#",
	"ipset-#", "netns-ct-#", "netns-exp-#", "nfacct-#", "cttimeout-#", "cthelper-#", "qdisc-#", "tclass-#", "tfilter-#",
	"brvlan-#", "vxvni-#", "xfrm-state-#", "xfrm-policy-#", "xfrm-default-#", "xfrm-spd-#", "mptcp-endpoint-#",
	"mptcp-limits-#", "seg6-source-#", "seg6-hmac-#", "ioam6-ns-#", "ioam6-schema-#", "ioam6-use-#", "fou-#", "ila-#",
	/* of CRIU's earlier versions, which are read where files.img is missing */
	"reg-files", "ext-files", "ns-files", "eventfd", "eventpoll", "eventpoll-tfd", "signalfd", "inotify", "inotify-wd",
	"fanotify", "fanotify-mark", "pipes", "fifo", "unixsk", "inetsk", "packetsk", "netlinksk", "tty", "tunfile", "timerfd",
	"pidfd", "bpfmap-file", "vmas-#", "sigacts-#", "creds-#", "itimers-#", "posix-timers-#", "rlimit-#", "signal-s-#",
	"signal-p-#",
};

static bool matches(const char *pattern, const char *name)
{
	for (; *pattern; pattern++) {
		size_t n = *pattern == '#' ? strspn(name, "0123456789abcdef") : *pattern == *name;

		if (!n)
			return false;
		name += n;
	}
	return !strcmp(name, ".img");
}

bool image_is(const char *name)
{
	if (!strcmp(name, "inventory.img"))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (matches(names[i], name))
			return true;
	return false;
}

static int remove_one(struct session *s, const char *name)
{
	struct stat st;

	if (fstatat(s->images, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode))
		return 0;
	if (unlinkat(s->images, name, 0) < 0 && errno != ENOENT)
		return session_fail(s, -errno, "images: remove the old %s", name);
	return 0;
}

int image_remove_old(struct session *s)
{
	int fd = fd_reopen(s->images, O_RDONLY | O_DIRECTORY), r = remove_one(s, "inventory.img");
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (r < 0 || !d) {
		if (!d)
			fd_close(fd);
		return r < 0 ? r : session_fail(s, fd < 0 ? fd : -errno, "images: read the directory");
	}
	while (r == 0 && (e = readdir(d)))
		if (image_is(e->d_name))
			r = remove_one(s, e->d_name);
	return r;
}
