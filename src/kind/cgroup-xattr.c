// SPDX-License-Identifier: Apache-2.0
/*
 * Extended attributes of cgroup directories: systemd keeps there what it knows of a unit (its invocation, that it
 * was delegated), others what they like (user.*, version 2).
 *
 * Kept:   trusted.* and user.*, where the restore makes the directory anew.
 * Lost:   those of the files in it; labels (security.*).
 * Kernel: fs/kernfs/inode.c; version 1 shows user.*, too.
 */
#include "base/res.h"
#include "base/text.h"
#include "kind/cgroup-hier.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>

static bool ours(const char *name)
{
	return text_starts(name, "trusted.") || text_starts(name, "user.");
}

static void keep(int dir, const char *name, CgroupDirEntry *e)
{
	own_mem char *value = xalloc(XATTR_SIZE_MAX);
	ssize_t n = fgetxattr(dir, name, value, XATTR_SIZE_MAX);
	CgroupXattrEntry *x;

	if (n < 0)
		return; /* removed meanwhile */
	x = xalloc(sizeof(*x));
	cgroup_xattr_entry__init(x);
	x->name = xstrdup(name);
	x->value.data = xalloc(n + 1);
	x->value.len = n;
	memcpy(x->value.data, value, n);
	e->xattrs = xgrow(e->xattrs, (e->n_xattrs + 1) * sizeof(*e->xattrs));
	e->xattrs[e->n_xattrs++] = x;
}

void cgroup_xattrs_dump(struct session *s, int dir, CgroupDirEntry *e)
{
	own_mem char *names = xalloc(XATTR_LIST_MAX);
	ssize_t n = flistxattr(dir, names, XATTR_LIST_MAX);

	if (n < 0 && errno != ENOTSUP)
		session_warn(s, "cgroup %s: its extended attributes cannot be listed: %s", e->dir_name, strerror(errno));
	for (const char *p = names; n > 0 && p < names + n; p += strlen(p) + 1)
		if (ours(p))
			keep(dir, p, e);
}

void cgroup_xattrs_set(struct session *s, const struct hier *h, const char *path, const CgroupDirEntry *e)
{
	own_fd int dir = e->n_xattrs ? openat(h->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	for (size_t i = 0; dir >= 0 && i < e->n_xattrs; i++) {
		const CgroupXattrEntry *x = e->xattrs[i];

		if (!ours(x->name) || fsetxattr(dir, x->name, x->value.data, x->value.len, 0) < 0)
			session_warn(s, "cgroup %s: extended attribute %.100s cannot be set: %s", path, x->name,
				     ours(x->name) ? strerror(errno) : "not one that is kept");
	}
}
