// SPDX-License-Identifier: Apache-2.0
/*
 * Cgroups at dump.
 *
 * Kept:   the set of every thread; below the directories of foreign sets: all directories, their owners,
 *         modes, extended attributes (cgroup-xattr.c) and known limits; that the container was found frozen.
 * Lost:   limits that are neither in the list of cgroup-hier.c nor in --cgroup-props, usage counters; of version 1
 *         devices that are denied where all others are allowed, and who waits for thresholds of memory
 *         (cgroup.event_control): the kernel shows neither.
 * Kernel: /proc/PID/task/TID/cgroup; paths as we see them. The root of a cgroup namespace is what a
 *         path lacks when it is read inside.
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

#include <dirent.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

#define DIRS_MAX 100000

struct cg_set {
	uint32_t id;
	char *text; /* of /proc/PID/cgroup */
	struct hiers h;
};

struct cg_dump {
	struct {
		struct cg_set **v;
		size_t n, max;
	} sets; /* [0] is our own */
	struct map by_tid; /* struct cg_set */
	struct map begins; /* id of a nested cgroup namespace: the set of its tops */
	const struct cg_set *root; /* the root task's */
	char *inside;	   /* the root task's text as read in its cgroup namespace, or NULL */
	unsigned dirs;
	bool frozen;
};

static struct cg_dump *state(struct session *s)
{
	return session_state(s, "cgroup", sizeof(struct cg_dump));
}

static bool ignored(const struct session *s)
{
	if (s->opts->has_manage_cgroups_mode)
		return s->opts->manage_cgroups_mode == CRIU_CG_MODE__IGNORE;
	return s->opts->has_manage_cgroups && !s->opts->manage_cgroups;
}

/* --cgroup-dump-controller: the others' hierarchies are left alone. */
static bool wanted(const struct session *s, const struct hier *h)
{
	for (size_t i = 0; i < s->opts->n_cgroup_dump_controller; i++) {
		const char *c = s->opts->cgroup_dump_controller[i];

		if (!strcmp(c, h->name) || !strcmp(c, hier_dir(h)) || (*c && hier_has(h, c)))
			return true;
	}
	return !s->opts->n_cgroup_dump_controller;
}

static int set_add(struct session *s, const char *text, struct cg_set **ret)
{
	struct cg_dump *d = state(s);
	struct cg_set *set;

	for (size_t i = 0; i < d->sets.n; i++)
		if (!strcmp(d->sets.v[i]->text, text)) {
			*ret = d->sets.v[i];
			return 0;
		}
	set = xalloc(sizeof(*set));
	set->text = xstrdup(text);
	set->id = d->sets.n + 1;
	*vec_add(&d->sets) = *ret = set;
	return hiers_parse(s, text, &set->h);
}

static int note_thread(struct session *s, const struct thread *t)
{
	own_mem char *text = NULL;
	struct cg_set *set;
	int r = text_readf(AT_FDCWD, &text, "/proc/%d/task/%d/cgroup", t->task->pid, thread_pid(t));

	if (r == -ENOENT && access("/proc/self/cgroup", F_OK) < 0)
		return 0; /* a kernel without */
	if (r < 0)
		return session_fail(s, r, "thread %d: read its cgroups", t->vtid);
	r = set_add(s, text, &set);
	if (r < 0)
		return r;
	map_put(&state(s)->by_tid, thread_pid(t), set);
	if (!state(s)->root)
		state(s)->root = set;
	return 0;
}

/* What the root task's cgroup namespace hides of its paths. */
static int note_inside(struct session *s, const struct task *root)
{
	own_fd int there = openat(root->proc, "ns/cgroup", O_RDONLY | O_CLOEXEC);
	own_fd int home = open("/proc/self/ns/cgroup", O_RDONLY | O_CLOEXEC);
	int r;

	if (!ns_is_own(s, CLONE_NEWCGROUP))
		return 0;
	if (there < 0 || home < 0 || setns(there, CLONE_NEWCGROUP) < 0)
		return session_fail(s, -errno, "task %d: enter its cgroup namespace", root->vpid);
	r = text_read(root->proc, "cgroup", &state(s)->inside, NULL);
	if (setns(home, CLONE_NEWCGROUP) < 0)
		return session_fail(s, -errno, "cgroup namespace: return to our own");
	return r < 0 ? session_fail(s, r, "task %d: read its cgroups", root->vpid) : 0;
}

