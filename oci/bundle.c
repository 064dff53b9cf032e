// SPDX-License-Identifier: Apache-2.0
#include "oci/bundle.h"

#include "base/list.h"
#include "base/text.h"
#include "oci/mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>

#define NOTE_VERSION 1

struct exts {
	struct ext *v;
	size_t n, max;
};

static void exts_free(struct exts *e)
{
	for (size_t i = 0; i < e->n; i++) {
		free(e->v[i].key);
		free(e->v[i].val);
		free(e->v[i].source);
	}
	free(e->v);
}

void ext_mnt_add(CriuOpts *o, const char *key, const char *val)
{
	ExtMountMap *m = xalloc(sizeof(*m));

	ext_mount_map__init(m);
	m->key = xstrdup(key);
	m->val = xstrdup(val);
	o->ext_mnt = xgrow(o->ext_mnt, (o->n_ext_mnt + 1) * sizeof(*o->ext_mnt));
	o->ext_mnt[o->n_ext_mnt++] = m;
}

void external_add(CriuOpts *o, const char *text)
{
	o->external = xgrow(o->external, (o->n_external + 1) * sizeof(*o->external));
	o->external[o->n_external++] = xstrdup(text);
}

static void inherit_add(CriuOpts *o, const char *key, int fd)
{
	InheritFd *f = xalloc(sizeof(*f));

	inherit_fd__init(f);
	f->key = xstrdup(key);
	f->fd = fd;
	o->inherit_fd = xgrow(o->inherit_fd, (o->n_inherit_fd + 1) * sizeof(*o->inherit_fd));
	o->inherit_fd[o->n_inherit_fd++] = f;
}

static void join_add(CriuOpts *o, const char *ns, const char *path)
{
	JoinNamespace *j = xalloc(sizeof(*j));

	join_namespace__init(j);
	j->ns = xstrdup(ns);
	j->ns_file = xstrdup(path);
	o->join_ns = xgrow(o->join_ns, (o->n_join_ns + 1) * sizeof(*o->join_ns));
	o->join_ns[o->n_join_ns++] = j;
}

