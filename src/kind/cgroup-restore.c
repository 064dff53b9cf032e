// SPDX-License-Identifier: Apache-2.0
/*
 * Cgroups at restore. Tasks of the dumper's own set stay where the restorer is; the others go to the
 * paths of their sets, of which --cgroup-root may replace the part that was the root task's.
 *
 * Modes (--manage-cgroups): none, props: directories must exist; soft (default): missing ones are made
 * and get their limits; full: existing ones get them too; strict: none may exist; ignore: nothing.
 * Only the limits named in cgroup-hier.c and in --cgroup-props are written: an image cannot name other files.
 */
#include "kind/cgroup.h"

#include "base/list.h"
#include "base/text.h"
#include "image/record.h"
#include "images/cgroup.pb-c.h"
#include "kind/cgroup-props.h"
#include "kind/ids.h"
#include "kind/ns.h"
#include "task/warden.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_DEPTH 64

/* a directory of the image on this host */
struct cg_dir {
	struct hier *h;
	const CgroupDirEntry *e;
	char *path;   /* below the hierarchy's root, without leading '/'; "" is the root */
	bool made;    /* by us */
};

struct cg_restore {
	CgroupEntry *e;
	struct hiers h; /* of this host */
	uint32_t root_set;
	CriuCgMode mode;
	struct {
		struct cg_dir *v;
		size_t n, max;
	} dirs;
	const struct props *props;
	struct session *s;
};

static struct cg_restore *state(struct session *s)
{
	return session_state(s, "cgroup restore", sizeof(struct cg_restore));
}

static CriuCgMode mode_of(const struct session *s)
{
	CriuCgMode m = s->opts->has_manage_cgroups && !s->opts->manage_cgroups ? CRIU_CG_MODE__IGNORE
									      : CRIU_CG_MODE__SOFT;

	if (s->opts->has_manage_cgroups_mode)
		m = s->opts->manage_cgroups_mode;
	return m == CRIU_CG_MODE__DEFAULT ? CRIU_CG_MODE__SOFT : m;
}

/* ---- reading ---- */

static const CgSetEntry *set_find(const struct cg_restore *c, uint32_t id)
{
	for (size_t i = 0; c->e && i < c->e->n_sets; i++)
		if (c->e->sets[i]->id == id)
			return c->e->sets[i];
	return NULL;
}

static uint32_t set_of(const struct cg_restore *c, const struct thread *t)
{
	const CoreEntry *core = t->core, *lead = task_leader(t->task)->core;

	if (core->thread_core && core->thread_core->has_cg_set)
		return core->thread_core->cg_set;
	if (lead->thread_core && lead->thread_core->has_cg_set)
		return lead->thread_core->cg_set;
	if (lead->tc && lead->tc->has_cg_set)
		return lead->tc->cg_set;
	return c->root_set;
}

/* A path from an image leads downwards only. */
static bool path_sane(const char *p)
{
	if (strlen(p) >= 4096)
		return false;
	for (const char *w = p; w; w = strchr(w, '/') ? strchr(w, '/') + 1 : NULL)
		if (!strncmp(w, "..", 2) && (!w[2] || w[2] == '/'))
			return false;
	return true;
}

static int check_dir(struct session *s, const CgroupDirEntry *e, unsigned depth)
{
	int r = 0;

	if (depth > PATH_DEPTH || !path_sane(e->dir_name))
		return session_fail(s, -EBADMSG, "cgroup.img: the directory %.100s is out of range",
				    e->dir_name);
	for (size_t i = 0; i < e->n_properties; i++)
		if (strlen(e->properties[i]->value) > 65536)
			return session_fail(s, -EBADMSG, "cgroup.img: %.100s: too long",
					    e->properties[i]->name);
	for (size_t i = 0; r == 0 && i < e->n_children; i++)
		r = check_dir(s, e->children[i], depth + 1);
	return r;
}

