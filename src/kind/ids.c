// SPDX-License-Identifier: Apache-2.0
/*
 * Kernel: user_namespaces(7); setfsuid(2): with SECBIT_NO_SETUID_FIXUP it takes no capabilities away; a
 * change of it resets dumpable and the parent death signal.
 */
#include "kind/ids.h"

#include "base/res.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

struct extent {
	uint32_t in, out, count;
};
struct ids_map {
	struct extent *v;
	size_t n;
};
struct ids_nested {
	uint32_t up;
	bool fixed;
	struct ids_map uid, gid;
};
struct ids {
	bool mapped, fixed;
	struct ids_map uid, gid;
	bool assumed;
	uint32_t fsuid, fsgid; /* ours, while assumed */
};

#define NESTED "ids nested" /* id to struct ids_nested */

static void nested_forget(struct session *s);

static struct ids *state(struct session *s)
{
	struct map *m = session_map(s, "ids");
	struct ids *i = map_get(m, 0);

	if (!i) {
		i = xalloc(sizeof(*i));
		map_put(m, 0, i);
	}
	return i;
}

static void map_copy(struct ids_map *to, size_t n, UidGidExtent *const *from)
{
	free(to->v);
	to->v = xalloc((n + 1) * sizeof(*to->v));
	to->n = n;
	for (size_t i = 0; i < n; i++)
		to->v[i] = (struct extent){ from[i]->first, from[i]->lower_first, from[i]->count };
}

void ids_use(struct session *s, const UsernsEntry *maps)
{
	struct ids *i = state(s);

	if (!maps)
		nested_forget(s);
	i->mapped = maps;
	i->fixed = maps && maps->has_setgroups_denied && maps->setgroups_denied;
	map_copy(&i->uid, maps ? maps->n_uid_map : 0, maps ? maps->uid_map : NULL);
	map_copy(&i->gid, maps ? maps->n_gid_map : 0, maps ? maps->gid_map : NULL);
}

bool ids_mapped(struct session *s)
{
	return state(s)->mapped;
}

bool ids_groups_fixed(struct session *s)
{
	return state(s)->fixed;
}

static uint32_t map_in(const struct ids_map *m, uint32_t id)
{
	for (size_t i = 0; i < m->n; i++)
		if (id >= m->v[i].out && id - m->v[i].out < m->v[i].count)
			return m->v[i].in + (id - m->v[i].out);
	return ID_NONE;
}

static uint32_t map_out(const struct ids_map *m, uint32_t id)
{
	for (size_t i = 0; i < m->n; i++)
		if (id >= m->v[i].in && id - m->v[i].in < m->v[i].count)
			return m->v[i].out + (id - m->v[i].in);
	return ID_NONE;
}

uint32_t uid_in(struct session *s, uint32_t uid)
{
	return ids_mapped(s) ? map_in(&state(s)->uid, uid) : uid;
}

uint32_t gid_in(struct session *s, uint32_t gid)
{
	return ids_mapped(s) ? map_in(&state(s)->gid, gid) : gid;
}

bool ids_capable(int cap)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	return syscall(SYS_capget, &h, d) == 0 && d[cap / 32].effective >> cap % 32 & 1;
}

uint32_t uid_out(struct session *s, uint32_t uid)
{
	return ids_mapped(s) ? map_out(&state(s)->uid, uid) : uid;
}

uint32_t gid_out(struct session *s, uint32_t gid)
{
	return ids_mapped(s) ? map_out(&state(s)->gid, gid) : gid;
}

/* ---- nested ---- */

void ids_nest(struct session *s, uint32_t id, uint32_t up, const UsernsEntry *maps)
{
	struct ids_nested *n = xalloc(sizeof(*n));

	n->up = up;
	n->fixed = (maps->has_setgroups_denied && maps->setgroups_denied) || !maps->n_gid_map;
	map_copy(&n->uid, maps->n_uid_map, maps->uid_map);
	map_copy(&n->gid, maps->n_gid_map, maps->gid_map);
	map_put(session_map(s, NESTED), id, n);
}

static void nested_forget(struct session *s)
{
	struct map *m = session_map(s, NESTED);

	for (size_t i = 0; i < m->max; i++) {
		struct ids_nested *n = m->rows[i].value;

		if (!n)
			continue;
		free(n->uid.v);
		free(n->gid.v);
		free(n);
	}
	map_free(m);
	memset(m, 0, sizeof(*m));
}

uint32_t uid_nested(struct session *s, uint32_t id, uint32_t uid)
{
	const struct ids_nested *n = id ? map_get(session_map(s, NESTED), id) : NULL;

	uid = n ? uid_nested(s, n->up, uid) : uid;
	return n && uid != ID_NONE ? map_in(&n->uid, uid) : uid;
}

uint32_t gid_nested(struct session *s, uint32_t id, uint32_t gid)
{
	const struct ids_nested *n = id ? map_get(session_map(s, NESTED), id) : NULL;

	gid = n ? gid_nested(s, n->up, gid) : gid;
	return n && gid != ID_NONE ? map_in(&n->gid, gid) : gid;
}