/* Of the text of a task the lines with the tops of its namespace, which inside are "/". NULL: it is elsewhere */
static char *tops(const char *full, const char *inside)
{
	char *text = xalloc(strlen(full) + 2), *at = text;

	while (*full && *inside) {
		size_t n = strcspn(full, "\n"), m = strcspn(inside, "\n");
		const char *path = memchr(inside, ':', m), *end = full + n;

		path = path ? memchr(path + 1, ':', inside + m - path - 1) : NULL;
		m = path ? (size_t)(inside + m - path - 1) : 0;
		if (!m || m > n || text_starts(path + 1, "/..") || (m > 1 && memcmp(end - m, path + 1, m))) {
			free(text);
			return NULL;
		}
		if (m > 1)
			end -= m;
		at += sprintf(at, "%.*s%s\n", (int)(end - full), full, end[-1] == ':' ? "/" : "");
		full += n + (full[n] == '\n');
		inside = strchr(inside, '\n') ? strchr(inside, '\n') + 1 : "";
	}
	return text;
}

/* By a task of it that stands below its tops. */
static int tops_by_task(struct session *s, const struct task *k, int there, char **ret)
{
	own_fd int home = open("/proc/self/ns/cgroup", O_RDONLY | O_CLOEXEC);
	own_mem char *full = NULL, *inside = NULL;
	int r = text_read(k->proc, "cgroup", &full, NULL);

	if (r == 0 && (home < 0 || setns(there, CLONE_NEWCGROUP) < 0))
		r = -errno;
	if (r < 0)
		return session_fail(s, r, "task %d: enter its cgroup namespace", k->vpid);
	r = text_read(k->proc, "cgroup", &inside, NULL);
	if (setns(home, CLONE_NEWCGROUP) < 0)
		return session_fail(s, -errno, "cgroup namespace: return to our own");
	*ret = r == 0 ? tops(full, inside) : NULL;
	return r < 0 ? session_fail(s, r, "task %d: read its cgroups", k->vpid) : 0;
}

/* Where nested ones begin. */
static int note_nested(struct session *s)
{
	const struct ns *ns;
	int r = 0;

	for (size_t n = 0; r == 0 && (ns = ns_nested(s, CLONE_NEWCGROUP, n)); n++) {
		own_fd int there = ns->task ? openat(ns->task->proc, "ns/cgroup", O_RDONLY | O_CLOEXEC)
					    : fcntl(ns->fd, F_DUPFD_CLOEXEC, 3);
		own_mem char *text = NULL;
		struct cg_set *set;

		if (there < 0)
			return session_fail(s, -errno, "cgroup namespace %u: open it", ns->id);
		r = ns->task ? tops_by_task(s, ns->task, there, &text) : 0;
		if (r == 0 && !text)
			r = cgroup_tops(s, ns->id, there, state(s)->sets.v[0]->text, &text);
		r = r < 0 ? r : set_add(s, text, &set);
		if (r == 0)
			map_put(&state(s)->begins, ns->id, set);
	}
	return r;
}

int cgroup_preflight(struct session *s)
{
	const struct props *all;

	return ignored(s) ? 0 : cgroup_props(s, &all);
}

