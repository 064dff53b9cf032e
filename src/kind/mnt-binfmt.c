// SPDX-License-Identifier: Apache-2.0
/*
 * Each user namespace that mounts a binfmt_misc has one of its own; without an own user namespace it is the host's,
 * which is mounted again and left as it is.
 *
 * Kept:   handlers with their names, in the order in which they are tried, which of them are disabled, or all.
 * Lost:   of flag F, which file was opened: its name is opened once more (refused where there is no such file).
 * Kernel: fs/binfmt_misc.c; Documentation/admin-guide/binfmt-misc.rst; own ones since Linux 6.7. Who registered last
 *         is tried first, and listed first.
 */
#include "kind/mnt-binfmt.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "images/binfmt-misc.pb-c.h"
#include "kind/ids.h"
#include "kind/mnt-build.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HANDLERS_MAX 4096
#define REGISTER_MAX 1920 /* MAX_REGISTER_LENGTH */
#define MAIN "binfmt-misc.img"

struct handlers {
	BinfmtMiscEntry **v; /* in the order of a listing */
	size_t n, max;
};

static void handlers_free(struct handlers *h)
{
	for (size_t i = 0; i < h->n; i++)
		binfmt_misc_entry__free_unpacked(h->v[i], NULL);
	free(h->v);
}

bool binfmt_is_own(struct session *s, const MntEntry *e, bool nested_user)
{
	return e->fstype == FSTYPE__BINFMT_MISC && !strcmp(e->root, "/") && !e->ext_key && (ids_mapped(s) || nested_user);
}

/* ---- dump ---- */

/* The value behind key up to the line that begins with end, or the end of the line; what it cuts off is lost to others */
static char *value(char *text, const char *key, const char *end)
{
	char *at = (char *)text_after(text, key), *stop = at ? strstr(at, end) : NULL;

	if (stop)
		*stop = 0;
	return at ? xstrdup(at) : NULL;
}

static BinfmtMiscEntry *parse(const char *name, char *text)
{
	BinfmtMiscEntry *e = xalloc(sizeof(*e));
	int64_t offset;

	binfmt_misc_entry__init(e);
	e->name = xstrdup(name);
	e->enabled = text_starts(text, "enabled");
	if (text_i64(text, "offset ", 10, &offset) == 0 && offset) {
		e->has_offset = true;
		e->offset = offset;
	}
	/* from the last to the first, as each is cut off */
	e->mask = value(text, "mask ", "\n");
	e->magic = value(text, "magic ", "\n");
	e->extension = value(text, "extension .", "\n");
	e->flags = value(text, "flags: ", "\n");
	e->interpreter = value(text, "interpreter ", "\nflags:");
	return e;
}

static int read_one(struct session *s, const struct mnt *m, int dir, const char *name, struct handlers *h)
{
	own_mem char *text = NULL;
	int r = text_read(dir, name, &text, NULL);
	BinfmtMiscEntry *e;

	if (r < 0)
		return session_fail(s, r, "mount %s: read its handler %s", m->e->mountpoint, name);
	e = parse(name, text);
	*vec_add(h) = e;
	if (!e->interpreter || (!e->extension && !e->magic) || h->n > HANDLERS_MAX)
		return session_fail(s, -ENOTSUP, "mount %s: its handler %s is of no known form, or there are more than %d",
				    m->e->mountpoint, name, HANDLERS_MAX);
	return 0;
}

static int read_all(struct session *s, const struct mnt *m, int top, struct handlers *h)
{
	own_fd int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int r = 0;

	if (!d)
		return session_fail(s, -errno, "mount %s: read its handlers", m->e->mountpoint);
	take_fd(fd);
	while (r == 0 && (e = readdir(d)))
		if (e->d_name[0] && strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, "register") &&
		    strcmp(e->d_name, "status"))
			r = read_one(s, m, top, e->d_name, h);
	return r;
}

/* One opened when it was registered, from wherever, has to be there now. */
static int check_file(struct session *s, int root, const struct mnt *m, const BinfmtMiscEntry *e)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	bool opened = e->flags && strchr(e->flags, 'F');
	own_fd int fd = opened ? (int)syscall(SYS_openat2, root, e->interpreter, &how, sizeof(how)) : -1;

	return !opened || fd >= 0
		       ? 0
		       : session_fail(s, -ENOTSUP,
				      "mount %s: the interpreter %s of its handler %s (flag F) is no file of that name in the container; remove the handler, or put the file there",
				      m->e->mountpoint, e->interpreter, e->name);
}

int binfmt_check(struct session *s, int root, const struct mnt *m)
{
	own_fd int top = mnt_open(root, m);
	struct handlers h = { 0 };
	int r = top < 0 ? session_fail(s, -ENOTSUP, "mount %s: is a binfmt_misc that another mount hides; unmount one of them",
				       m->e->mountpoint)
			: read_all(s, m, top, &h);

	for (size_t i = 0; r == 0 && i < h.n; i++)
		r = check_file(s, root, m, h.v[i]);
	handlers_free(&h);
	return r;
}

static int dump_one(struct session *s, int root, const struct mnt *m, bool main)
{
	own_fd int top = mnt_open(root, m);
	own_mem char *name = main ? xstrdup(MAIN) : xprintf("binfmt-misc-%u.img", m->e->root_dev), *status = NULL;
	own_image struct image img = { 0 };
	struct handlers h = { 0 };
	int r = top < 0 ? session_fail(s, -errno, "mount %s: open it", m->e->mountpoint) : read_all(s, m, top, &h);

	if (r == 0)
		r = text_read(top, "status", &status, NULL);
	if (r == 0)
		m->e->has_binfmt_off = m->e->binfmt_off = text_starts(status, "disabled");
	if (r == 0)
		r = image_create(s, &img, MAGIC_BINFMT_MISC, "%s", name);
	for (size_t i = h.n; r == 0 && i-- > 0;) /* as they came */
		r = image_write(&img, &h.v[i]->base);
	handlers_free(&h);
	return r < 0 ? r : image_close(&img);
}