static int check_sets(struct session *s, const struct cg_restore *c, const struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		for (unsigned k = 0; k < tree->all[i]->n_threads; k++) {
			uint32_t id = set_of(c, &tree->all[i]->threads[k]);

			if (tree->all[i]->state != TASK_DEAD && id != c->root_set && !set_find(c, id))
				return session_fail(s, -EBADMSG, "cgroup.img: lacks set %u of task %d", id,
						    tree->all[i]->vpid);
		}
	for (size_t i = 0; i < c->e->n_sets; i++)
		for (size_t k = 0; k < c->e->sets[i]->n_ctls; k++) {
			const CgMemberEntry *m = c->e->sets[i]->ctls[k];

			if (!path_sane(m->path) || m->path[0] != '/' ||
			    (m->has_cgns_prefix && m->cgns_prefix > strlen(m->path)))
				return session_fail(s, -EBADMSG, "cgroup.img: set %u has a damaged path",
						    c->e->sets[i]->id);
		}
	return 0;
}

int cgroup_read(struct session *s, struct tree *tree, uint32_t root_set)
{
	struct cg_restore *c = state(s);
	own_image struct image img = { .fd = -1 };
	own_mem char *text = NULL;
	int r;

	c->mode = mode_of(s);
	c->root_set = root_set;
	c->s = s;
	if (c->mode == CRIU_CG_MODE__IGNORE)
		return 0;
	r = cgroup_props(s, &c->props);
	if (r == 0)
		r = image_open(s, &img, MAGIC_CGROUP, "cgroup.img");
	if (r == 0)
		r = image_read(&img, &cgroup_entry__descriptor, (ProtobufCMessage **)&c->e);
	if (r < 0 || !c->e)
		return r < 0 ? r : 0;
	for (size_t i = 0; r >= 0 && i < c->e->n_controllers; i++)
		for (size_t k = 0; r >= 0 && k < c->e->controllers[i]->n_dirs; k++)
			r = check_dir(s, c->e->controllers[i]->dirs[k], 0);
	if (r >= 0)
		r = check_sets(s, c, tree);
	if (r == 0)
		r = text_read(AT_FDCWD, "/proc/self/cgroup", &text, NULL);
	return r < 0 ? session_fail(s, r, "read our own cgroups") : hiers_parse(s, text, &c->h);
}

/* ---- paths of this host ---- */

static const char *member_path(const CgSetEntry *set, const char *name)
{
	for (size_t i = 0; set && i < set->n_ctls; i++)
		if (!strcmp(set->ctls[i]->name, name))
			return set->ctls[i]->path;
	return NULL;
}

static struct hier *hier_for(struct cg_restore *c, const CgControllerEntry *ctl)
{
	for (size_t i = 0; i < c->h.n; i++) {
		bool all = true;

		for (size_t k = 0; k < ctl->n_cnames; k++)
			all &= *ctl->cnames[k] ? hier_has(&c->h.v[i], ctl->cnames[k])
					       : !*c->h.v[i].name;
		if (all && ctl->n_cnames)
			return &c->h.v[i];
	}
	return NULL;
}

/* How long the part of the root task's path is that was the container's top: its cgroup namespace, or what was dumped. */
static size_t old_root(struct cg_restore *c, const CgSetEntry *set, const struct hier *h)
{
	const char *path = member_path(set, h->name);

	for (size_t i = 0; set && i < set->n_ctls; i++)
		if (!strcmp(set->ctls[i]->name, h->name) && set->ctls[i]->has_cgns_prefix)
			return set->ctls[i]->cgns_prefix;
	for (size_t i = 0; path && i < c->e->n_controllers; i++) {
		const CgControllerEntry *ctl = c->e->controllers[i];

		for (size_t k = 0; hier_for(c, ctl) == h && k < ctl->n_dirs; k++) {
			size_t n = strlen(ctl->dirs[k]->dir_name);

			if (n && !strncmp(path + 1, ctl->dirs[k]->dir_name, n) && (!path[n + 1] || path[n + 1] == '/'))
				return n + 1;
		}
	}
	return path ? strlen(path) : 0;
}

