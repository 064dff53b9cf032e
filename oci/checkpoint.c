// SPDX-License-Identifier: Apache-2.0
/* checkpoint: a container, by its name, into a directory or an archive. */
#include "base/res.h"
#include "base/text.h"
#include "oci/archive.h"
#include "oci/bundle.h"
#include "oci/diff.h"
#include "oci/inspect.h"
#include "oci/layout.h"
#include "oci/people.h"
#include "oci/result.h"
#include "oci/term.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct job {
	struct people *p;
	struct container *c;
	char *dir;   /* images, or what the archive is made from */
	int base;    /* directory in which the archive appears; -1: none is wanted */
	int top;     /* what the archive is made from; -1 */
	char *part;  /* its name below base */
	const char *file; /* the archive's name below base */
	int filter;
	bool no_layers;
	char why[WHY_MAX];
};

static const char no_layers[] = "the root file system has no layers to compare with, so that the archive holds none of its files; with --whole-rootfs it holds them all";

static int fail(struct job *j, const char *what, const char *reason)
{
	return result_fail(j->p, "checkpoint %s: %s%s%s", j->p->what, what, reason ? ": " : "", reason ? reason : "");
}

/* mkdir -p, for the owner only */
static int make_dirs(const char *path)
{
	own_mem char *copy = xstrdup(path);

	for (char *p = strchr(copy + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = 0;
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(copy, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_images(struct job *j)
{
	struct request *q = &j->p->req;
	int r;

	if (!q->images_dir) {
		own_mem char *name = xstrdup(j->c->name ? j->c->name : j->c->id);

		for (char *t = name; *t; t++)
			if (*t == '/')
				*t = '_';
		q->images_dir = xprintf("checkpoint-%s", name);
	}
	j->dir = xstrdup(q->images_dir);
	r = make_dirs(j->dir);
	if (r < 0)
		return fail(j, j->dir, strerror(-r));
	r = request_dirs(q, j->why, sizeof(j->why));
	if (r < 0)
		return fail(j, j->why, NULL);
	if (faccessat(q->images, "inventory.img", F_OK, 0) == 0)
		return fail(j, j->dir, "holds a checkpoint already; name another directory with -D, or remove it");
	return 0;
}

/* A directory beside the archive to be, so that there is room, and one rename makes it appear. */
static int open_export(struct job *j)
{
	const char *exp = j->p->exp, *slash = strrchr(exp, '/');
	own_mem char *base = slash ? xprintf("%.*s", slash == exp ? 1 : (int)(slash - exp), exp) : xstrdup(".");
	struct request *q = &j->p->req;
	int r;

	if (q->images_dir || q->work_dir)
		return fail(j, "--export", "makes a directory of its own; leave -D and -W out");
	j->file = slash ? slash + 1 : exp;
	j->filter = archive_filter_of(j->p->compress, j->file);
	if (j->filter < 0)
		return fail(j, "--compress", "is none of none, gzip, zstd");
	if (j->p->format && strcmp(j->p->format, "plain") && strcmp(j->p->format, "oci"))
		return fail(j, "--format", "is none of plain, oci");
	if (!*j->file)
		return fail(j, exp, "names no file");
	r = make_dirs(base);
	if (r < 0)
		return fail(j, base, strerror(-r));
	j->base = fd_high(open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	j->dir = xprintf("%s/.stasis-XXXXXX", base);
	if (j->base < 0 || !mkdtemp(j->dir))
		return fail(j, base, strerror(errno));
	j->part = xstrdup(strrchr(j->dir, '/') + 1);
	j->top = fd_high(open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (j->top < 0 || mkdirat(j->top, "checkpoint", 0700) < 0)
		return fail(j, j->dir, strerror(errno));
	q->work = fcntl(j->top, F_DUPFD_CLOEXEC, 3);
	q->images = fd_high(openat(j->top, "checkpoint", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	return q->images < 0 || q->work < 0 ? fail(j, j->dir, strerror(errno)) : 0;
}

/* A named volume of Podman is a directory of the host that its configuration mounts. */
static const char *volume_source(yajl_val spec, const char *dest)
{
	yajl_val mounts = json_get(spec, "mounts");

	for (size_t i = 0; dest && i < json_n(mounts); i++) {
		const char *at = json_text(json_at(mounts, i), "destination");

		if (at && !strcmp(at, dest))
			return json_text(json_at(mounts, i), "source");
	}
	return NULL;
}

/* Podman wants each of a container's volumes in the archive, and fills the one that it makes from it. */
static int volumes_write(struct job *j)
{
	own_json yajl_val config = json_read(j->top, "config.dump");
	own_json yajl_val spec = j->c->config ? json_read(AT_FDCWD, j->c->config) : NULL;
	yajl_val list = json_get(config, "namedVolumes");
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_n(list) && !j->p->ignore_volumes; i++) {
		const char *name = json_text(json_at(list, i), "volumeName");
		const char *source = volume_source(spec, json_text(json_at(list, i), "dest"));

		if (!name || strchr(name, '/') || !source)
			continue;
		term_note("reading the volume %s", name);
		r = diff_volume(source, j->top, name, j->why, sizeof(j->why));
	}
	return r;
}

/* The tasks stand still after post-dump's memory: the files are of the same moment. */
static int watch(void *arg, const char *step)
{
	struct job *j = arg;
	int r;

	if (!strcmp(step, "pre-dump"))
		term_note("stopping it, and writing what it holds");
	if (strcmp(step, "post-dump") || j->top < 0)
		return 0;
	term_note("comparing its files with those of its image");
	r = diff_write(j->c, j->top, j->p->whole_rootfs, j->why, sizeof(j->why));
	j->no_layers = r == 1 && *j->c->runtime;
	return r < 0 ? r : volumes_write(j);
}

static int prepare(struct job *j)
{
	struct request *q = &j->p->req;
	own_mem char *note = NULL, *fds = bundle_descriptors(j->c);
	int r = bundle_dump(j->c, q->opts, &note, j->why, sizeof(j->why));

	if (r < 0)
		return fail(j, j->why, NULL);
	if (!q->opts->log_file)
		q->opts->log_file = xstrdup("dump.log");
	if (!q->opts->has_log_level) {
		q->opts->has_log_level = true;
		q->opts->log_level = LOG_INFO;
	}
	r = json_write(q->images, BUNDLE_NOTE, note);
	if (r == 0 && *j->c->runtime)
		r = json_write(q->images, "descriptors.json", fds);
	if (r < 0)
		return fail(j, j->dir, strerror(-r));
	if (j->top >= 0 && archive_metadata(j->c, j->top, j->why, sizeof(j->why)) < 0)
		return fail(j, j->why, NULL);
	q->watch = watch;
	q->watch_arg = j;
	return 0;
}

/* A restore has to be told again. */
static void report_options(const CriuOpts *o)
{
	printf("%s%s%s%s\n", o->shell_job ? " --shell-job" : "", o->tcp_established ? " --tcp-established" : "",
	       o->tcp_close ? " --tcp-close" : "", o->file_locks ? " --file-locks" : "");
}

static void report_back(const struct job *j, const char *where)
{
	const struct container *c = j->c;
	const char *above = c->manager ? c->manager : !strcmp(c->runtime, "lxc") ? "lxc" : NULL;

	if (!above) {
		printf("Bring it back:  stasis restore %s%s", j->p->exp ? "--import " : "", where);
		report_options(j->p->req.opts);
	}
	else if (j->p->exp && !strcmp(above, "podman") && !(j->p->format && !strcmp(j->p->format, "oci")))
		printf("Bring it back:  podman container restore --import %s\n", where);
	else
		printf("To look into:   stasis show %s (only %s itself restores its containers, from its own checkpoints)\n",
		       where, above);
}

static const char *state_after(const struct job *j)
{
	const CriuOpts *o = j->p->req.opts;

	return o->leave_stopped ? "stopped" : o->leave_running ? "running" : "ended";
}

static void report_json(const struct job *j)
{
	const struct container *c = j->c;
	const struct request *q = &j->p->req;
	const struct stats *t = &q->stats;
	yajl_gen g = result_new(true);
	char why[WHY_MAX];
	struct look l;

	result_container(g, c->name, c->id, c->runtime, c->manager);
	json_put_int(g, "pid", c->pid);
	result_path(g, j->p->exp ? "archive" : "images", j->p->exp ? j->p->exp : j->dir);
	json_put(g, "state", state_after(j));
	json_put_int(g, "freezing_us", t->freezing);
	json_put_int(g, "frozen_us", t->frozen);
	json_put_int(g, "memdump_us", t->memdump);
	if (look_open(&l, j->dir, true, why, sizeof(why)) == 0 && look_read(&l, why, sizeof(why)) == 0) {
		json_put_int(g, "memory", l.pages_bytes);
		json_key(g, "pids"); /* inside */
		yajl_gen_array_open(g);
		for (size_t i = 0; i < l.tasks.n; i++)
			yajl_gen_integer(g, l.tasks.v[i].e->pid);
		yajl_gen_array_close(g);
	}
	look_close(&l);
	result_end(g, q, !j->p->exp, j->no_layers ? no_layers : NULL);
}

static void report(struct job *j)
{
	char size[32], why[WHY_MAX];
	own_mem char *name = term_clean(j->p->what);
	const char *where = j->p->exp ? j->p->exp : j->dir;
	struct look l;

	printf("%s%s%s is in %s", tint(stdout, TINT_BOLD), name, tint(stdout, TINT_NONE), where);
	if (look_open(&l, j->dir, true, why, sizeof(why)) == 0 && look_read(&l, why, sizeof(why)) == 0) {
		printf(": %zu task%s, %s of memory", l.tasks.n, l.tasks.n == 1 ? "" : "s",
		       term_size(l.pages_bytes, size));
		if (l.stats && l.stats->dump)
			printf(", stopped for %.1f ms", l.stats->dump->frozen_time / 1000.0);
	}
	look_close(&l);
	printf(".\n%s\n", !strcmp(state_after(j), "running") ? "It runs on." :
			  !strcmp(state_after(j), "stopped") ? "It is stopped." : "It has ended.");
	report_back(j, where);
	fflush(stdout);
}

static int pack(struct job *j)
{
	term_note("packing %s", j->file);
	if (j->p->format && !strcmp(j->p->format, "oci"))
		return layout_pack(j->c, j->top, j->base, j->file, j->filter, j->why, sizeof(j->why));
	return archive_pack(j->top, j->base, j->file, j->filter, j->why, sizeof(j->why));
}

static int run(struct job *j)
{
	struct people *p = j->p;
	own_mem char *kept = NULL;
	int r;

	if (p->req.opts->has_pid)
		return fail(j, "--tree", "the container says which tasks are meant; leave -t out");
	if (!p->exp && (p->compress || p->format || p->whole_rootfs || p->ignore_volumes))
		return fail(j, p->compress ? "--compress" : p->format ? "--format" : p->whole_rootfs ? "--whole-rootfs" : "--ignore-volumes",
			    "needs --export");
	if (!j->c->pid)
		return fail(j, "has no task that runs; start it first", NULL);
	if (!*j->c->runtime && p->whole_rootfs)
		return fail(j, "--whole-rootfs", "is for containers, whose root is known");
	r = p->exp ? open_export(j) : open_images(j);
	if (r == 0)
		r = prepare(j);
	if (r)
		return r;
	r = request_dump(&p->req, j->why, sizeof(j->why));
	if (r < 0) {
		/* of a failed dump only the log is of use */
		unlinkat(p->req.images, BUNDLE_NOTE, 0);
		return fail(j, j->why, NULL);
	}
	if (p->exp && pack(j) < 0) {
		free(j->part);
		j->part = NULL; /* nothing else holds these tasks */
		kept = xprintf("the checkpoint itself is complete and kept in %s", j->dir);
		return fail(j, j->why, kept);
	}
	if (p->json) {
		report_json(j);
	} else {
		if (j->no_layers)
			term_warn("%s", no_layers);
		result_warn(&p->req);
		report(j);
	}
	return 0;
}

int checkpoint_run(struct people *p)
{
	struct containers all = { 0 };
	struct job j = { .p = p, .base = -1, .top = -1 };
	int r;

	containers_find(&all, p->roots);
	if (container_pick(&all, p->what, &j.c, j.why, sizeof(j.why)) < 0)
		r = result_fail(p, "%s", j.why);
	else
		r = run(&j);
	if (j.part)
		dir_remove(j.base, j.part);
	fd_close(j.top);
	fd_close(j.base);
	free(j.part);
	free(j.dir);
	containers_free(&all);
	return r;
}