int cgroup_note(struct session *s, struct tree *tree)
{
	own_mem char *own = NULL;
	struct cg_set *set;
	int r = text_read(AT_FDCWD, "/proc/self/cgroup", &own, NULL);

	if (r == -ENOENT || ignored(s))
		return 0;
	r = r < 0 ? session_fail(s, r, "read our own cgroups") : set_add(s, own, &set);
	for (size_t i = 0; r == 0 && i < tree->n; i++)
		for (unsigned k = 0; r == 0 && k < tree->all[i]->n_threads; k++)
			if (tree->all[i]->state != TASK_DEAD)
				r = note_thread(s, &tree->all[i]->threads[k]);
	state(s)->frozen = warden_table(s)->was_frozen;
	if (r == 0)
		r = note_inside(s, tree->root);
	return r < 0 ? r : note_nested(s);
}

uint32_t cgroup_set(struct session *s, const struct thread *t)
{
	const struct cg_set *set = map_get(&state(s)->by_tid, thread_pid(t));

	return set ? set->id : 1;
}

/* ---- directories ---- */

/* Whose number has none inside (ID_NONE): the restore leaves what it finds. */
static CgroupPerms *perms_of(struct session *s, const struct stat *st)
{
	CgroupPerms *p = xalloc(sizeof(*p));

	cgroup_perms__init(p);
	p->mode = st->st_mode;
	p->uid = uid_in(s, st->st_uid);
	p->gid = gid_in(s, st->st_gid);
	return p;
}

static void prop_add(struct session *s, CgroupDirEntry *e, const char *name, const char *value, const struct stat *st)
{
	CgroupPropEntry *p = xalloc(sizeof(*p));

	cgroup_prop_entry__init(p);
	p->name = xstrdup(name);
	p->value = xstrdup(value);
	p->perms = perms_of(s, st);
	e->properties = xgrow(e->properties, (e->n_properties + 1) * sizeof(*e->properties));
	e->properties[e->n_properties++] = p;
}

/* "oom_kill_disable 0\nunder_oom 0..." becomes "0" */
static void oom_value(char *text)
{
	char *p = strchr(text, ' ');

	if (p)
		memmove(text, p + 1, strlen(p));
	text[strcspn(text, "\n")] = 0;
}

static void prop_read(struct session *s, int dir, const struct prop_name *p, CgroupDirEntry *e)
{
	bool perms = p->how == PROP_PERMS;
	own_fd int fd = openat(dir, p->name, (perms ? O_PATH : O_RDONLY) | O_CLOEXEC);
	own_mem char *text = NULL;
	struct stat st;
	size_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	if (perms)
		text = xstrdup("");
	else if (text_read_fd(fd, &text, NULL) < 0)
		return; /* some cannot be read in some states */
	if (!strcmp(p->name, "memory.oom_control"))
		oom_value(text);
	n = strlen(text);
	if (n && text[n - 1] == '\n')
		text[n - 1] = 0;
	prop_add(s, e, p->name, text, &st);
}

static void props_read(struct session *s, int dir, const struct hier *h, CgroupDirEntry *e)
{
	const struct props *all;

	if (cgroup_props(s, &all) < 0)
		return;
	for (const struct prop_name *p = all->v; p < all->v + all->n; p++)
		if (p->v2 == !*h->name && (!p->controller || p->v2 || hier_has(h, p->controller)))
			prop_read(s, dir, p, e);
}

/* A directory and all below it. */
static int dir_read(struct session *s, const struct hier *h, int at, const char *path, const char *name,
		    CgroupDirEntry **ret)
{
	CgroupDirEntry *e = xalloc(sizeof(*e));
	own_fd int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	own_fd int list = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	own_dir DIR *d = list < 0 ? NULL : fdopendir(list);
	struct dirent *de;
	struct stat st;
	int r = 0;

	cgroup_dir_entry__init(e);
	e->dir_name = xstrdup(name);
	*ret = e;
	if (!d || fstat(fd, &st) < 0)
		return session_fail(s, -errno, "cgroup %s of hierarchy \"%s\": open", path, h->name);
	take_fd(list);
	if (++state(s)->dirs > DIRS_MAX)
		return session_fail(s, -E2BIG, "cgroup %s: more than %d directories", path, DIRS_MAX);
	e->dir_perms = perms_of(s, &st);
	props_read(s, fd, h, e);
	cgroup_xattrs_dump(s, fd, e);
	if (!*h->name)
		r = cgroup_bpf_dump(s, fd, e);
	while (r == 0 && (de = readdir(d))) {
		if (de->d_type != DT_DIR || de->d_name[0] == '.')
			continue;
		e->children = xgrow(e->children, (e->n_children + 1) * sizeof(*e->children));
		r = dir_read(s, h, fd, de->d_name, de->d_name, &e->children[e->n_children]);
		e->n_children++;
	}
	return r;
}

