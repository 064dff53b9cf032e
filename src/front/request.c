// SPDX-License-Identifier: Apache-2.0
#include "front/request.h"

#include "base/res.h"
#include "flow/flow.h"
#include "image/record.h"
#include "images/stats.pb-c.h"

#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>

int request_dirs(struct request *q, char *why, size_t n)
{
	if (q->images < 0)
		q->images = fd_high(open(q->images_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (q->images < 0) {
		snprintf(why, n, "images directory %s: %s", q->images_dir, strerror(errno));
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

void request_close(struct request *q)
{
	fd_close(q->images);
	fd_close(q->work);
	q->images = q->work = -1;
}

static int log_start(struct request *q, struct session *s, int *fd, char *why, size_t n)
{
	int level = q->opts.has_log_level ? q->opts.log_level : LOG_WARN;
	struct utsname u;

	*fd = -1;
	if (q->log_file && strcmp(q->log_file, "-")) {
		*fd = fd_high(openat(q->work, q->log_file,
				     O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
		if (*fd < 0) {
			snprintf(why, n, "log file %s: %s", q->log_file, strerror(errno));
			return -errno;
		}
	}
	log_open(&s->log, *fd >= 0 ? *fd : q->log_file ? 1 : 2, level);
	if (uname(&u) == 0) {
		session_info(s, "Version: 4.2 (stasis %s), run %s", PACKAGE_VERSION, s->run_id);
		session_info(s, "Running on %s %s %s", u.sysname, u.release, u.machine);
	}
	return 0;
}

static void dump_stats(struct session *s)
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
}

static void restore_stats(struct session *s)
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
}

/* The sentence goes to the caller, and is the log's error. */
static void told(struct session *s, const char *failed, char *why, size_t n)
{
	snprintf(why, n, "%s", s->why[0] ? s->why : "failed without a reason");
	log_at(&s->log, LOG_ERROR, "%s", why);
	log_at(&s->log, LOG_ERROR, "%s", failed);
}

int request_dump(struct request *q, char *why, size_t n)
{
	struct session s;
	int log_fd = -1, r = request_dirs(q, why, n);

	if (r < 0)
		return r;
	session_init(&s, &q->opts, q->images, q->work);
	s.notify = q->notify;
	r = log_start(q, &s, &log_fd, why, n);
	if (r == 0) {
		r = flow_dump(&s);
		if (r < 0) {
			told(&s, "Dumping FAILED.", why, n);
			r = s.why_r ? s.why_r : r;
		} else {
			dump_stats(&s);
			session_info(&s, "Dumping finished successfully");
		}
	}
	session_deinit(&s);
	fd_close(log_fd);
	return r;
}

static int pidfile_write(struct request *q, pid_t pid, char *why, size_t n)
{
	char text[16];
	own_fd int fd = openat(q->work, q->pidfile, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	snprintf(text, sizeof(text), "%d", pid);
	if (fd < 0 || fd_write_all(fd, text, strlen(text)) < 0) {
		snprintf(why, n, "pidfile %s: %s", q->pidfile, strerror(errno));
		return -errno;
	}
	return 0;
}

int request_restore(struct request *q, pid_t *root, char *why, size_t n)
{
	struct session s;
	int log_fd = -1, r = request_dirs(q, why, n);

	if (r < 0)
		return r;
	if (q->pidfile && faccessat(q->work, q->pidfile, F_OK, 0) == 0) {
		snprintf(why, n, "pidfile %s: exists already; remove it first", q->pidfile);
		return -EEXIST;
	}
	session_init(&s, &q->opts, q->images, q->work);
	s.notify = q->notify;
	r = log_start(q, &s, &log_fd, why, n);
	if (r == 0) {
		r = flow_restore(&s, root);
		if (r < 0) {
			told(&s, "Restoring FAILED.", why, n);
			r = s.why_r ? s.why_r : r;
		} else {
			restore_stats(&s);
			session_info(&s, "Restore finished successfully. Tasks resumed.");
		}
	}
	session_deinit(&s);
	fd_close(log_fd);
	return r == 0 && q->pidfile ? pidfile_write(q, *root, why, n) : r;
}
