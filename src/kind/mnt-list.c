// SPDX-License-Identifier: Apache-2.0
/*
 * Kernel: Documentation/filesystems/proc.rst, 3.5 mountinfo. Device numbers in images are the kernel's
 * own layout, major << 20 | minor.
 */
#include "kind/mnt-list.h"
#include "kind/mnt-device.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "image/record.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define MOUNTS_MAX 100000 /* the kernel's own: fs.mount-max */

static const struct {
	const char *name;
	Fstype type;
	bool made; /* mounted anew from source and options */
} types[] = {
	{ "proc", FSTYPE__PROC, true },
	{ "sysfs", FSTYPE__SYSFS, true },
	{ "tmpfs", FSTYPE__TMPFS, true },
	{ "devpts", FSTYPE__DEVPTS, true },
	{ "mqueue", FSTYPE__MQUEUE, true },
	{ "cgroup", FSTYPE__CGROUP, true },
	{ "cgroup2", FSTYPE__CGROUP2, true },
	{ "overlay", FSTYPE__OVERLAYFS, true },
	{ "securityfs", FSTYPE__SECURITYFS, true },
	{ "debugfs", FSTYPE__DEBUGFS, true },
	{ "tracefs", FSTYPE__TRACEFS, true },
	{ "pstore", FSTYPE__PSTORE, true },
	{ "fusectl", FSTYPE__FUSECTL, true },
	{ "devtmpfs", FSTYPE__DEVTMPFS, true },
	{ "binfmt_misc", FSTYPE__BINFMT_MISC, true },
	{ "fuse", FSTYPE__FUSE, false },
	{ "autofs", FSTYPE__AUTOFS, true },
	{ "hugetlbfs", FSTYPE__AUTO, true },
	{ "bpf", FSTYPE__AUTO, true },
	{ "configfs", FSTYPE__AUTO, true },
	{ "efivarfs", FSTYPE__AUTO, true },
	{ "ramfs", FSTYPE__AUTO, true },
};

const char *mnt_fsname(const MntEntry *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (e->fstype == FSTYPE__AUTO && e->fsname && !strcmp(e->fsname, types[i].name))
			return types[i].made ? types[i].name : NULL;
		if (e->fstype != FSTYPE__AUTO && e->fstype == types[i].type)
			return types[i].made ? types[i].name : NULL;
	}
	return e->fstype == FSTYPE__AUTO ? e->fsname : NULL; /* of --enable-fs, see fs_enabled() */
}

/* May the kernel be asked for a file system of that type, by its name alone? */
static bool fs_enabled(const struct session *s, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(types[i].name, name))
			return types[i].made;
	for (size_t i = 0; i < s->opts->n_enable_fs; i++)
		if (!strcmp(s->opts->enable_fs[i], name) || !strcmp(s->opts->enable_fs[i], "all"))
			return true;
	return false;
}

bool mnt_has_contents(const MntEntry *e)
{
	return e->fstype == FSTYPE__TMPFS ||
	       (e->fstype == FSTYPE__AUTO && e->fsname && !strcmp(e->fsname, "ramfs"));
}

int mnt_open(int root, const struct mnt *m)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | O_NOFOLLOW, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	own_fd int fd = fd_high(syscall(SYS_openat2, root, m->e->mountpoint, &how, sizeof(how)));
	struct statx sx;

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0 || sx.stx_mnt_id != m->e->mnt_id)
		return -1;
	return take_fd(fd);
}

const char *mnt_below(const char *path, const char *above)
{
	size_t n = strlen(above);

	if (!strcmp(above, "/"))
		return *path == '/' ? path + 1 : NULL;
	if (strncmp(path, above, n) || (path[n] && path[n] != '/'))
		return NULL;
	return path + n + (path[n] == '/');
}

void mnt_free(struct mnt_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		fd_close(l->v[i]->fd);
		fd_close(l->v[i]->source);
		fd_close(l->v[i]->bare);
		fd_close(l->v[i]->userns);
		free(l->v[i]->was);
		mnt_entry__free_unpacked(l->v[i]->e, NULL);
		free(l->v[i]);
	}
	free(l->v);
	map_free(&l->by_id);
	map_free(&l->by_dev);
	*l = (struct mnt_list){ 0 };
}

static struct mnt *find_id(const struct mnt_list *l, uint32_t id)
{
	return map_get(&l->by_id, id);
}