/* A path of the image on this host, without leading '/'; owned by the caller. */
static char *path_here(struct session *s, const struct task *root, const struct hier *h, const char *path)
{
	struct cg_restore *c = state(s);
	const CgSetEntry *set = set_find(c, set_of(c, task_leader(root)));
	const char *old = member_path(set, h->name), *new = hier_root(s, h);
	size_t n = old_root(c, set, h);
	char *p;

	if (new && old && n > 1 && !strncmp(path, old, n) && (!path[n] || path[n] == '/'))
		p = xprintf("%s%s%s", *new == '/' ? "" : "/", new, path + n);
	else
		p = xstrdup(path);
	memmove(p, p + strspn(p, "/"), strlen(p + strspn(p, "/")) + 1);
	n = strlen(p);
	if (n && p[n - 1] == '/')
		p[n - 1] = 0;
	return p;
}

/* ---- directories ---- */

static void undo_dirs(void *arg)
{
	struct cg_restore *c = arg;

	for (size_t i = c->dirs.n; i-- > 0;)
		if (c->dirs.v[i].made)
			unlinkat(c->dirs.v[i].h->fd, c->dirs.v[i].path, AT_REMOVEDIR);
}

static void set_perms(struct session *s, int at, const char *path, const CgroupPerms *p)
{
	if (!p)
		return;
	if (fchownat(at, path, uid_out(s, p->uid), gid_out(s, p->gid), 0) == 0)
		fchmodat(at, path, p->mode & 07777, 0);
}

/* One level; *made tells whether it was not there. */
static int dir_make(struct session *s, struct hier *h, const char *path, bool *made)
{
	struct cg_restore *c = state(s);
	int r = 0;

	*made = false;
	if (!*path || faccessat(h->fd, path, F_OK, 0) == 0) {
		if (*path && c->mode == CRIU_CG_MODE__STRICT)
			return session_fail(s, -EEXIST,
					    "cgroup %s of hierarchy \"%s\": exists already, which --manage-cgroups=strict forbids",
					    path, h->name);
		return 0;
	}
	if (c->mode == CRIU_CG_MODE__CG_NONE || c->mode == CRIU_CG_MODE__PROPS)
		return session_fail(s, -ENOENT,
				    "cgroup %s of hierarchy \"%s\": is missing; make it, or use --manage-cgroups=soft",
				    path, h->name);
	if (mkdirat(h->fd, path, 0755) < 0)
		return session_fail(s, -errno, "cgroup %s of hierarchy \"%s\": make it", path, h->name);
	*made = true;
	if (h->path) {
		own_mem char *full = xprintf("%s/%s", h->path, path);

		r = warden_undo_rmdir(s, full);
	}
	return r;
}

static struct cg_dir *dir_add(struct cg_restore *c, struct hier *h, const char *path, bool made)
{
	struct cg_dir *d = vec_add(&c->dirs);

	*d = (struct cg_dir){ h, NULL, xstrdup(path), made };
	return d;
}

/* cpuset directories take nobody in before they have CPUs and memory nodes. */
static void cpuset_inherit(const struct hier *h, const char *path)
{
	static const char *const names[] = { "cpuset.cpus", "cpuset.mems" };
	const char *slash = strrchr(path, '/');

	if (!hier_has(h, "cpuset"))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		own_mem char *up = xprintf("%.*s%s%s", slash ? (int)(slash - path) : 0, path,
					   slash ? "/" : "", names[i]);
		own_mem char *to = xprintf("%s/%s", path, names[i]), *text = NULL;

		if (text_read(h->fd, up, &text, NULL) == 0)
			text_write(h->fd, to, text);
	}
}