static bool below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return !strncmp(path, top, n) && (!path[n] || path[n] == '/');
}

static int dir_add(struct session *s, struct hier *own, CgControllerEntry *c, const char *path)
{
	int r = hier_open(s, own);

	if (r < 0)
		return r;
	c->dirs = xgrow(c->dirs, (c->n_dirs + 1) * sizeof(*c->dirs));
	r = dir_read(s, own, own->fd, path + 1, path + 1, &c->dirs[c->n_dirs]);
	c->n_dirs++;
	return r;
}

/* How much of the root task's path in a hierarchy its cgroup namespace hides; 0: none of it */
static size_t hidden(struct session *s, const char *name)
{
	const struct cg_dump *d = state(s);
	struct hiers inside = { 0 };
	const struct hier *root = d->root ? hiers_find(&d->root->h, name) : NULL, *in;
	size_t n = root ? strlen(root->own) : 0, k = 0;

	if (!d->inside || !root || hiers_parse(s, d->inside, &inside) < 0)
		return 0;
	in = hiers_find(&inside, name);
	k = in && strcmp(in->own, "/") ? strlen(in->own) : 0;
	/* "/a/b" read as "/b" inside: the namespace begins at "/a" */
	n = in && n > k && !strcmp(root->own + n - k, k ? in->own : "") ? n - k : 0;
	hiers_free(&inside);
	return n;
}

/* --cgroup-root of the caller, or where the cgroup namespace begins; owned by the caller, NULL if neither */
static char *top_of(struct session *s, const struct hier *h)
{
	const struct hier *root = state(s)->root ? hiers_find(&state(s)->root->h, h->name) : NULL;
	const char *asked = hier_root(s, h);
	size_t n = hidden(s, h->name);

	if (asked && asked[0] == '/' && asked[1])
		return xstrdup(asked);
	return n ? xprintf("%.*s", (int)n, root->own) : NULL;
}

/*
 * Directories of one hierarchy in which a foreign set stands; none that holds another of them. Below the
 * container's top all of them, those without tasks too.
 */
static int hier_read(struct session *s, struct hier *own, CgControllerEntry *c)
{
	struct cg_dump *d = state(s);
	own_mem char *top = top_of(s, own);
	bool top_done = false;
	int r = 0;

	for (size_t i = 1; r == 0 && i < d->sets.n; i++) {
		const struct hier *h = hiers_find(&d->sets.v[i]->h, own->name);
		bool seen = false;

		/* where we are too, or in the top, nothing is the container's own */
		if (!h || !strcmp(h->own, own->own) || !strcmp(h->own, "/"))
			continue;
		if (top && below(h->own, top) && !below(own->own, top)) {
			if (!top_done)
				r = dir_add(s, own, c, top);
			top_done = true;
			continue;
		}
		for (size_t k = 1; k < d->sets.n; k++) {
			const struct hier *o = hiers_find(&d->sets.v[k]->h, own->name);

			seen |= k != i && o && strcmp(o->own, "/") && strcmp(o->own, own->own) &&
				below(h->own, o->own) && (strcmp(h->own, o->own) || k < i);
		}
		if (!seen)
			r = dir_add(s, own, c, h->own);
	}
	return r;
}

/* The freezer's state on the container's top directory, as found. */
static int add_frozen(struct session *s, const struct hier *own, CgControllerEntry *c)
{
	struct stat st = { .st_mode = S_IFREG | 0644 };

	if (!state(s)->frozen || !c->n_dirs)
		return 0;
	if (hier_has(own, "freezer") && warden_table(s)->freezer == FREEZER_V1)
		prop_add(s, c->dirs[0], "freezer.state", "FROZEN", &st);
	else if (!*own->name && warden_table(s)->freezer == FREEZER_V2)
		prop_add(s, c->dirs[0], "cgroup.freeze", "1", &st);
	return 0;
}

