// SPDX-License-Identifier: Apache-2.0
/*
 * ghost-attr: extended attributes of files and directories without a name.
 *
 * Kept:   all that the dumper may read: user.*, ACLs, capabilities, labels.
 * Lost:   those that the file system of the restore does not take: reported. Of fifos and devices without a name.
 *         Users in ACLs are those that the dumper sees: a container restored with another map has others in them.
 * Kernel: xattr(7), fs/xattr.c.
 */
#include "kind/ghost-attr.h"

#include "base/list.h"
#include "base/res.h"

#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>

/* An attribute by its name; 0 without one if it is gone, or hidden from us. */
static int attr_read(int fd, const char *name, GhostAttrEntry **ret)
{
	char value[XATTR_SIZE_MAX];
	ssize_t n = fgetxattr(fd, name, value, sizeof(value));
	GhostAttrEntry *a;

	*ret = NULL;
	if (n < 0)
		return errno == ENODATA || errno == EPERM || errno == EACCES || errno == EOPNOTSUPP ? 0 : -errno;
	*ret = a = xalloc(sizeof(*a));
	ghost_attr_entry__init(a);
	a->name = xstrdup(name);
	a->value.data = xmemdup(value, n);
	a->value.len = n;
	return 0;
}

int ghost_attr_read(struct session *s, int fd, GhostFileEntry *e, uint32_t id)
{
	own_mem char *names = xalloc(XATTR_LIST_MAX);
	ssize_t n = flistxattr(fd, names, XATTR_LIST_MAX);
	struct {
		GhostAttrEntry **v;
		size_t n, max;
	} all = { 0 };
	int r = n < 0 && errno != EOPNOTSUPP ? -errno : 0;

	for (ssize_t at = 0; r == 0 && at < n; at += strlen(names + at) + 1) {
		GhostAttrEntry *a;

		r = attr_read(fd, names + at, &a);
		if (a)
			*vec_add(&all) = a;
	}
	e->n_attrs = all.n;
	e->attrs = all.v;
	return r < 0 ? session_fail(s, r, "ghost file 0x%x: read its extended attributes", id) : 0;
}

void ghost_attr_free(GhostFileEntry *e)
{
	for (size_t i = 0; i < e->n_attrs; i++) {
		free(e->attrs[i]->name);
		free(e->attrs[i]->value.data);
		free(e->attrs[i]);
	}
	free(e->attrs);
}

void ghost_attr_write(struct session *s, int fd, const GhostFileEntry *e, uint32_t id)
{
	for (size_t i = 0; i < e->n_attrs; i++) {
		const GhostAttrEntry *a = e->attrs[i];
		char have[XATTR_SIZE_MAX];
		ssize_t n = fgetxattr(fd, a->name, have, sizeof(have));

		if (n == (ssize_t)a->value.len && !memcmp(have, a->value.data, n))
			continue; /* labels that the system gives every file */
		if (fsetxattr(fd, a->name, a->value.data, a->value.len, 0) < 0)
			session_warn(s, "ghost-file-%x.img: the attribute %.255s cannot be set: %s", id, a->name, strerror(errno));
	}
}