/* All levels of a path that are missing. */
static int path_make(struct session *s, struct hier *h, const char *path)
{
	own_mem char *part = xstrdup(path);
	int r = hier_open(s, h);

	for (char *p = part; r == 0 && *p;) {
		char *slash = strchr(p, '/');
		bool made;

		if (slash)
			*slash = 0;
		if (slash && faccessat(h->fd, part, F_OK, 0) == 0) {
			made = false;
		} else {
			bool known = false;

			for (size_t i = 0; i < state(s)->dirs.n; i++)
				known |= state(s)->dirs.v[i].h == h && !strcmp(state(s)->dirs.v[i].path, part);
			r = known ? 0 : dir_make(s, h, part, &made);
			if (r == 0 && !known) {
				dir_add(state(s), h, part, made);
				if (made)
					cpuset_inherit(h, part);
			}
		}
		if (!slash)
			break;
		*slash = '/';
		p = slash + 1;
	}
	return r;
}

/* What is so before anybody sets it: that it cannot be set is nothing to tell. */
static bool unlimited(const char *value)
{
	static const char *const none[] = { "", "max", "0", "100", "default 100", "9223372036854771712" /* no limit */ };

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		if (!strcmp(value, none[i]))
			return true;
	return false;
}

static void value_write(struct session *s, const struct cg_dir *d, const char *name, const char *value)
{
	own_mem char *path = xprintf("%s%s%s", d->path, *d->path ? "/" : "", name);
	int r = text_write(d->h->fd, path, value);

	if (r == -ENOENT && !*d->h->name && !unlimited(value))
		session_warn(s, "cgroup %s: %s is not set to %.60s: this kernel has it not, or the cgroup above does not give it (cgroup.subtree_control)",
			     d->path, name, value);
	else if (r < 0 && r != -ENOENT)
		session_warn(s, "cgroup %s: set %s to %.60s: %s", d->path, name, value, strerror(-r));
}

static void prop_write(struct session *s, const struct cg_dir *d, const CgroupPropEntry *p, enum prop_how how)
{
	own_mem char *path = xprintf("%s%s%s", d->path, *d->path ? "/" : "", p->name);
	own_mem char *old = NULL, *want = xprintf("%s\n", p->value), *copy = xstrdup(p->value);
	char *save = NULL;

	if (text_read(d->h->fd, path, &old, NULL) == 0 && !strcmp(old, want))
		return;
	if (how == PROP_VALUE)
		value_write(s, d, p->name, p->value);
	else
		for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
			value_write(s, d, p->name, l);
}

/* "a *:* rwm" lines: what is not listed is denied */
static void devices_write(struct session *s, const struct cg_dir *d, const char *value)
{
	own_mem char *copy = xstrdup(value), *deny = xprintf("%s/devices.deny", d->path);
	own_mem char *allow = xprintf("%s/devices.allow", d->path);
	char *save = NULL;

	if (text_write(d->h->fd, deny, "a") < 0)
		return;
	for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		if (text_write(d->h->fd, allow, l) < 0)
			session_warn(s, "cgroup %s: allow device %.60s", d->path, l);
}

/* "cpu memory" is written as "+cpu +memory" */
static void subtree_write(struct session *s, const struct cg_dir *d, const char *value)
{
	own_mem char *copy = xstrdup(value), *path = xprintf("%s/cgroup.subtree_control", d->path);
	char *save = NULL;

	for (char *w = strtok_r(copy, " \n", &save); w; w = strtok_r(NULL, " \n", &save)) {
		own_mem char *plus = xprintf("+%s", w);

		if (text_write(d->h->fd, path, plus) < 0)
			session_warn(s, "cgroup %s: controller %.30s cannot be given to its children",
				     d->path, w);
	}
}

/*
 * Directories above the container's, which no image describes, give it the controllers that it had, where we made
 * them: those of others are left alone.
 */
