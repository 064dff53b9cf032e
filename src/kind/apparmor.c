// SPDX-License-Identifier: Apache-2.0
/*
 * apparmor: policies of AppArmor namespaces, as a container has that loads profiles of its own.
 *
 * Kept:   namespaces that a thread's label names (":NS:PROFILE", also stacked, "A//&:NS:B") and those in them, with all
 *         their profiles, as binaries. What exists where it is restored stays as it is.
 * Lost:   the host's own profiles, which the host of the restore has to have loaded; namespaces that no label names.
 * Kernel: securityfs, apparmor/policy: namespaces/NS, profiles/PROFILE.N/{name,raw_data} (CONFIG_SECURITY_APPARMOR_
 *         EXPORT_BINARY), .load, .remove; a binary that was loaded from outside names its namespace itself.
 */
#include "kind/apparmor.h"

#include "base/list.h"
#include "base/text.h"
#include "image/record.h"
#include "images/apparmor.pb-c.h"
#include "task/warden.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define HOST_POLICY "/sys/kernel/security/apparmor/policy"
#define NESTED_MAX 32

/* to be taken back: a namespace, or a profile of one that was there */
struct made {
	char *ns, *profile;
};

struct apparmor {
	int dir; /* apparmor/policy, from the first use on */
	bool open, restored;
	struct {
		char **v;
		size_t n, max;
	} noted;
	struct {
		struct made *v;
		size_t n, max;
	} made;
};

static struct apparmor *state(struct session *s)
{
	return session_state(s, "apparmor", sizeof(struct apparmor));
}