bool ids_nested_fixed(struct session *s, uint32_t id)
{
	const struct ids_nested *n = id ? map_get(session_map(s, NESTED), id) : NULL;

	return n ? n->fixed : ids_groups_fixed(s);
}

static uint32_t map_first(const struct ids_map *m)
{
	return !m->n ? ID_NONE : map_out(m, 0) != ID_NONE ? 0 : m->v[0].in;
}

void ids_nested_root(struct session *s, uint32_t id, uint32_t *uid, uint32_t *gid)
{
	const struct ids_nested *n = id ? map_get(session_map(s, NESTED), id) : NULL;

	*uid = n ? map_first(&n->uid) : id ? ID_NONE : 0;
	*gid = n ? map_first(&n->gid) : id ? ID_NONE : 0;
}

/* Nobody's number stays what it was: without a namespace of their own, every number is somebody's. */
static int owner_set(struct session *s, uint32_t *uid, uint32_t *gid, uint32_t u, uint32_t g, int r,
		     const char *fmt, va_list ap)
{
	char what[300];

	if (ids_mapped(s) && (u == ID_NONE || g == ID_NONE)) {
		vsnprintf(what, sizeof(what), fmt, ap);
		return session_fail(s, r,
				    "%s: belongs to user %u and group %u, which the tasks' user namespace does not map; give it to one that it maps",
				    what, *uid, *gid);
	}
	*uid = u;
	*gid = g;
	return 0;
}

int owner_in(struct session *s, uint32_t *uid, uint32_t *gid, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = owner_set(s, uid, gid, uid_in(s, *uid), gid_in(s, *gid), -ENOTSUP, fmt, ap);
	va_end(ap);
	return r;
}

int owner_out(struct session *s, uint32_t *uid, uint32_t *gid, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = owner_set(s, uid, gid, uid_out(s, *uid), gid_out(s, *gid), -EBADMSG, fmt, ap);
	va_end(ap);
	return r;
}

int ids_give(struct session *s, int fd, uint32_t uid, uint32_t gid)
{
	uint32_t u = uid_out(s, uid), g = gid_out(s, gid);
	struct stat st;

	if (u == ID_NONE || g == ID_NONE)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	return (st.st_uid != u || st.st_gid != g) && fchown(fd, u, g) < 0 ? -errno : 0;
}

/* ---- as whom files are made ---- */

static int fsids_set(uint32_t uid, uint32_t gid)
{
	int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0), dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	int death = 0, r = 0;

	prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0);
	if (bits < 0 || prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
		return -errno;
	setfsgid(gid);
	setfsuid(uid);
	if ((uint32_t)setfsuid(-1) != uid || (uint32_t)setfsgid(-1) != gid)
		r = -EPERM;
	prctl(PR_SET_SECUREBITS, bits, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, dumpable == 1, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, death, 0, 0, 0);
	return r;
}

int ids_swap(uint32_t *uid, uint32_t *gid)
{
	uint32_t u = setfsuid(-1), g = setfsgid(-1);
	int r = u == *uid && g == *gid ? 0 : fsids_set(*uid, *gid);

	*uid = u;
	*gid = g;
	return r;
}

int ids_assume(struct session *s)
{
	struct ids *i = state(s);
	int r;

	if (!i->mapped || i->assumed)
		return 0;
	i->fsuid = setfsuid(-1);
	i->fsgid = setfsgid(-1);
	if (i->fsuid) /* for a user who is not root: files are to be what that one's are */
		return 0;
	r = fsids_set(uid_out(s, 0), gid_out(s, 0));
	if (r < 0)
		return session_fail(s, r, "user namespace: make files as its root");
	i->assumed = true;
	return 0;
}

/* The number in the root task's of one in a nested one. */
static uint32_t nested_out(struct session *s, uint32_t id, uint32_t v, bool group)
{
	const struct ids_nested *n = id ? map_get(session_map(s, NESTED), id) : NULL;

	if (!n || v == ID_NONE)
		return v;
	return nested_out(s, n->up, map_out(group ? &n->gid : &n->uid, v), group);
}

int ids_assume_nested(struct session *s, uint32_t id)
{
	struct ids *i = state(s);
	uint32_t uid, gid;
	int r;

	ids_nested_root(s, id, &uid, &gid);
	uid = nested_out(s, id, uid, false);
	gid = nested_out(s, id, gid, true);
	if (i->assumed || uid == ID_NONE || gid == ID_NONE)
		return 0;
	i->fsuid = setfsuid(-1);
	i->fsgid = setfsgid(-1);
	r = fsids_set(uid, gid);
	if (r < 0)
		return session_fail(s, r, "user namespace %u: make files as its root", id);
	i->assumed = true;
	return 0;
}

void ids_resign(struct session *s)
{
	struct ids *i = state(s);

	if (i->assumed)
		fsids_set(i->fsuid, i->fsgid);
	i->assumed = false;
}