static struct mnt *mnt_add(struct mnt_list *l, MntEntry *e)
{
	struct mnt *m = xalloc(sizeof(*m));

	m->e = e;
	m->fd = m->source = m->ns = m->bare = m->userns = -1;
	*vec_add(l) = m;
	if (!find_id(l, e->mnt_id))
		map_put(&l->by_id, e->mnt_id, m);
	return m;
}

/* ---- mountinfo ---- */

char *mnt_layers(char *option)
{
	static const char *const names[] = { "lowerdir=", "lowerdir+=", "datadir+=", "upperdir=", "workdir=" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (text_starts(option, names[i]))
			return option + strlen(names[i]);
	return NULL;
}

static uint32_t parse_flags(char *opts)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} names[] = {
		{ "ro", MS_RDONLY },	     { "nosuid", MS_NOSUID },	  { "nodev", MS_NODEV },
		{ "noexec", MS_NOEXEC },     { "noatime", MS_NOATIME },	  { "nodiratime", MS_NODIRATIME },
		{ "relatime", MS_RELATIME }, { "nosymfollow", MS_NOSYMFOLLOW },
	};
	uint32_t flags = 0;
	char *save = NULL;

	for (char *o = strtok_r(opts, ",", &save); o; o = strtok_r(NULL, ",", &save))
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			if (!strcmp(o, names[i].name))
				flags |= names[i].flag;
	if (!(flags & (MS_NOATIME | MS_RELATIME)))
		flags |= MS_STRICTATIME;
	return flags;
}

/* Superblock options: the flags go out of the list. */
static uint32_t parse_sb(const char *opts, char **ret)
{
	own_mem char *copy = xstrdup(opts);
	uint32_t flags = 0;
	char *save = NULL, *out = xalloc(strlen(opts) + 16);

	for (char *o = strtok_r(copy, ",", &save); o; o = strtok_r(NULL, ",", &save)) {
		if (!strcmp(o, "ro"))
			flags |= MS_RDONLY;
		else if (!strcmp(o, "sync"))
			flags |= MS_SYNCHRONOUS;
		else if (!strcmp(o, "dirsync"))
			flags |= MS_DIRSYNC;
		else if (strcmp(o, "rw"))
			sprintf(out + strlen(out), "%s%s", *out ? "," : "", o);
	}
	*ret = out;
	return flags;
}

/* "shared:1 master:2 ... -" */
static void parse_groups(MntEntry *e, char **save)
{
	char *w;

	e->has_shared_id = e->has_master_id = true;
	while ((w = strtok_r(NULL, " ", save)) && strcmp(w, "-")) {
		if (text_starts(w, "shared:")) {
			e->shared_id = strtoul(w + 7, NULL, 10);
			e->flags |= MS_SHARED;
		} else if (text_starts(w, "master:")) {
			e->master_id = strtoul(w + 7, NULL, 10);
			e->flags |= MS_SLAVE;
		} else if (!strcmp(w, "unbindable")) {
			e->flags |= MS_UNBINDABLE;
		}
	}
	if (!(e->flags & (MS_SHARED | MS_SLAVE | MS_UNBINDABLE)))
		e->flags |= MS_PRIVATE;
}

static void parse_type(const struct session *s, MntEntry *e, const char *name)
{
	e->fstype = fs_enabled(s, name) ? FSTYPE__AUTO : FSTYPE__UNSUPPORTED;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(types[i].name, name))
			e->fstype = types[i].type;
	if (e->fstype == FSTYPE__AUTO)
		e->fsname = xstrdup(name);
}

static void strip_deleted(MntEntry *e)
{
	char *p = strstr(e->root, "//deleted");

	if (!p || p[9])
		return;
	*p = 0;
	e->has_deleted = e->deleted = true;
}

static char *next_word(char **save)
{
	char *w = strtok_r(NULL, " ", save);

	if (w)
		text_unescape(w);
	return w;
}