static bool ns_ours(pid_t pid, const char *ns)
{
	own_mem char *ours = xprintf("/proc/self/ns/%s", ns), *theirs = xprintf("/proc/%d/ns/%s", pid, ns);
	struct stat a, b;

	return stat(ours, &a) == 0 && stat(theirs, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* ---- mounts ---- */

static bool is_bind(yajl_val mount)
{
	const char *type = json_text(mount, "type");
	yajl_val options = json_get(mount, "options");

	for (size_t i = 0; i < json_n(options); i++) {
		const char *o = json_string(json_at(options, i));

		if (o && (!strcmp(o, "bind") || !strcmp(o, "rbind")))
			return true;
	}
	return type && !strcmp(type, "bind");
}

/* Id of the mount whose root is at path in the container, links resolved there; 0 if there is none. */
static unsigned mount_at(int root, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	own_fd int fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
	struct statx sx;

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0 ||
	    !(sx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return 0;
	return sx.stx_mnt_id;
}

/* sources[i]: from where the configuration takes mount i; owned */
static void configured(const struct container *c, yajl_val spec, const struct mounts *m, char **sources)
{
	own_mem char *path = xprintf("/proc/%d/root", c->pid);
	own_fd int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	yajl_val list = json_get(spec, "mounts");

	for (size_t i = 0; root >= 0 && i < json_n(list); i++) {
		yajl_val x = json_at(list, i);
		const char *at = json_text(x, "destination"), *from = json_text(x, "source");
		unsigned id = at && from && is_bind(x) ? mount_at(root, at) : 0;

		for (size_t k = 0; id && k < m->n; k++)
			if (m->v[k].id == id && !sources[k])
				sources[k] = *from == '/' ? xstrdup(from) :
							    xprintf("%s/%s", c->bundle ? c->bundle : "", from);
	}
}

static bool masked(yajl_val spec, const struct mount_line *x)
{
	yajl_val list = json_get(json_get(spec, "linux"), "maskedPaths");
	const char *last = strrchr(x->root, '/');

	for (size_t i = 0; last && !strcmp(last, "/null") && i < json_n(list); i++) {
		const char *p = json_string(json_at(list, i));

		if (p && !strcmp(p, x->at))
			return true;
	}
	return false;
}

/* Made by the kernel, the same wherever it is mounted anew: never from outside. */
static bool is_virtual(const char *fs)
{
	static const char *const names[] = { "proc", "sysfs", "mqueue", "cgroup", "cgroup2", "devpts", "securityfs",
					     "debugfs", "tracefs", "pstore", "fusectl", "bpf", "configfs",
					     "binfmt_misc" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(fs, names[i]))
			return true;
	return false;
}

static bool is_root(const struct mount_line *x)
{
	return !strcmp(x->at, "/");
}

static void mount_note(const struct container *c, yajl_val spec, const struct mounts *ours,
		       const struct mount_line *x, char **source, bool own_cgroup, struct exts *list)
{
	own_mem char *outside = mounts_outside(ours, x->dev, x->root);
	const char *val = x->at, *from = NULL;
	struct ext *e;

	if (is_root(x))
		return;
	if (*source)
		from = *source;
	else if (masked(spec, x))
		from = val = "/dev/null";
	else if (!strcmp(x->fs, "cgroup") && !own_cgroup && outside)
		from = outside;
	else if (outside && (!is_virtual(x->fs) || (!strcmp(x->fs, "devpts") && strcmp(x->root, "/"))))
		from = outside; /* what a hook or LXC mounted, nodes in /dev, mounts below bind mounts */
	else
		return;
	e = vec_add(list);
	e->key = xstrdup(x->at);
	e->val = xstrdup(val);
	e->source = xstrdup(from);
}

static int mounts_note(const struct container *c, yajl_val spec, struct exts *list, char *why, size_t n)
{
	struct mounts theirs = { 0 }, ours = { 0 };
	bool own_cgroup = !ns_ours(c->pid, "cgroup");
	char **sources;
	int r;

	if (ns_ours(c->pid, "mnt"))
		return 0;
	r = mounts_read(&theirs, c->pid);
	if (r == 0)
		r = mounts_read(&ours, getpid());
	if (r < 0) {
		snprintf(why, n, "container %s: read its mounts: %s", c->id, strerror(-r));
		mounts_free(&theirs);
		return r;
	}
	sources = xalloc((theirs.n + 1) * sizeof(*sources));
	configured(c, spec, &theirs, sources);
	for (size_t i = 0; i < theirs.n; i++) {
		mount_note(c, spec, &ours, &theirs.v[i], &sources[i], own_cgroup, list);
		free(sources[i]);
	}
	free(sources);
	mounts_free(&theirs);
	mounts_free(&ours);
	return 0;
}

/* ---- namespaces ---- */

static void ns_note(const struct container *c, yajl_val ns, CriuOpts *o, yajl_gen g)
{
	const char *type = json_text(ns, "type"), *path = json_text(ns, "path");
	const char *file = !type ? "" : !strcmp(type, "network") ? "net" : !strcmp(type, "mount") ? "mnt" : type;
	const char *label = !strcmp(file, "net") ? "extRootNetNS" : !strcmp(file, "pid") ? "extRootPidNS" : NULL;
	own_mem char *at = xprintf("/proc/%d/ns/%s", c->pid, file);
	struct stat st;

	if (!type || !path || !*path)
		return;
	if (label && stat(at, &st) == 0) {
		own_mem char *text = xprintf("%s[%llu]:%s", file, (unsigned long long)st.st_ino, label);

		external_add(o, text);
	}
	yajl_gen_map_open(g);
	json_put(g, "type", file);
	json_put(g, "path", path);
	json_put(g, "label", label);
	yajl_gen_map_close(g);
}

/* ---- both ---- */

static void stamp(char buf[32])
{
	time_t now = time(NULL);
	struct tm tm;

	strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
}

static void note_head(const struct container *c, yajl_gen g)
{
	char now[32];

	stamp(now);
	json_put_int(g, "version", NOTE_VERSION);
	json_put(g, "runtime", c->runtime);
	json_put(g, "manager", c->manager);
	json_put(g, "id", c->id);
	json_put(g, "name", c->name);
	json_put(g, "image", c->image);
	json_put(g, "created", c->created);
	json_put(g, "checkpointed", now);
	json_put_int(g, "pid", c->pid);
	json_put(g, "root", c->root);
	json_put(g, "state", c->state);
	json_put(g, "bundle", c->bundle);
	json_put(g, "rootfs", c->rootfs);
}

static void options_fill(const struct container *c, CriuOpts *o)
{
	o->has_pid = true;
	o->pid = c->pid;
	if (c->rootfs && !o->root)
		o->root = xstrdup(c->rootfs);
	if (c->cgroup && !o->freeze_cgroup && access(c->cgroup, F_OK) == 0)
		o->freeze_cgroup = xstrdup(c->cgroup);
	if (strcmp(c->runtime, "lxc"))
		return;
	/* as LXC's own checkpoint does */
	o->has_tcp_established = o->tcp_established = true;
	o->has_file_locks = o->file_locks = true;
	o->has_link_remap = o->link_remap = true;
	o->has_auto_ext_mnt = o->auto_ext_mnt = true;
	o->has_ext_sharing = o->ext_sharing = true;
	o->has_ext_masters = o->ext_masters = true;
}

int bundle_dump(const struct container *c, CriuOpts *o, char **note, char *why, size_t n)
{
	own_json yajl_val spec = c->config ? json_read(AT_FDCWD, c->config) : NULL;
	yajl_val list = json_get(json_get(spec, "linux"), "namespaces");
	struct exts exts = { 0 };
	yajl_gen g;
	int r;

	if (c->config && !spec) {
		r = -errno;
		snprintf(why, n, "container %s: its configuration %s: %s", c->id, c->config, strerror(-r));
		return r;
	}
	options_fill(c, o);
	r = mounts_note(c, spec, &exts, why, n);
	if (r < 0)
		return r;
	g = json_new();
	yajl_gen_map_open(g);
	note_head(c, g);
	json_key(g, "mounts");
	yajl_gen_array_open(g);
	for (size_t i = 0; i < exts.n; i++) {
		ext_mnt_add(o, exts.v[i].key, exts.v[i].val);
		yajl_gen_map_open(g);
		json_put(g, "destination", exts.v[i].key);
		json_put(g, "name", exts.v[i].val);
		json_put(g, "source", exts.v[i].source);
		yajl_gen_map_close(g);
	}
	yajl_gen_array_close(g);
	json_key(g, "namespaces");
	yajl_gen_array_open(g);
	for (size_t i = 0; i < json_n(list); i++)
		ns_note(c, json_at(list, i), o, g);
	yajl_gen_array_close(g);
	yajl_gen_map_close(g);
	*note = json_end(g);
	exts_free(&exts);
	return 0;
}

char *bundle_descriptors(const struct container *c)
{
	yajl_gen g = json_new();

	yajl_gen_config(g, yajl_gen_beautify, 0);
	yajl_gen_array_open(g);
	for (int i = 0; i < 3; i++) {
		own_mem char *path = xprintf("/proc/%d/fd/%d", c->pid, i), *link = NULL;

		json_item(g, text_readlink(AT_FDCWD, path, &link) == 0 ? link : "");
	}
	yajl_gen_array_close(g);
	return json_end(g);
}

static int ns_restore(yajl_val ns, CriuOpts *o, char *why, size_t n)
{
	const char *type = json_text(ns, "type"), *path = json_text(ns, "path"), *label = json_text(ns, "label");
	struct statfs v;
	int fd;

	if (!type || !path)
		return 0;
	if (!label) {
		if (strcmp(type, "cgroup"))
			join_add(o, type, path);
		return 0;
	}
	fd = fd_high(open(path, O_RDONLY | O_CLOEXEC)); /* lives as long as this process */
	if (fd < 0) {
		snprintf(why, n, "%s namespace %.300s: %s; it was made outside of the container and has to be there again",
			 type, path, strerror(errno));
		return -errno;
	}
	if (fstatfs(fd, &v) < 0 || v.f_type != NSFS_MAGIC) {
		snprintf(why, n, "%s namespace %.300s: is none (any more); it was made outside of the container and has to be there again",
			 type, path);
		return -EINVAL;
	}
	inherit_add(o, label, fd);
	return 0;
}

int bundle_restore(yajl_val note, CriuOpts *o, char *why, size_t n)
{
	yajl_val mounts = json_get(note, "mounts"), list = json_get(note, "namespaces");
	int r = 0;

	for (size_t i = 0; i < json_n(mounts); i++) {
		const char *name = json_text(json_at(mounts, i), "name");
		const char *source = json_text(json_at(mounts, i), "source");

		if (name && source)
			ext_mnt_add(o, name, source);
	}
	for (size_t i = 0; r == 0 && i < json_n(list); i++)
		r = ns_restore(json_at(list, i), o, why, n);
	return r;
}
