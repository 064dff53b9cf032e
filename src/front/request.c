// SPDX-License-Identifier: Apache-2.0
#include "front/request.h"

#include "arch/arch.h"
#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "flow/flow.h"
#include "image/record.h"
#include "images/stats.pb-c.h"
#include "kind/cpuinfo.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>

void request_init(struct request *q)
{
	memset(q, 0, sizeof(*q));
	q->opts = xalloc(sizeof(*q->opts));
	criu_opts__init(q->opts);
	q->images = q->work = q->rpc = q->ps_fd = q->status_fd = q->log_fd = q->caller = -1;
}

void texts_free(struct texts *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i]);
	free(t->v);
}

void request_close(struct request *q)
{
	fd_close(q->images);
	fd_close(q->work);
	criu_opts__free_unpacked(q->opts, NULL);
	texts_free(&q->scripts);
	texts_free(&q->features);
	free(q->images_dir);
	free(q->work_dir);
	free(q->pidfile);
	free(q->address);
	free(q->config);
	free(q->libdir);
	memset(q, 0, sizeof(*q));
}

/* Two messages one behind the other are their union on the wire: the later wins, lists grow. */
int request_merge(struct request *q, const CriuOpts *opts)
{
	size_t n = criu_opts__get_packed_size(q->opts);
	own_mem uint8_t *buf = xalloc(n + criu_opts__get_packed_size(opts));
	CriuOpts *both;

	n = criu_opts__pack(q->opts, buf);
	n += criu_opts__pack(opts, buf + n);
	both = criu_opts__unpack(NULL, n, buf);
	if (!both)
		return -EBADMSG;
	criu_opts__free_unpacked(q->opts, NULL);
	q->opts = both;
	return 0;
}