static void controllers_above(struct session *s, const struct cg_dir *d)
{
	struct cg_restore *c = state(s);

	for (size_t i = 0; d->e && i < d->e->n_properties; i++) {
		const char *name = d->e->properties[i]->name;
		own_mem char *file = xprintf("%s/%s", d->path, name), *one = xprintf("%.*s", (int)strcspn(name, "."), name);

		if (!strcmp(one, "cgroup") || faccessat(d->h->fd, file, F_OK, 0) == 0)
			continue;
		for (size_t k = 0; k < c->dirs.n; k++) {
			const struct cg_dir *up = &c->dirs.v[k];
			size_t n = strlen(up->path);

			if (up->h == d->h && up->made && !up->e && !strncmp(up->path, d->path, n) && d->path[n] == '/')
				subtree_write(s, up, one);
		}
	}
}

/* A dump with --cgroup-props keeps more than we may set unasked. */
static void prop_unasked(struct session *s, const struct cg_dir *d, const char *name, enum prop_when when)
{
	if (when == PROP_LATE && strcmp(name, "freezer.state") && strcmp(name, "cgroup.freeze"))
		session_warn(s, "cgroup %s: %.60s is not set; name it in --cgroup-props at the restore, too", d->path, name);
}

static void prop_set(struct session *s, const struct cg_dir *d, enum prop_how how, const CgroupPropEntry *p)
{
	switch (how) {
	case PROP_VALUE:
	case PROP_LINES:
		if (*p->value)
			prop_write(s, d, p, how);
		break;
	case PROP_DEVICES:
		devices_write(s, d, p->value);
		break;
	case PROP_SUBTREE:
		subtree_write(s, d, p->value);
		break;
	case PROP_PERMS:
		break;
	}
}

static void dir_props(struct session *s, const struct cg_dir *d, enum prop_when when)
{
	for (size_t i = 0; d->e && i < d->e->n_properties; i++) {
		const CgroupPropEntry *p = d->e->properties[i];
		const struct prop_name *n = props_find(state(s)->props, p->name);

		if (!n)
			prop_unasked(s, d, p->name, when);
		if (!n || n->when != when)
			continue;
		prop_set(s, d, n->how, p);
		if (p->perms && d->made) {
			own_mem char *path = xprintf("%s/%s", d->path, p->name);

			set_perms(s, d->h->fd, path, p->perms);
		}
	}
}

static bool props_wanted(const struct cg_restore *c, const struct cg_dir *d)
{
	return d->made || c->mode == CRIU_CG_MODE__FULL || c->mode == CRIU_CG_MODE__PROPS;
}

static struct cg_dir *dir_find(struct cg_restore *c, const struct hier *h, const char *path)
{
	for (size_t i = 0; i < c->dirs.n; i++)
		if (c->dirs.v[i].h == h && !strcmp(c->dirs.v[i].path, path))
			return &c->dirs.v[i];
	return NULL;
}

static int dir_tree(struct session *s, struct hier *h, const CgroupDirEntry *e, const char *path)
{
	struct cg_restore *c = state(s);
	int r = path_make(s, h, path);
	struct cg_dir *d = r < 0 ? NULL : dir_find(c, h, path);

	if (r < 0)
		return r;
	if (!d)
		d = dir_add(c, h, path, false);
	d->e = e;
	if (d->made) {
		set_perms(s, h->fd, path, e->dir_perms);
		cgroup_xattrs_set(s, h, path, e);
	}
	if (props_wanted(c, d))
		dir_props(s, d, PROP_EARLY);
	for (size_t i = 0; r == 0 && i < e->n_children; i++) {
		own_mem char *sub = xprintf("%s/%s", path, e->children[i]->dir_name);

		if (strchr(e->children[i]->dir_name, '/') || !*e->children[i]->dir_name)
			return session_fail(s, -EBADMSG, "cgroup.img: a directory below %s is damaged", path);
		r = dir_tree(s, h, e->children[i], sub);
	}
	return r;
}

