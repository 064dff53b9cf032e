// SPDX-License-Identifier: Apache-2.0
/*
 * restore: what `stasis checkpoint` made, without the runtime: same bundle, same names in cgroups. Where the
 * runtime still keeps its state, that learns the new pid, so that its commands work on the container again.
 */
#include "base/list.h"
#include "base/text.h"
#include "oci/archive.h"
#include "oci/bundle.h"
#include "oci/diff.h"
#include "oci/inspect.h"
#include "oci/people.h"
#include "oci/result.h"
#include "oci/term.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct job {
	struct people *p;
	struct look l;
	const char *from;
	struct {
		char **v;
		size_t n, max;
	} made; /* cgroup directories */
	char why[WHY_MAX];
};

static int fail(struct job *j, const char *reason)
{
	return result_fail(j->p, "restore %s: %s", j->from, reason);
}

/* ---- the runtime's state ---- */

/* the number behind "key": in text becomes v; owned, NULL if there is none */
static char *number_set(const char *text, const char *key, unsigned long long v)
{
	own_mem char *quoted = xprintf("\"%s\"", key);
	const char *at = strstr(text, quoted), *end;

	if (!at)
		return NULL;
	at += strlen(quoted);
	at += strspn(at, " \t\n:");
	end = at + strspn(at, "0123456789");
	return end == at ? NULL : xprintf("%.*s%llu%s", (int)(at - text), text, v, end);
}

static char *paths_set(char *text, pid_t from, pid_t to)
{
	own_mem char *old = xprintf("/proc/%d/ns/", from);
	char *at;

	while (from != to && (at = strstr(text, old))) {
		char *more = xprintf("%.*s/proc/%d/ns/%s", (int)(at - text), text, to, at + strlen(old));

		free(text);
		text = more;
	}
	return text;
}

static int state_write(const char *path, const char *text)
{
	own_mem char *part = xprintf("%s.stasis", path);
	struct stat st;
	int r;

	unlink(part);
	r = json_write(AT_FDCWD, part, text);
	if (r == 0 && stat(path, &st) == 0 && (chmod(part, st.st_mode & 07777) < 0 || rename(part, path) < 0))
		r = -errno;
	if (r < 0)
		unlink(part);
	return r;
}

/* 0: the runtime knows it again; 1: it does not know the container (any more) */
static int state_adopt(yajl_val note, pid_t pid)
{
	const char *state = json_text(note, "state"), *id = json_text(note, "id");
	bool runc = json_text(note, "runtime") && !strcmp(json_text(note, "runtime"), "runc");
	own_json yajl_val v = state && *state == '/' ? json_read(AT_FDCWD, state) : NULL;
	const char *key = runc ? "init_process_pid" : "pid", *start = runc ? "init_process_start" : "process-start-time";
	own_mem char *text = NULL, *with_pid = NULL, *both = NULL;
	int64_t old = json_int(v, key, 0);

	if (!v || (runc && (!json_text(v, "id") || !id || strcmp(json_text(v, "id"), id))))
		return 1;
	/* somebody may have started it anew */
	if (old > 0 && old <= INT32_MAX && old != pid &&
	    proc_start(old) == (unsigned long long)json_int(v, start, -1))
		return 1;
	if (text_read(AT_FDCWD, state, &text, NULL) < 0)
		return 1;
	with_pid = number_set(text, key, pid);
	both = with_pid ? number_set(with_pid, start, proc_start(pid)) : NULL;
	if (!both)
		return 1;
	both = paths_set(take_mem(both), old, pid);
	return state_write(state, both) < 0 ? 1 : 0;
}

/* Is a container of that id there already? */
static bool in_the_way(yajl_val note)
{
	const char *state = json_text(note, "state"), *runtime = json_text(note, "runtime");
	bool runc = runtime && !strcmp(runtime, "runc");
	own_json yajl_val v = state && *state == '/' ? json_read(AT_FDCWD, state) : NULL;
	int64_t pid = json_int(v, runc ? "init_process_pid" : "pid", 0);
	int64_t start = json_int(v, runc ? "init_process_start" : "process-start-time", -1);

	return pid > 0 && pid <= INT32_MAX && proc_start(pid) && proc_start(pid) == (unsigned long long)start;
}

/* ---- the restore ---- */