static MntEntry *parse_line(const struct session *s, char *line, bool *idmapped)
{
	MntEntry *e = xalloc(sizeof(*e));
	unsigned id, parent, major, minor;
	char *save = NULL, *w = strtok_r(line, " ", &save), *x, *type;

	mnt_entry__init(e);
	if (!w || sscanf(w, "%u", &id) != 1 || !(w = next_word(&save)) ||
	    sscanf(w, "%u", &parent) != 1 || !(w = next_word(&save)) ||
	    sscanf(w, "%u:%u", &major, &minor) != 2)
		goto bad;
	e->mnt_id = id;
	e->parent_mnt_id = parent;
	e->root_dev = major << 20 | minor;
	w = next_word(&save);
	x = next_word(&save);
	if (!w || !x)
		goto bad;
	e->root = xstrdup(w);
	e->mountpoint = xstrdup(x);
	strip_deleted(e);
	w = next_word(&save);
	if (!w)
		goto bad;
	*idmapped = strstr(w, ",idmapped");
	e->flags = parse_flags(w);
	parse_groups(e, &save);
	w = next_word(&save);
	if (!w)
		goto bad;
	parse_type(s, e, w);
	type = w;
	w = next_word(&save);
	x = next_word(&save);
	if (!w || !x)
		goto bad;
	e->source = xstrdup(w);
	mnt_device_note(s, e, type);
	e->has_sb_flags = true;
	e->sb_flags = parse_sb(x, &e->options);
	return e;
bad:
	mnt_entry__free_unpacked(e, NULL);
	return NULL;
}

/* ---- the tree ---- */

void mnt_by_dev(struct mnt_list *l)
{
	map_free(&l->by_dev);
	for (size_t i = l->n; i-- > 0;) {
		struct mnt *m = l->v[i];

		m->same = map_get(&l->by_dev, m->e->root_dev);
		map_put(&l->by_dev, m->e->root_dev, m);
	}
}

static int by_name(const void *a, const void *b)
{
	const struct mnt *x = *(struct mnt *const *)a, *y = *(struct mnt *const *)b;
	int c = strcmp(x->e->mountpoint, y->e->mountpoint);

	return c ? c : (x->e->mnt_id > y->e->mnt_id) - (x->e->mnt_id < y->e->mnt_id);
}

static void hang_below(struct mnt *parent, struct mnt *m)
{
	m->prev = NULL;
	m->next = parent->child;
	if (m->next)
		m->next->prev = m;
	parent->child = m;
}

/* Parents from ids, then their order in the list. */
static int list_link(struct session *s, struct mnt_list *l)
{
	struct mnt_list out = { 0 };

	qsort(l->v, l->n, sizeof(*l->v), by_name);
	for (size_t i = 0; i < l->n; i++) {
		struct mnt *m = l->v[i];

		m->parent = find_id(l, m->e->parent_mnt_id);
		if (m->parent == m)
			m->parent = NULL;
		if (m->parent)
			hang_below(m->parent, m);
		else if (!strcmp(m->e->mountpoint, "/"))
			l->root = m;
	}
	if (!l->root)
		return session_fail(s, -EBADMSG, "mounts: there is no root mount");
	*vec_add(&out) = l->root;
	for (size_t i = 0; i < out.n; i++) /* one level of the tree after the other */
		for (struct mnt *c = out.v[i]->child; c; c = c->next)
			*vec_add(&out) = c;
	if (out.n != l->n) {
		free(out.v);
		return session_fail(s, -EBADMSG, "mounts: some belong to none of the others");
	}
	free(l->v);
	l->v = out.v;
	l->max = out.max;
	mnt_by_dev(l);
	return 0;
}

int mnt_parse(struct session *s, const char *text, struct mnt_list *ret)
{
	int r = mnt_parse_flat(s, text, ret);

	return r < 0 ? r : list_link(s, ret);
}

int mnt_parse_flat(struct session *s, const char *text, struct mnt_list *ret)
{
	own_mem char *copy = xstrdup(text);
	char *save = NULL;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		bool idmapped = false;
		MntEntry *e = parse_line(s, line, &idmapped);

		if (!e)
			return session_fail(s, -EBADMSG, "mountinfo: a line cannot be read");
		mnt_add(ret, e)->idmapped = idmapped;
	}
	return 0;
}

static void unhang(struct mnt *m)
{
	if (m->prev)
		m->prev->next = m->next;
	else if (m->parent)
		m->parent->child = m->next;
	if (m->next)
		m->next->prev = m->prev;
}