static int dirs_make(struct session *s, const struct task *root)
{
	struct cg_restore *c = state(s);
	int r = 0;

	session_undo(s, undo_dirs, c);
	for (size_t i = 0; r == 0 && i < c->e->n_controllers; i++) {
		const CgControllerEntry *ctl = c->e->controllers[i];
		struct hier *h = ctl->n_dirs ? hier_for(c, ctl) : NULL;

		if (ctl->n_dirs && !h)
			return session_fail(s, -ENOENT,
					    "cgroup controller %s: is not there on this host; use --manage-cgroups=ignore to do without",
					    ctl->n_cnames ? ctl->cnames[0] : "?");
		for (size_t k = 0; r == 0 && k < ctl->n_dirs; k++) {
			own_mem char *full = xprintf("/%s", ctl->dirs[k]->dir_name);
			own_mem char *path = path_here(s, root, h, full);

			if (*path) /* the top itself belongs to the host */
				r = dir_tree(s, h, ctl->dirs[k], path);
		}
	}
	return r;
}

/* ---- tasks ---- */

/* file: cgroup.procs for processes, tasks for threads of v1, cgroup.threads of v2 */
static int write_in(struct session *s, struct hier *h, const char *path, pid_t pid, bool thread)
{
	own_mem char *text = xprintf("%d", pid);
	own_mem char *file = xprintf("%s%s%s", path, *path ? "/" : "",
				     !thread ? "cgroup.procs" : *h->name ? "tasks" : "cgroup.threads");
	int r = text_write(h->fd, file, text);

	return r < 0 ? session_fail(s, r, "cgroup /%s of hierarchy \"%s\": move task %d there", path, h->name, pid) : 0;
}

static int put_in(struct session *s, const struct task *root, const CgMemberEntry *m, const char *path,
		  pid_t pid, bool thread)
{
	struct cg_restore *c = state(s);
	struct hier *h = hiers_find(&c->h, m->name);
	own_mem char *here = NULL;
	int r;

	if (!h && !strcmp(path, "/"))
		return 0;
	if (!h)
		return session_fail(s, -ENOENT,
				    "cgroup hierarchy \"%s\": is not there on this host; use --manage-cgroups=ignore to do without",
				    m->name);
	here = path_here(s, root, h, path);
	if (!strcmp(here, h->own + 1) && pid == root->pid) /* where we are, so is the first task */
		return 0;
	r = path_make(s, h, here);
	return r < 0 ? r : write_in(s, h, here, pid, thread);
}

int cgroup_enter(struct session *s, struct task *root)
{
	struct cg_restore *c = state(s);
	const CgSetEntry *set;
	int r;

	if (!c->e)
		return 0;
	r = dirs_make(s, root);
	set = set_find(c, set_of(c, task_leader(root)));
	for (size_t i = 0; r == 0 && set && i < set->n_ctls; i++) {
		const CgMemberEntry *m = set->ctls[i];
		own_mem char *path = xstrdup(m->path);

		if (ns_is_own(s, CLONE_NEWCGROUP) && m->has_cgns_prefix)
			path[m->cgns_prefix] = 0;
		r = put_in(s, root, m, *path ? path : "/", root->pid, false);
	}
	return r;
}

int cgroup_begin(struct session *s, uint32_t ns_id)
{
	struct cg_restore *c = state(s);
	int r = 0;

	for (size_t i = 0; c->e && i < c->e->n_namespaces; i++) {
		const CgSetEntry *set = c->e->namespaces[i]->ns_id == ns_id ? set_find(c, c->e->namespaces[i]->set) : NULL;

		for (size_t k = 0; r == 0 && set && k < set->n_ctls; k++)
			r = put_in(s, s->tree->root, set->ctls[k], set->ctls[k]->path, 0, false);
	}
	return r;
}

/* It was where the dumper was, its parent was not: it goes where we are. */
static int place_home(struct session *s, const struct thread *t, const CgSetEntry *from)
{
	struct cg_restore *c = state(s);
	int r = 0;

	for (size_t i = 0; r == 0 && from && i < from->n_ctls; i++) {
		struct hier *h = hiers_find(&c->h, from->ctls[i]->name);

		r = h ? hier_open(s, h) : 0;
		if (r == 0 && h)
			r = write_in(s, h, h->own + 1, t->tid, t != task_leader(t->task));
	}
	return r;
}