/* what only the engine above can do: networks, storage, its own books */
static const char *refuse(struct job *j, yajl_val note, const char *rootfs)
{
	const char *manager = json_text(note, "manager"), *runtime = json_text(note, "runtime");
	const char *name = json_text(note, "name") ? json_text(note, "name") : json_text(note, "id");
	struct stat st;

	if (manager && !strcmp(manager, "podman"))
		snprintf(j->why, sizeof(j->why), "%s belongs to Podman, which sets its storage and network up: checkpoint it with --export FILE, by stasis or by Podman, and bring it back with podman container restore --import FILE (which uses stasis where that is installed as criu)",
			 name);
	else if (manager)
		snprintf(j->why, sizeof(j->why), "%s belongs to %s, which sets its storage and network up and has to restore it itself: ask it to (its runtime calls stasis where that is installed as criu)",
			 name, manager);
	else if (runtime && !strcmp(runtime, "lxc"))
		snprintf(j->why, sizeof(j->why), "%s is LXC's, which sets its console and network up: use lxc-checkpoint -n %s -D DIR, and -r to bring it back",
			 name, name);
	else if (in_the_way(note))
		snprintf(j->why, sizeof(j->why), "%s runs already; end it first", name);
	else if (rootfs && (stat(rootfs, &st) < 0 || !S_ISDIR(st.st_mode)))
		snprintf(j->why, sizeof(j->why), "its root %s is not there; put the bundle back, or say where it is with --bundle",
			 rootfs);
	else
		return NULL;
	return j->why;
}

/* Mounts of ours are seen by nobody else, and go with us. */
static int own_mounts(struct job *j)
{
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0)
		return 0;
	snprintf(j->why, sizeof(j->why), "mount namespace of our own: %s", strerror(errno));
	return -1;
}

static void inherit_as(CriuOpts *o, const char *key, int fd)
{
	InheritFd *f = xalloc(sizeof(*f));

	inherit_fd__init(f);
	f->key = xstrdup(key);
	f->fd = fd;
	o->inherit_fd = xgrow(o->inherit_fd, (o->n_inherit_fd + 1) * sizeof(*o->inherit_fd));
	o->inherit_fd[o->n_inherit_fd++] = f;
}

/*
 * Its first three descriptors led outside: what was a pipe to the runtime is our own descriptor now; a file is
 * opened again, to be written at its end. Not so for an archive, which must not name files of this machine.
 */