static int controller_read(struct session *s, struct hier *own, CgControllerEntry **ret)
{
	CgControllerEntry *c = xalloc(sizeof(*c));
	own_mem char *copy = xstrdup(own->name);
	char *save = NULL, *o = strtok_r(copy, ",", &save);
	int r;

	cg_controller_entry__init(c);
	*ret = c;
	do {
		c->cnames = xgrow(c->cnames, (c->n_cnames + 1) * sizeof(*c->cnames));
		c->cnames[c->n_cnames++] = xstrdup(o ? o : "");
	} while (o && (o = strtok_r(NULL, ",", &save)));
	c->has_is_threaded = c->is_threaded = *own->name != 0;
	r = hier_read(s, own, c);
	return r < 0 ? r : add_frozen(s, own, c);
}

/* ---- sets ---- */

static int member_cmp(const void *a, const void *b)
{
	return strcmp((*(CgMemberEntry *const *)a)->name, (*(CgMemberEntry *const *)b)->name);
}

static CgSetEntry *set_entry(struct session *s, const struct cg_set *set)
{
	CgSetEntry *e = xalloc(sizeof(*e));

	cg_set_entry__init(e);
	e->id = set->id;
	e->ctls = xalloc((set->h.n + 1) * sizeof(*e->ctls));
	for (size_t i = 0; i < set->h.n; i++) {
		CgMemberEntry *m;
		size_t n = hidden(s, set->h.v[i].name);

		if (!wanted(s, &set->h.v[i]))
			continue;
		m = xalloc(sizeof(*m));
		cg_member_entry__init(m);
		m->name = xstrdup(set->h.v[i].name);
		m->path = xstrdup(set->h.v[i].own);
		m->has_cgns_prefix = n > 0;
		m->cgns_prefix = n <= strlen(m->path) ? n : 0;
		e->ctls[e->n_ctls++] = m;
	}
	qsort(e->ctls, e->n_ctls, sizeof(*e->ctls), member_cmp);
	return e;
}

static void namespaces_put(const struct cg_dump *d, CgroupEntry *e)
{
	e->namespaces = xalloc((d->begins.max + 1) * sizeof(*e->namespaces));
	for (size_t i = 0; i < d->begins.max; i++) {
		const struct cg_set *set = d->begins.rows[i].value;
		CgNsEntry *n;

		if (!set)
			continue;
		n = xalloc(sizeof(*n));
		cg_ns_entry__init(n);
		n->ns_id = d->begins.rows[i].key;
		n->set = set->id;
		e->namespaces[e->n_namespaces++] = n;
	}
}

int cgroup_dump(struct session *s)
{
	struct cg_dump *d = state(s);
	CgroupEntry *e;
	int r = 0;

	if (d->sets.n < 2)
		return 0;
	e = xalloc(sizeof(*e));
	cgroup_entry__init(e);
	e->sets = xalloc(d->sets.n * sizeof(*e->sets));
	for (size_t i = 1; i < d->sets.n; i++)
		e->sets[e->n_sets++] = set_entry(s, d->sets.v[i]);
	namespaces_put(d, e);
	e->controllers = xalloc((d->sets.v[0]->h.n + 1) * sizeof(*e->controllers));
	for (size_t i = 0; r == 0 && i < d->sets.v[0]->h.n; i++)
		if (wanted(s, &d->sets.v[0]->h.v[i]))
			r = controller_read(s, &d->sets.v[0]->h.v[i], &e->controllers[e->n_controllers++]);
	if (r == 0)
		r = image_write_one(s, MAGIC_CGROUP, &e->base, "cgroup.img");
	cgroup_entry__free_unpacked(e, NULL);
	return r;
}