void mnt_keep(struct session *s, struct mnt_list *l, bool (*keep)(struct session *s, const struct mnt *m))
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		l->v[i]->done = (l->v[i]->parent && l->v[i]->parent->done) || !keep(s, l->v[i]);
	map_free(&l->by_id);
	for (size_t i = 0; i < l->n; i++)
		if (!l->v[i]->done)
			map_put(&l->by_id, l->v[i]->e->mnt_id, l->v[i]);
	for (size_t i = l->n; i-- > 0;)
		if (l->v[i]->done)
			unhang(l->v[i]);
	for (size_t i = 0; i < l->n; i++) {
		struct mnt *m = l->v[i];

		if (!m->done) {
			l->v[n++] = m;
			continue;
		}
		free(m->was);
		mnt_entry__free_unpacked(m->e, NULL);
		free(m);
	}
	l->n = n;
	mnt_by_dev(l);
}

void mnt_forsake(struct mnt *m, uint32_t id)
{
	m->was = m->e->root;
	m->e->root = xprintf("deleted:%x", id);
	m->e->has_ghost_id = true;
	m->e->ghost_id = id;
}

static int write_one(struct image *img, const struct mnt *m)
{
	MntEntry e = *m->e;

	e.root = m->was ? m->was : e.root;
	return image_write(img, &e.base);
}

int mnt_write(struct session *s, uint32_t ns_id, const struct mnt_list *l)
{
	own_image struct image img = { .fd = -1 };
	int r = image_create(s, &img, MAGIC_MNTS, "mountpoints-%u.img", ns_id);

	for (size_t i = l->n; r == 0 && i-- > 0;) /* children before parents, as CRIU writes them */
		r = write_one(&img, l->v[i]);
	return r < 0 ? r : image_close(&img);
}

static int check(struct session *s, uint32_t ns_id, MntEntry *e)
{
	if (e->mountpoint[0] != '/' || (e->root[0] != '/' && !text_starts(e->root, "CRIU:")) ||
	    strlen(e->mountpoint) >= 4096 || strlen(e->root) >= 4096)
		return session_fail(s, -EBADMSG, "mountpoints-%u.img: mount %u has a damaged path", ns_id,
				    e->mnt_id);
	if (e->fstype == FSTYPE__AUTO && e->fsname && !mnt_is_device(e) && !fs_enabled(s, e->fsname))
		e->fstype = FSTYPE__UNSUPPORTED;
	if (e->with_plugin)
		return session_fail(s, -ENOTSUP, "mount %s: needs a plugin of CRIU's", e->mountpoint);
	return 0;
}

/* What comes from outside shows what it shows there. */
static int check_deleted(struct session *s, const struct mnt_list *l, struct mnt *m)
{
	MntEntry *e = m->e;

	if (!e->has_deleted || !e->deleted || m == l->root || e->ext_key || e->ext_mount)
		return 0;
	if (!e->has_ghost_id)
		return session_fail(s, -ENOTSUP,
				    "mount %s: shows %s, which was deleted, and the image does not hold that; give it from outside: --external 'mnt[%s]:PATH'",
				    e->mountpoint, e->root, e->mountpoint);
	mnt_forsake(m, e->ghost_id);
	return 0;
}

int mnt_read(struct session *s, uint32_t ns_id, struct mnt_list *ret)
{
	own_image struct image img = { .fd = -1 };
	ProtobufCMessage *m;
	int r = image_open(s, &img, MAGIC_MNTS, "mountpoints-%u.img", ns_id);

	if (r == 1)
		return session_fail(s, -EBADMSG, "image mountpoints-%u.img: is missing; the checkpoint is not whole", ns_id);
	while (r == 0 && (r = image_read(&img, &mnt_entry__descriptor, &m)) == 1) {
		r = ret->n < MOUNTS_MAX ? check(s, ns_id, (MntEntry *)m)
					: session_fail(s, -E2BIG, "mountpoints-%u.img: has more than %d mounts",
						       ns_id, MOUNTS_MAX);
		if (r == 0 && find_id(ret, ((MntEntry *)m)->mnt_id))
			r = session_fail(s, -EBADMSG, "mountpoints-%u.img: mount %u stands there twice",
					 ns_id, ((MntEntry *)m)->mnt_id);
		mnt_add(ret, (MntEntry *)m);
	}
	if (r == 0)
		r = list_link(s, ret);
	for (size_t i = 0; r == 0 && i < ret->n; i++)
		r = check_deleted(s, ret, ret->v[i]);
	return r;
}

uint32_t mnt_ns_of(struct session *s, uint32_t mnt_id)
{
	const struct map *all = session_map(s, "mnt");

	for (size_t i = 0; i < all->max; i++)
		if (all->rows[i].value && find_id(all->rows[i].value, mnt_id))
			return all->rows[i].key;
	return 0;
}