static void inherit_stdio(struct job *j, CriuOpts *o)
{
	own_json yajl_val list = json_read(j->l.dir, "descriptors.json");

	for (int i = 0; i < 3 && i < (int)json_n(list); i++) {
		const char *t = json_string(json_at(list, i));
		struct stat st;
		int fd;

		if (t && text_starts(t, "pipe:"))
			inherit_as(o, t, i);
		if (!t || *t != '/' || j->l.top >= 0 || stat(t, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		fd = fd_high(open(t, (i ? O_WRONLY | O_APPEND : O_RDONLY) | O_CLOEXEC | O_NOCTTY));
		if (fd >= 0) /* lives as long as this process */
			inherit_as(o, t + 1, fd);
	}
}

/* ---- cgroups that the runtime has removed ---- */

/*
 * Mounts of v1 hierarchies show the container's own directories, which must be there before it is. They are
 * made here; all limits are then the images' (full), not only those of directories that the engine makes.
 */
static void cgroups_make(struct job *j, yajl_val note)
{
	CriuOpts *o = j->p->req.opts;
	yajl_val mounts = json_get(note, "mounts");

	for (size_t i = 0; i < json_n(mounts); i++) {
		const char *path = json_text(json_at(mounts, i), "source");
		char *made;

		if (!path || !text_starts(path, "/sys/fs/cgroup/") || strstr(path, "..") || mkdir(path, 0755) < 0)
			continue;
		made = xstrdup(path);
		*vec_add(&j->made) = made;
	}
	if (j->made.n && !o->has_manage_cgroups_mode) {
		o->has_manage_cgroups = o->manage_cgroups = true;
		o->has_manage_cgroups_mode = true;
		o->manage_cgroups_mode = CRIU_CG_MODE__FULL;
	}
}

static void cgroups_end(struct job *j, bool failed)
{
	for (size_t i = 0; i < j->made.n; i++) {
		if (failed)
			rmdir(j->made.v[i]);
		free(j->made.v[i]);
	}
	free(j->made.v);
}

/* ---- what an archive may ask for ---- */

static bool below(const char *path, const char *dir)
{
	size_t n = dir ? strlen(dir) : 0;

	while (n > 1 && dir[n - 1] == '/')
		n--;
	return n && !strstr(path, "..") && !strncmp(path, dir, n) && (!path[n] || path[n] == '/');
}

static bool source_allowed(yajl_val spec, const char *path)
{
	static const char *const nodes[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
					     "/dev/tty" };
	yajl_val mounts = json_get(spec, "mounts"), devices = json_get(json_get(spec, "linux"), "devices");
	bool ok = below(path, "/sys/fs/cgroup");

	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
		ok |= !strcmp(path, nodes[i]);
	for (size_t i = 0; i < json_n(mounts); i++)
		ok |= below(path, json_text(json_at(mounts, i), "source"));
	for (size_t i = 0; i < json_n(devices); i++) {
		const char *node = json_text(json_at(devices, i), "path");

		ok |= node && !strcmp(node, path);
	}
	return ok;
}

static bool ns_allowed(yajl_val spec, const char *path)
{
	yajl_val list = json_get(json_get(spec, "linux"), "namespaces");

	for (size_t i = 0; i < json_n(list); i++) {
		const char *p = json_text(json_at(list, i), "path");

		if (p && !strcmp(p, path))
			return true;
	}
	return false;
}

/* An archive comes from anywhere: of this machine it gets what the bundle's own configuration gives it. */
static int archive_allowed(struct job *j, yajl_val note, yajl_val spec)
{
	yajl_val mounts = json_get(note, "mounts"), list = json_get(note, "namespaces");
	const char *bad = NULL;

	for (size_t i = 0; i < json_n(mounts); i++) {
		const char *path = json_text(json_at(mounts, i), "source");

		if (path && !source_allowed(spec, path))
			bad = path;
	}
	for (size_t i = 0; i < json_n(list); i++) {
		const char *path = json_text(json_at(list, i), "path");

		if (path && !ns_allowed(spec, path))
			bad = path;
	}
	if (!bad)
		return 0;
	snprintf(j->why, sizeof(j->why), "the archive asks for %.300s of this machine, which the bundle's configuration does not give it; put it there if it is right",
		 bad);
	return -EPERM;
}

/* the runtime's state file, if that is where a runtime keeps one */
static bool state_known(struct job *j, yajl_val note)
{
	const char *state = json_text(note, "state");
	struct containers all = { 0 };
	bool known = j->l.top < 0;

	if (!known)
		containers_find(&all, j->p->roots);
	for (size_t i = 0; state && i < all.n; i++)
		known |= all.v[i]->state && !strcmp(all.v[i]->state, state);
	containers_free(&all);
	return known;
}

static void told_json(const struct job *j, pid_t root, int known)
{
	const struct stats *t = &j->p->req.stats;
	yajl_val note = j->l.note;
	yajl_gen g = result_new(true);

	result_container(g, json_text(note, "name"), json_text(note, "id"), json_text(note, "runtime"),
			 json_text(note, "manager"));
	json_put_int(g, "pid", root);
	result_path(g, j->l.top >= 0 ? "archive" : "images", j->from);
	if (json_text(note, "runtime") && *json_text(note, "runtime"))
		json_put_bool(g, "known_to_runtime", !known);
	json_put_int(g, "forking_us", t->forking);
	json_put_int(g, "restore_us", t->restore);
	result_end(g, &j->p->req, true, NULL);
}

/* known: 0 if the runtime's state has the new pid */
static void told(const struct job *j, pid_t root, int known)
{
	yajl_val note = j->l.note;
	const char *runtime = json_text(note, "runtime"), *name = json_text(note, "name");
	own_mem char *clean = term_clean(name ? name : json_text(note, "id") ? json_text(note, "id") : j->from);

	printf("%s%s%s runs: pid %d.\n", tint(stdout, TINT_BOLD), clean, tint(stdout, TINT_NONE), root);
	if (runtime && *runtime && known)
		printf("%s does not know it (any more): end it with kill, not with %s.\n", runtime, runtime);
	fflush(stdout);
}

static void tell(const struct job *j, pid_t root, int known)
{
	if (j->p->json) {
		told_json(j, root, known);
		return;
	}
	result_warn(&j->p->req);
	told(j, root, known);
}

/* config.json of the bundle, as it is on this machine */
static yajl_val spec_of(struct job *j, yajl_val note)
{
	const char *bundle = j->p->bundle ? j->p->bundle : json_text(note, "bundle");
	own_mem char *config = bundle ? xprintf("%s/config.json", bundle) : NULL;

	return config ? json_read(AT_FDCWD, config) : NULL;
}

/* owned; NULL: not known */
static char *rootfs_of(struct job *j, yajl_val note, yajl_val spec)
{
	const char *bundle = j->p->bundle ? j->p->bundle : json_text(note, "bundle");
	const char *path = json_text(json_get(spec, "root"), "path"), *noted = json_text(note, "rootfs");

	if (!j->p->bundle && j->l.top < 0)
		return noted ? xstrdup(noted) : NULL;
	if (!path || !bundle)
		return NULL;
	return xprintf("%s%s%s", *path == '/' ? "" : bundle, *path == '/' ? "" : "/", path);
}

/* A container: what comes from outside is known from the note. */
static int restore_container(struct job *j, yajl_val note)
{
	struct request *q = &j->p->req;
	own_json yajl_val spec = spec_of(j, note);
	own_mem char *rootfs = rootfs_of(j, note, spec);
	const char *why = refuse(j, note, rootfs);
	pid_t root = 0;
	int known;

	if (why)
		return fail(j, why);
	if (!rootfs)
		return fail(j, "its bundle is not where it was; say where it is with --bundle");
	if (j->l.top >= 0 && archive_allowed(j, note, spec) < 0)
		return fail(j, j->why);
	if (!q->opts->root)
		q->opts->root = realpath(rootfs, NULL);
	if (j->l.top >= 0 && diff_apply(j->l.top, rootfs, j->why, sizeof(j->why)) < 0)
		return fail(j, j->why);
	if (bundle_restore(note, q->opts, j->why, sizeof(j->why)) < 0 || own_mounts(j) < 0)
		return fail(j, j->why);
	inherit_stdio(j, q->opts);
	cgroups_make(j, note);
	q->detached = true;
	if (request_restore(q, &root, j->why, sizeof(j->why)) < 0)
		return fail(j, j->why);
	known = state_known(j, note) ? state_adopt(note, root) : 1;
	tell(j, root, known);
	return 0;
}

/* Plain tasks, or images that criu or a runtime wrote. */
static int restore_plain(struct job *j)
{
	struct request *q = &j->p->req;
	pid_t root = 0;

	if (j->l.top >= 0 && j->l.config && !json_get(j->l.note, "version"))
		return fail(j, "was written by an engine that has to restore it itself: podman container restore --import FILE, or name it as an image where CRI-O runs");
	if (j->l.top >= 0 && archive_allowed(j, j->l.note, NULL) < 0)
		return fail(j, j->why);
	if (bundle_restore(j->l.note, q->opts, j->why, sizeof(j->why)) < 0)
		return fail(j, j->why);
	if (!q->detached)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (request_restore(q, &root, j->why, sizeof(j->why)) < 0)
		return fail(j, j->why);
	if (j->p->json || q->detached)
		tell(j, root, 0);
	else
		result_warn(q);
	if (!q->detached)
		while (wait(NULL) > 0 || errno == EINTR)
			;
	return 0;
}

static int run(struct job *j)
{
	struct request *q = &j->p->req;
	const char *runtime;

	if (look_open(&j->l, j->from, true, j->why, sizeof(j->why)) < 0)
		return result_fail(j->p, "%s", j->why);
	if (q->images_dir)
		return fail(j, "--images-dir: the directory is given already; leave -D out");
	q->images = fcntl(j->l.dir, F_DUPFD_CLOEXEC, 3);
	/* not into an archive's directory, which goes away */
	if (j->l.tmp && !q->work_dir)
		q->work = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (request_dirs(q, j->why, sizeof(j->why)) < 0)
		return fail(j, j->why);
	if (!q->opts->log_file)
		q->opts->log_file = xstrdup("restore.log");
	j->l.note = json_read(j->l.dir, BUNDLE_NOTE);
	j->l.config = j->l.top >= 0 ? json_read(j->l.top, "config.dump") : NULL;
	runtime = json_text(j->l.note, "runtime");
	return runtime && *runtime ? restore_container(j, j->l.note) : restore_plain(j);
}

int restore_run(struct people *p)
{
	struct job j = { .p = p, .from = p->import ? p->import : p->what };
	int r = run(&j);

	cgroups_end(&j, r != 0);
	look_close(&j.l);
	return r;
}