/* Only where a member differs from what was inherited. */
static int place(struct session *s, const struct task *root, const struct thread *t, uint32_t from)
{
	struct cg_restore *c = state(s);
	uint32_t id = set_of(c, t);
	const CgSetEntry *set = set_find(c, id), *old = set_find(c, from);
	bool leader = t == task_leader(t->task), first = t->task == root && leader;
	int r = 0;

	if (id == from && (!first || !set)) /* no set: it was where the dumper was, and is where we are */
		return 0;
	if (!set)
		return place_home(s, t, old);
	for (size_t i = 0; r == 0 && i < set->n_ctls; i++) {
		const char *was = member_path(old, set->ctls[i]->name);

		if (first ? !(set->ctls[i]->has_cgns_prefix && set->ctls[i]->path[set->ctls[i]->cgns_prefix])
			  : was && !strcmp(was, set->ctls[i]->path))
			continue;
		r = put_in(s, root, set->ctls[i], set->ctls[i]->path, t->tid, !leader);
	}
	return r;
}

int cgroup_place(struct session *s, struct tree *tree)
{
	struct cg_restore *c = state(s);
	uint32_t root_set;
	int r = 0;

	if (!c->e)
		return 0;
	root_set = set_of(c, task_leader(tree->root));
	for (size_t i = 0; r == 0 && i < tree->n; i++) {
		const struct task *k = tree->all[i];
		/* everybody was born where the root task was */
		uint32_t lead = k->state == TASK_DEAD || k->helper ? 0 : set_of(c, task_leader(k));

		if (!lead)
			continue;
		if (lead != root_set || k == tree->root)
			r = place(s, tree->root, task_leader(k), root_set);
		for (unsigned t = 1; r == 0 && t < k->n_threads; t++)
			r = place(s, tree->root, &k->threads[t], lead);
	}
	for (size_t i = 0; r == 0 && i < c->dirs.n; i++) {
		const struct cg_dir *d = &c->dirs.v[i];

		if (d->made && !*d->h->name)
			controllers_above(s, d);
		if (props_wanted(c, d))
			dir_props(s, d, PROP_LATE);
	}
	return r;
}

int cgroup_attach(struct session *s)
{
	const struct cg_restore *c = state(s);
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->dirs.n; i++)
		if (c->dirs.v[i].made && c->dirs.v[i].e && !*c->dirs.v[i].h->name)
			r = cgroup_bpf_attach(s, c->dirs.v[i].h, c->dirs.v[i].path, c->dirs.v[i].e);
	return r;
}

/* We may have been put into the cgroup by who called us: freezing it would stop us, too. */
static bool we_are_in(const struct cg_dir *d)
{
	const char *own = d->h->own + (*d->h->own == '/');
	size_t n = strlen(d->path);

	return !n || (!strncmp(own, d->path, n) && (!own[n] || own[n] == '/'));
}

void cgroup_freeze(struct session *s)
{
	struct cg_restore *c = state(s);

	for (size_t i = 0; c->e && i < c->dirs.n; i++) {
		const struct cg_dir *d = &c->dirs.v[i];

		for (size_t k = 0; d->e && k < d->e->n_properties; k++) {
			const CgroupPropEntry *p = d->e->properties[k];

			if ((strcmp(p->name, "freezer.state") || strcmp(p->value, "FROZEN")) &&
			    (strcmp(p->name, "cgroup.freeze") || strcmp(p->value, "1")))
				continue;
			if (!props_wanted(c, d) || we_are_in(d))
				session_warn(s, "cgroup %s: was frozen when dumped; runs now: it %s", d->path,
					     we_are_in(d) ? "is our own, too" : "was there before");
			else
				value_write(s, d, p->name, p->value);
		}
	}
}