static char *copied(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

void request_copy(struct request *q, const struct request *src)
{
	request_init(q);
	request_merge(q, src->opts);
	q->images_dir = copied(src->images_dir);
	q->work_dir = copied(src->work_dir);
	q->pidfile = copied(src->pidfile);
	q->libdir = copied(src->libdir);
	for (size_t i = 0; i < src->scripts.n; i++)
		*vec_add(&q->scripts) = xstrdup(src->scripts.v[i]);
	q->foreign = src->foreign;
	q->uid = src->uid;
	q->gid = src->gid;
}

int request_dirs(struct request *q, char *why, size_t n)
{
	const char *images = q->images_dir ? q->images_dir : ".";

	if (q->images < 0)
		q->images = fd_high(open(images, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (q->images < 0) {
		snprintf(why, n, "images directory %s: %s", images, strerror(errno));
		return -errno;
	}
	if (q->work < 0 && q->work_dir)
		q->work = fd_high(open(q->work_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	else if (q->work < 0)
		q->work = fcntl(q->images, F_DUPFD_CLOEXEC, 3);
	if (q->work < 0) {
		snprintf(why, n, "work directory %s: %s", q->work_dir ? q->work_dir : "",
			 strerror(errno));
		return -errno;
	}
	return 0;
}

static bool given(const char *text)
{
	return text && *text;
}

const char *request_refuse(const struct request *q)
{
	const CriuOpts *o = q->opts;

	return o->lazy_pages		      ? "lazy-pages" :
	       o->ps || q->page_server	      ? "page-server" :
	       given(o->parent_img)	      ? "prev-images-dir" :
	       o->track_mem		      ? "track-mem" :
	       q->stream		      ? "stream" :
	       o->tls			      ? "tls" :
						NULL;
}

bool join_ns_known(const char *ns, size_t n)
{
	static const char *const names[] = { "net", "uts", "time", "ipc", "user", "mnt" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == n && !strncmp(names[i], ns, n))
			return true;
	return false;
}

const char *request_conflict(const struct request *q)
{
	const CriuOpts *o = q->opts;

	for (size_t i = 0; i < o->n_join_ns; i++) {
		if (!join_ns_known(o->join_ns[i]->ns, strlen(o->join_ns[i]->ns)))
			return "--join-ns: is for net, uts, time, ipc, user and mnt, not for others as pid";
		if (o->has_empty_ns && o->empty_ns && !strcmp(o->join_ns[i]->ns, "net"))
			return "--empty-ns net: does not go with --join-ns net";
	}
	return NULL;
}

/* What is accepted and cannot be done is said, once. */
static void warn_ignored(struct request *q, struct session *s)
{
	const CriuOpts *o = q->opts;

	if (o->evasive_devices)
		session_warn(s, "evasive-devices: a device is opened by its path only");
	if (q->libdir)
		session_warn(s, "libdir: there are no plugins here");
	if (q->log_pid)
		session_warn(s, "log-pid: restored tasks write no log; everything is in this one");
}

/* fd: -1 if the log goes to standard output or standard error */
static int log_file_open(const struct request *q, int *fd, char *why, size_t n)
{
	const char *name = q->opts->log_file;

	*fd = -1;
	if (!name || !strcmp(name, "-"))
		return 0;
	*fd = fd_high(openat(q->work, name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
	if (*fd < 0) {
		snprintf(why, n, "log file %.900s: %s", name, strerror(errno));
		return -errno;
	}
	return 0;
}

int request_log_stderr(struct request *q, char *why, size_t n)
{
	int fd, r = q->opts->log_file ? request_dirs(q, why, n) : 1;

	if (r == 0)
		r = log_file_open(q, &fd, why, n);
	if (r != 0)
		return r < 0 ? r : 0;
	dup2(fd < 0 ? 1 : fd, 2);
	fd_close(fd);
	return 0;
}

static int log_start(struct request *q, struct session *s, int *fd, char *why, size_t n)
{
	const CriuOpts *o = q->opts;
	struct utsname u;
	int r = log_file_open(q, fd, why, n);

	if (r < 0)
		return r;
	q->log_fd = *fd >= 0 ? *fd : o->log_file ? 1 : 2;
	q->logged = true;
	log_open(&s->log, q->log_fd, o->has_log_level ? o->log_level : LOG_WARN);
	if (uname(&u) == 0) {
		session_info(s, "Version: 4.2 (stasis %s), run %s", PACKAGE_VERSION, s->run_id);
		session_info(s, "Running on %s %s %s", u.sysname, u.release, u.machine);
	}
	warn_ignored(q, s);
	return 0;
}

static void dump_stats(struct request *q, struct session *s)
{
	own_image struct image img = { 0 };
	StatsEntry e = STATS_ENTRY__INIT;
	DumpStatsEntry d = DUMP_STATS_ENTRY__INIT;

	d.freezing_time = s->stats.freezing;
	d.frozen_time = s->stats.frozen;
	d.memdump_time = s->stats.memdump;
	d.memwrite_time = s->stats.memwrite;
	d.pages_scanned = s->stats.pages_scanned;
	d.pages_written = s->stats.pages_written;
	d.has_shpages_scanned = d.has_shpages_written = true;
	d.shpages_scanned = s->stats.shpages_scanned;
	d.shpages_written = s->stats.shpages_written;
	e.dump = &d;
	if (image_create_at(s, &img, s->work, MAGIC_SERVICE, MAGIC_STATS, "stats-dump") == 0)
		image_write(&img, &e.base);
	if (!q->opts->display_stats)
		return;
	printf("Displaying dump stats:\nFreezing time: %u us\nFrozen time: %u us\n"
	       "Memory dump time: %u us\nMemory write time: %u us\n",
	       d.freezing_time, d.frozen_time, d.memdump_time, d.memwrite_time);
	printf("Memory pages scanned: %" PRIu64 " (0x%" PRIx64 ")\n"
	       "Memory pages skipped from parent: 0 (0x0)\n"
	       "Memory pages written: %" PRIu64 " (0x%" PRIx64 ")\n"
	       "Lazy memory pages: 0 (0x0)\nIRMAP resolve: 0 us\n",
	       d.pages_scanned, d.pages_scanned, d.pages_written, d.pages_written);
	fflush(stdout);
}

static void restore_stats(struct request *q, struct session *s)
{
	own_image struct image img = { 0 };
	StatsEntry e = STATS_ENTRY__INIT;
	RestoreStatsEntry d = RESTORE_STATS_ENTRY__INIT;

	d.pages_compared = s->stats.pages_compared;
	d.pages_skipped_cow = s->stats.pages_cow;
	d.forking_time = s->stats.forking;
	d.restore_time = s->stats.restore;
	d.has_pages_restored = true;
	d.pages_restored = s->stats.pages_restored;
	e.restore = &d;
	if (image_create_at(s, &img, s->work, MAGIC_SERVICE, MAGIC_STATS, "stats-restore") == 0)
		image_write(&img, &e.base);
	if (!q->opts->display_stats)
		return;
	printf("Displaying restore stats:\nPages compared: %" PRIu64 " (0x%" PRIx64 ")\n"
	       "Pages skipped COW: %" PRIu64 " (0x%" PRIx64 ")\n"
	       "Pages restored: %" PRIu64 " (0x%" PRIx64 ")\n"
	       "Restore time: %u us\nForking time: %u us\n",
	       d.pages_compared, d.pages_compared, d.pages_skipped_cow, d.pages_skipped_cow,
	       d.pages_restored, d.pages_restored, d.restore_time, d.forking_time);
	fflush(stdout);
}

/* The sentence goes to the caller, and is the log's error. */
static void told(struct session *s, const char *failed, char *why, size_t n)
{
	snprintf(why, n, "%s", s->why[0] ? s->why : "failed without a reason");
	log_at(&s->log, LOG_ERROR, "%s", why);
	log_at(&s->log, LOG_ERROR, "%s", failed);
}

/* A session for a job, with its log; what stands in the way already is said in that log. */
static int session_begin(struct request *q, struct session *s, int *log_fd, char *why, size_t n)
{
	const char *later = request_refuse(q);
	int r;

	limits_raise(&q->limits);
	r = request_dirs(q, why, n);
	session_init(s, q->opts, q->images, q->work);
	s->caller = q->caller;
	*log_fd = -1;
	if (r < 0)
		return r;
	s->notify = (struct notify){ step_tell, q };
	r = log_start(q, s, log_fd, why, n);
	if (r == 0 && later) {
		session_fail(s, -EBADRQC, "--%s is not supported yet; nothing was done", later);
		r = s->why_r;
	}
	return r;
}

static int session_over(struct request *q, struct session *s, int log_fd, int r, const char *failed,
			char *why, size_t n)
{
	if (r < 0 && s->log.fd >= 0)
		told(s, failed, why, n);
	r = r < 0 && s->why_r ? s->why_r : r;
	q->stats = s->stats;
	q->log_fd = -1;
	session_deinit(s);
	fd_close(log_fd);
	limits_back(&q->limits);
	return r;
}

int request_dump(struct request *q, char *why, size_t n)
{
	struct session s;
	int log_fd, r = session_begin(q, &s, &log_fd, why, n);

	q->dumping = true;
	q->root = q->opts->pid;
	if (r == 0)
		r = flow_dump(&s);
	if (r == 0) {
		dump_stats(q, &s);
		session_info(&s, "Dumping finished successfully");
	}
	return session_over(q, &s, log_fd, r, "Dumping FAILED.", why, n);
}

int pidfile_write(struct request *q, pid_t pid, char *why, size_t n)
{
	char text[16];
	own_fd int fd = openat(q->work, q->pidfile, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	snprintf(text, sizeof(text), "%d", pid);
	if (fd < 0 || fd_write_all(fd, text, strlen(text)) < 0) {
		snprintf(why, n, "pidfile %.900s: %s", q->pidfile, strerror(errno));
		return -errno;
	}
	return 0;
}

int request_restore(struct request *q, pid_t *root, char *why, size_t n)
{
	struct session s;
	int log_fd, r = session_begin(q, &s, &log_fd, why, n);

	if (r == 0 && q->pidfile && faccessat(q->work, q->pidfile, F_OK, 0) == 0)
		r = session_fail(&s, -EEXIST, "pidfile %s: exists already; remove it first", q->pidfile);
	if (r == 0 && q->opts->has_network_lock)
		session_warn(&s, "network-lock: a restore uses what the dump used");
	if (r == 0)
		r = flow_restore(&s, root);
	if (r == 0) {
		restore_stats(q, &s);
		if (q->pidfile)
			r = pidfile_write(q, *root, why, n);
		if (r < 0)
			session_fail(&s, -ECANCELED, "%s", why);
		else
			session_info(&s, "Restore finished successfully. Tasks resumed.");
		if (r == 0 && q->done)
			q->done(q->done_arg, *root);
		flow_restore_end(&s, r == 0);
	}
	return session_over(q, &s, log_fd, r, "Restoring FAILED.", why, n);
}

int request_cpuinfo(struct request *q, bool check, char *why, size_t n)
{
	uint32_t caps = q->opts->has_cpu_cap ? q->opts->cpu_cap : CPU_CAP_FPU | CPU_CAP_INS;
	struct session s;
	int log_fd, r = session_begin(q, &s, &log_fd, why, n);

	if (r == 0)
		r = check ? cpuinfo_check(&s, caps) : cpuinfo_dump(&s);
	return session_over(q, &s, log_fd, r, check ? "cpuinfo check FAILED." : "cpuinfo dump FAILED.", why, n);
}

int request_exec(struct request *q, char *why, size_t n)
{
	char **argv = xalloc((q->opts->n_exec_cmd + 1) * sizeof(*argv));

	memcpy(argv, q->opts->exec_cmd, q->opts->n_exec_cmd * sizeof(*argv));
	execvp(argv[0], argv);
	snprintf(why, n, "exec-cmd %.900s: %s", argv[0], strerror(errno));
	free(argv);
	return -errno;
}
