// SPDX-License-Identifier: Apache-2.0
/*
 * Block devices from outside.
 *
 * Kept:   type and options of the file system, and which directory of it each mount shows.
 * Lost:   options that name another file (a journal elsewhere): refused, as an image could name anything.
 * Kernel: /proc/filesystems tells the types that live on a device; fsopen(2) with the device as source gives the
 *         superblock that the host may have of it already.
 */
#include "kind/mnt-device.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/mnt-build.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>

#define KEY "CRIU:EXTERNAL_DEV"

bool mnt_is_device(const MntEntry *e)
{
	return e->ext_key && !strcmp(e->ext_key, KEY);
}

void mnt_device_note(const struct session *s, MntEntry *e, const char *type)
{
	own_mem char *numbers = xprintf("%u/%u", e->root_dev >> 20, e->root_dev & 0xfffff);
	const char *name = external_find(s, "dev", numbers);

	if (!name || !strcmp(e->mountpoint, "/")) /* the root is always --root's */
		return;
	free(e->source);
	e->source = xprintf("dev[%s]", *name ? name : numbers);
	free(e->ext_key);
	e->ext_key = xstrdup(KEY);
	free(e->fsname);
	e->fsname = xstrdup(type);
	e->fstype = FSTYPE__AUTO;
}

/* Does it live on a block device? Only those are mounted because an image says so. */
static bool type_known(const char *type)
{
	own_mem char *text = NULL, *line = xprintf("\n\t%s\n", type);

	return text_read(AT_FDCWD, "/proc/filesystems", &text, NULL) == 0 && strstr(text, line);
}

static const char *path_option(char *opts)
{
	char *save = NULL;

	for (char *o = strtok_r(opts, ",", &save); o; o = strtok_r(NULL, ",", &save)) {
		const char *value = strchr(o, '=');

		if (value && value[1] == '/' && !text_starts(o, "subvol="))
			return o;
	}
	return NULL;
}

static int device_check(struct session *s, const MntEntry *e)
{
	own_mem char *opts = xstrdup(e->options);
	const char *other = path_option(opts);

	if (e->fstype != FSTYPE__AUTO || !e->fsname || !type_known(e->fsname))
		return session_fail(s, -ENOTSUP, "mount %s: %s: its file system (%s) is none that this kernel has on devices",
				    e->mountpoint, e->source, e->fsname ? e->fsname : "no name");
	if (other)
		return session_fail(s, -ENOTSUP, "mount %s: %s: its option %s names another file, which is not taken from an image",
				    e->mountpoint, e->source, other);
	return 0;
}

/* The caller's path for "dev[NAME]"; NULL with the reason said. */
static const char *device_path(struct session *s, const MntEntry *e)
{
	size_t n = strlen(e->source);
	bool good = text_starts(e->source, "dev[") && e->source[n - 1] == ']';
	own_mem char *name = good ? xprintf("%.*s", (int)n - 5, e->source + 4) : NULL;
	const char *path = name ? external_find(s, "dev", name) : NULL;

	if (!path || !*path)
		session_fail(s, -EINVAL, "mount %s: is an external device; say which: --external '%s:/dev/NAME'",
			     e->mountpoint, e->source);
	return path && *path ? path : NULL;
}

int mnt_device_take(struct session *s, struct mnt *m)
{
	const char *path = device_path(s, m->e), *below = m->e->root;
	own_fd int fd = -1;
	int r = path ? device_check(s, m->e) : s->why_r;

	if (r < 0)
		return r;
	free(m->e->source);
	m->e->source = xstrdup(path);
	fd = mnt_super_bare(s, m);
	if (fd < 0)
		return fd;
	if (!strcmp(below, "/")) {
		m->source = take_fd(fd);
		return 0;
	}
	m->source = mnt_part(fd, below + 1);
	return m->source < 0 ? session_fail(s, m->source, "mount %s: take %s of %s", m->e->mountpoint, below, path) : 0;
}