/* The host's, or one in a mount that nobody else sees. */
static int policy_open(struct session *s)
{
	struct apparmor *a = state(s);
	own_fd int fs = -1, mnt = -1;

	if (a->open)
		return 0;
	a->dir = fd_high(open(HOST_POLICY, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (a->dir < 0 && (fs = fsopen("securityfs", FSOPEN_CLOEXEC)) >= 0 &&
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0 && (mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0)) >= 0)
		a->dir = fd_high(openat(mnt, "apparmor/policy", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (a->dir < 0)
		return session_fail(s, -errno, "AppArmor: its policies: securityfs, apparmor/policy");
	a->open = true;
	return 0;
}

static DIR *dir_at(int at, const char *path)
{
	own_fd int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d)
		take_fd(fd);
	return d;
}

static const char *dir_next(DIR *d)
{
	const struct dirent *e = d ? readdir(d) : NULL;

	while (e && *e->d_name == '.')
		e = readdir(d);
	return e ? e->d_name : NULL;
}

/* A file's only line; NULL if there is none. */
static char *line_read(int at, const char *dir, const char *name)
{
	own_mem char *path = xprintf("%s/%s", dir, name), *text = NULL;

	if (text_read(at, path, &text, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = 0;
	return take_mem(text);
}

/* ---- dump ---- */

void apparmor_note(struct session *s, const char *label)
{
	struct apparmor *a = state(s);

	for (const char *p = label, *stacked; p; p = stacked ? stacked + strlen("//&") : NULL) {
		own_mem char *name = NULL;
		bool known = false;

		stacked = strstr(p, "//&");
		if (*p != ':')
			continue;
		name = xprintf("%.*s", (int)strcspn(p + 1, ":"), p + 1);
		if (strstr(name, "//")) /* in another, which is kept whole */
			*strstr(name, "//") = 0;
		for (size_t i = 0; i < a->noted.n; i++)
			known |= !strcmp(a->noted.v[i], name);
		if (*name && !known)
			*vec_add(&a->noted) = take_mem(name);
	}
}

/* Profiles that were loaded together have one binary. */
static int profiles_dump(struct session *s, const char *ns, AaNamespace *e)
{
	int at = state(s)->dir, r = 0;
	own_mem char *path = xprintf("%s/profiles", ns);
	own_dir DIR *d = dir_at(at, path);
	struct {
		char **v;
		size_t n, max;
	} seen = { 0 };
	const char *entry;

	while (r == 0 && (entry = dir_next(d))) {
		own_mem char *dir = xprintf("%s/%s", path, entry), *name = line_read(at, dir, "name"), *blob = NULL;
		own_mem char *raw = xprintf("%s/raw_data", dir), *link = NULL;
		struct { AaPolicy **v; size_t n, max; } all = { e->policies, e->n_policies, e->n_policies };
		bool known = false;
		size_t n = 0;

		if (!name)
			continue; /* removed meanwhile */
		if (text_readlink(at, raw, &link) < 0 || text_read(at, raw, &blob, &n) < 0) {
			r = session_fail(s, -ENOTSUP, "AppArmor: %s, profile %s: the kernel did not keep its binary; boot with apparmor.export_binary=1",
					 ns, name);
			continue;
		}
		for (size_t i = 0; i < seen.n; i++)
			known |= !strcmp(seen.v[i], link);
		if (known)
			continue;
		*vec_add(&seen) = take_mem(link);
		*vec_add(&all) = xalloc(sizeof(AaPolicy));
		aa_policy__init(all.v[all.n - 1]);
		all.v[all.n - 1]->name = take_mem(name);
		all.v[all.n - 1]->blob = (ProtobufCBinaryData){ n, take_mem_from(&blob) };
		e->policies = all.v;
		e->n_policies = all.n;
	}
	while (seen.n)
		free(seen.v[--seen.n]);
	free(seen.v);
	return r;
}

static int ns_dump(struct session *s, const char *in, const char *name, AaNamespace **ret, unsigned depth)
{
	own_mem char *path = xprintf("%snamespaces/%s", in, name), *below = xprintf("%s/", path);
	own_mem char *list = xprintf("%s/namespaces", path);
	own_dir DIR *d = dir_at(state(s)->dir, list);
	struct { AaNamespace **v; size_t n, max; } all = { 0 };
	AaNamespace *e = xalloc(sizeof(*e));
	const char *entry;
	int r;

	aa_namespace__init(e);
	e->name = xstrdup(name);
	*ret = e;
	if (!d || !depth)
		return session_fail(s, d ? -ENOTSUP : -errno, "AppArmor: namespace %s: %s", name,
				    d ? "is nested too deep" : "a task is in it, but it is not to be seen here");
	r = profiles_dump(s, path, e);
	while (r == 0 && (entry = dir_next(d)))
		r = ns_dump(s, below, entry, vec_add(&all), depth - 1);
	e->namespaces = all.v;
	e->n_namespaces = all.n;
	return r;
}

int apparmor_dump(struct session *s)
{
	struct apparmor *a = state(s);
	ApparmorEntry *e;
	int r = a->noted.n ? policy_open(s) : 0;

	if (r < 0 || !a->noted.n)
		return r;
	e = xalloc(sizeof(*e));
	apparmor_entry__init(e);
	e->namespaces = xalloc(a->noted.n * sizeof(*e->namespaces));
	for (size_t i = 0; r == 0 && i < a->noted.n; i++)
		r = ns_dump(s, "", a->noted.v[i], &e->namespaces[e->n_namespaces++], NESTED_MAX);
	if (r == 0)
		r = image_write_one(s, MAGIC_APPARMOR, &e->base, "apparmor.img");
	apparmor_entry__free_unpacked(e, NULL);
	return r;
}

/* ---- restore ---- */

static void unmake(void *arg)
{
	struct apparmor *a = arg;

	while (a->made.n) {
		struct made *m = &a->made.v[--a->made.n];
		own_mem char *remove = xprintf("%s/.remove", m->ns);

		if (m->profile)
			text_write(a->dir, remove, m->profile);
		else
			unlinkat(a->dir, m->ns, AT_REMOVEDIR);
	}
}

static void note_made(struct session *s, const char *ns, const char *profile)
{
	struct apparmor *a = state(s);

	if (!a->made.n)
		session_undo(s, unmake, a);
	*vec_add(&a->made) = (struct made){ xstrdup(ns), profile ? xstrdup(profile) : NULL };
}

/* The namespace in the head of a binary, or NULL: u8 4, u16 8, "version", u8 2, u32; the same with "namespace" and a text. */
static const char *blob_ns(const ProtobufCBinaryData *b)
{
	static const char head[] = "\x04\x0a\x00namespace\0\x05"; /* and u16, length of the text with its end */
	const size_t at = 3 + sizeof("version") + 5, text = at + sizeof(head) - 1 + 2;

	if (b->len <= text || memcmp(b->data + at, head, sizeof(head) - 1) || !memchr(b->data + text, 0, b->len - text))
		return NULL;
	return (const char *)b->data + text;
}

/* What is there stays: it may be the host's newer one. Returns 1 if so. */
static int is_loaded(struct session *s, const char *ns, const AaPolicy *p)
{
	int at = state(s)->dir;
	own_mem char *path = xprintf("%s/profiles", ns);
	own_dir DIR *d = dir_at(at, path);
	const char *entry;

	while ((entry = dir_next(d))) {
		own_mem char *dir = xprintf("%s/%s", path, entry), *name = line_read(at, dir, "name");
		own_mem char *raw = xprintf("%s/raw_data", dir), *blob = NULL;
		size_t n = 0;

		if (!name || strcmp(name, p->name))
			continue;
		if (text_read(at, raw, &blob, &n) < 0 || n != p->blob.len || memcmp(blob, p->blob.data, n))
			session_warn(s, "AppArmor: %s, profile %s: another one of that name is loaded; it stays", ns, name);
		return 1;
	}
	return 0;
}

static int policy_load(struct session *s, const char *in, const AaNamespace *e, const AaPolicy *p)
{
	own_mem char *ns = xprintf("%snamespaces/%s", in, e->name), *load = NULL;
	const char *own = blob_ns(&p->blob);
	own_fd int fd = -1;

	if (is_loaded(s, ns, p))
		return 0;
	if (own && strcmp(own, e->name))
		return session_fail(s, -ENOTSUP, "AppArmor: profile %s of namespace %s: its binary is for namespace %s; load it there first, with apparmor_parser",
				    p->name, e->name, own);
	load = own ? xprintf("%s.load", in) : xprintf("%s/.load", ns);
	fd = openat(state(s)->dir, load, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, p->blob.data, p->blob.len) < 0)
		return session_fail(s, -errno, "AppArmor: %s: load profile %s", ns, p->name);
	note_made(s, ns, p->name);
	return 0;
}

static int ns_make(struct session *s, const char *in, const AaNamespace *e, unsigned depth)
{
	own_mem char *path = xprintf("%snamespaces/%s", in, e->name), *below = xprintf("%s/", path);
	own_mem char *full = xprintf(HOST_POLICY "/%s", path);
	int r = 0;

	if (!*e->name || *e->name == '.' || strchr(e->name, '/') || strlen(e->name) > NAME_MAX || !depth)
		return session_fail(s, -EBADMSG, "apparmor.img: a namespace is named \"%.64s\", or nested too deep; the image is damaged",
				    e->name);
	if (mkdirat(state(s)->dir, path, 0755) == 0) {
		note_made(s, path, NULL);
		if (faccessat(AT_FDCWD, full, F_OK, 0) == 0)
			r = warden_undo_rmdir(s, full);
	} else if (errno != EEXIST) {
		return session_fail(s, -errno, "AppArmor: make namespace %s", e->name);
	}
	for (size_t i = 0; r == 0 && i < e->n_policies; i++)
		r = policy_load(s, in, e, e->policies[i]);
	for (size_t i = 0; r == 0 && i < e->n_namespaces; i++)
		r = ns_make(s, below, e->namespaces[i], depth - 1);
	return r;
}

int apparmor_restore(struct session *s)
{
	struct apparmor *a = state(s);
	own_image struct image img = { 0 };
	ApparmorEntry *e = NULL;
	int r = a->restored ? 1 : image_open(s, &img, MAGIC_APPARMOR, "apparmor.img");

	a->restored = true;
	if (r)
		return r < 0 ? r : 0;
	r = image_read(&img, &apparmor_entry__descriptor, (ProtobufCMessage **)&e);
	if (r <= 0)
		return r;
	r = policy_open(s);
	for (size_t i = 0; r == 0 && i < e->n_namespaces; i++)
		r = ns_make(s, "", e->namespaces[i], NESTED_MAX);
	apparmor_entry__free_unpacked(e, NULL);
	return r;
}
