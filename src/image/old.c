// SPDX-License-Identifier: Apache-2.0
#include "image/old.h"

#include "base/res.h"
#include "image/record.h"

#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* What commands other than a dump write there for it. */
static bool is_other(const char *name)
{
	return !strcmp(name, "cpuinfo.img") || !strcmp(name, "irmap-cache.img");
}

static bool is_image(int dir, const char *name)
{
	const char *end = strrchr(name, '.');
	own_fd int fd = -1;
	struct stat st;
	uint32_t magic;

	if (!end || strcmp(end, ".img") || is_other(name) || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && read(fd, &magic, sizeof(magic)) == sizeof(magic) && le32toh(magic) == MAGIC_COMMON;
}

int images_remove_old(struct session *s)
{
	own_fd int at = session_openat(s, s->images, ".", O_RDONLY | O_DIRECTORY, 0);
	own_dir DIR *d = NULL;
	struct dirent *e;
	int r = session_unlinkat(s, s->images, "inventory.img");

	if (r < 0 && r != -ENOENT)
		return session_fail(s, r, "images: remove the old inventory.img");
	d = at < 0 ? NULL : fdopendir(at);
	if (!d)
		return session_fail(s, at < 0 ? at : -errno, "images: look for old ones in their directory");
	take_fd(at);
	while ((e = readdir(d))) {
		if (!is_image(dirfd(d), e->d_name))
			continue;
		r = session_unlinkat(s, s->images, e->d_name);
		if (r < 0 && r != -ENOENT)
			return session_fail(s, r, "images: remove %.100s, which an earlier dump has left", e->d_name);
		session_debug(s, "images: removed %.100s, which an earlier dump has left", e->d_name);
	}
	return 0;
}