int binfmt_dump(struct session *s, const struct ns *ns, int root, const struct mnt_list *l, bool main)
{
	struct map *done = session_map(s, "binfmt done");
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->n; i++) {
		const struct mnt *m = l->v[i];

		if (!binfmt_is_own(s, m->e, ns->owner) || map_get(done, m->e->root_dev))
			continue;
		map_put(done, m->e->root_dev, s);
		r = dump_one(s, root, m, main);
	}
	return r;
}

/* ---- restore ---- */

static bool is_name(const char *name)
{
	return *name && strlen(name) < 256 && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

/* "7f45" as "\x7f\x45"; false: no such digits */
static bool put_hex(char **at, const char *end, const char *hex)
{
	for (; hex && *hex; hex += 2) {
		if (!isxdigit((unsigned char)hex[0]) || !isxdigit((unsigned char)hex[1]) || end - *at < 5)
			return false;
		*at += sprintf(*at, "\\x%.2s", hex);
	}
	return true;
}

/* A byte that is in none of its fields parts them. */
static char separator(const BinfmtMiscEntry *e)
{
	static const char choice[] = ":;,|%@!~^\1\2\3";
	const char *const fields[] = { e->name, e->interpreter, e->extension, e->flags };

	for (const char *c = choice; *c; c++) {
		bool used = false;

		for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
			used |= fields[i] && strchr(fields[i], *c);
		if (!used)
			return *c;
	}
	return 0;
}

/* As for the file "register". Return: its length, 0: no such handler */
static size_t line_of(const BinfmtMiscEntry *e, char *line, size_t max)
{
	char c = separator(e), *at = line, *end = line + max;
	size_t fixed = strlen(e->name) + strlen(e->interpreter) + (e->extension ? strlen(e->extension) : 0) +
		       (e->flags ? strlen(e->flags) : 0);

	if (!c || !is_name(e->name) || fixed + 32 > max || (!e->extension && !e->magic))
		return 0;
	at += sprintf(at, "%c%s%c%c%c", c, e->name, c, e->extension ? 'E' : 'M', c);
	if (e->extension)
		at += sprintf(at, "%c%s%c", c, e->extension, c);
	else
		at += sprintf(at, "%d%c", e->has_offset ? e->offset : 0, c);
	if (!e->extension) {
		if (!put_hex(&at, end, e->magic) || end - at < 2)
			return 0;
		*at++ = c;
		if (!put_hex(&at, end, e->mask))
			return 0;
	}
	if ((size_t)(end - at) < strlen(e->interpreter) + 10)
		return 0;
	at += sprintf(at, "%c%s%c%s", c, e->interpreter, c, e->flags ? e->flags : "");
	return at - line;
}

static int add(struct session *s, const struct mnt *m, int dir, const BinfmtMiscEntry *e)
{
	own_fd int fd = openat(dir, "register", O_WRONLY | O_CLOEXEC);
	char line[REGISTER_MAX + 8];
	size_t n = line_of(e, line, REGISTER_MAX);

	if (!n)
		return session_fail(s, -EBADMSG, "mount %s: its handler %s is damaged in the image", m->e->mountpoint, e->name);
	if (fd < 0 || write(fd, line, n) < 0 || (!e->enabled && text_write(dir, e->name, "0") < 0))
		return session_fail(s, -errno, "mount %s: register its handler %s (%s)", m->e->mountpoint, e->name, e->interpreter);
	return 0;
}

/* CRIU 4 has one for all, before it was named after the mount */
static int open_image(struct session *s, struct image *img, const struct mnt *m)
{
	int r = m->ns >= 0 ? 1 : image_open(s, img, MAGIC_BINFMT_MISC, MAIN);

	return r == 1 ? image_open(s, img, MAGIC_BINFMT_MISC, "binfmt-misc-%u.img", m->ns >= 0 ? m->e->root_dev : m->e->mnt_id) : r;
}

/* A mount of it that is not read-only, wherever it is mounted */
static int bare(const struct mnt *m)
{
	struct mount_attr writable = { .attr_clr = MOUNT_ATTR_RDONLY };
	own_fd int fd = fd_high(open_tree(m->fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));

	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &writable, sizeof(writable)) < 0)
		return -errno;
	return take_fd(fd);
}

static int finish(struct session *s, const struct mnt *m, int dir)
{
	if (m->e->binfmt_off && text_write(dir, "status", "0") < 0)
		return session_fail(s, -errno, "mount %s: disable all handlers", m->e->mountpoint);
	return m->e->sb_flags & MS_RDONLY ? mnt_super_read_only(s, m, dir) : 0;
}

int binfmt_fill(struct session *s, const struct mnt *m)
{
	own_image struct image img = { 0 };
	BinfmtMiscEntry *e;
	own_fd int dir = bare(m);
	int r = open_image(s, &img, m), n = 0;
	bool any = r == 0;

	if (dir < 0)
		return session_fail(s, dir, "mount %s: clone it, to register handlers", m->e->mountpoint);
	while (r >= 0 && any && (r = image_read(&img, &binfmt_misc_entry__descriptor, (ProtobufCMessage **)&e)) == 1) {
		r = n++ < HANDLERS_MAX ? add(s, m, dir, e) : session_fail(s, -EBADMSG, "mount %s: too many handlers", m->e->mountpoint);
		binfmt_misc_entry__free_unpacked(e, NULL);
	}
	return r < 0 ? r : finish(s, m, dir);
}
