// SPDX-License-Identifier: Apache-2.0
#include "session/session.h"

#include "base/limits.h"
#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>
#ifdef SANITIZERS
#include <sanitizer/lsan_interface.h>
#endif
#include <sys/random.h>

void session_init(struct session *s, const CriuOpts *opts, int images, int work)
{
	unsigned char b[16];

	memset(s, 0, sizeof(*s));
	s->opts = opts;
	s->images = images;
	s->work = work;
	s->log.fd = s->caller = -1;
	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		memset(b, getpid() & 0xff, sizeof(b));
	b[6] = (b[6] & 0x0f) | 0x40; /* RFC 4122, version 4 */
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(s->run_id, sizeof(s->run_id),
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		 b[15]);
}

/* What the maps hold lives as long as the process, which does one job; nobody leaks what can be reached from there. */
static void maps_free(struct session *s)
{
#ifdef SANITIZERS
	__lsan_ignore_object(xmemdup(&s->maps, sizeof(s->maps)));
#else
	for (size_t i = 0; i < s->maps.max; i++) {
		if (!s->maps.rows[i].value)
			continue;
		map_free(s->maps.rows[i].value);
		free(s->maps.rows[i].value);
	}
	map_free(&s->maps);
#endif
}

void session_deinit(struct session *s)
{
	session_undo_all(s);
	maps_free(s);
	log_flush(&s->log);
	free(s->log.buf);
	s->log.buf = NULL;
}

static bool errno_said(int r)
{
	return r == 0 || r == -ENOTSUP || r == -EINVAL || r == -EBADMSG || r == -EBADRQC || r == -ECANCELED;
}

/* Where descriptors run out, any step may fail, with a reason that does not show it. */
static void few_files(struct session *s)
{
	unsigned long files = 0;
	size_t n = strlen(s->why);

	if (limits_few_fds(&files))
		snprintf(s->why + n, sizeof(s->why) - n,
			 "; only %lu open files are allowed here, which is too few: raise the hard limit (ulimit -n, LimitNOFILE=)", files);
}

int session_fail(struct session *s, int r, const char *fmt, ...)
{
	char text[sizeof(s->why)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), *fmt == '^' ? fmt + 1 : fmt, ap);
	va_end(ap);
	text_clean(text);
	if (!s->why[0]) {
		s->why_r = r;
		if (errno_said(r))
			snprintf(s->why, sizeof(s->why), "%.900s", text);
		else
			snprintf(s->why, sizeof(s->why), "%.800s: %s", text, strerror(-r));
		few_files(s);
	} else if (*fmt == '^') {
		char old[sizeof(s->why)];

		memcpy(old, s->why, sizeof(old));
		snprintf(s->why, sizeof(s->why), "%.200s: %.780s", text, old);
	}
	return r ? r : -EIO;
}

void session_forget(struct session *s)
{
	s->why[0] = 0;
	s->why_r = 0;
}

void session_warn(struct session *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vat(&s->log, LOG_WARN, fmt, ap);
	va_end(ap);
}

void session_info(struct session *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vat(&s->log, LOG_INFO, fmt, ap);
	va_end(ap);
}

void session_debug(struct session *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vat(&s->log, LOG_DEBUG, fmt, ap);
	va_end(ap);
}

void session_undo(struct session *s, void (*fn)(void *arg), void *arg)
{
	struct undo *u = xalloc(sizeof(*u));

	u->fn = fn;
	u->arg = arg;
	u->next = s->undo;
	s->undo = u;
}

void session_undo_all(struct session *s)
{
	while (s->undo) {
		struct undo *u = s->undo;

		s->undo = u->next;
		u->fn(u->arg);
		free(u);
	}
}

void session_undo_drop(struct session *s)
{
	while (s->undo) {
		struct undo *u = s->undo;

		s->undo = u->next;
#ifdef SANITIZERS
		__lsan_ignore_object(u->arg); /* lives as long as the process */
#endif
		free(u);
	}
}

struct map *session_map(struct session *s, const char *name)
{
	uint64_t key = 0xcbf29ce484222325ULL; /* FNV-1a: names are few literals */
	struct map *m;

	for (const char *p = name; *p; p++)
		key = (key ^ (unsigned char)*p) * 0x100000001b3ULL;
	m = map_get(&s->maps, key);
	if (!m) {
		m = xalloc(sizeof(*m));
		map_put(&s->maps, key, m);
	}
	return m;
}

void *session_state(struct session *s, const char *name, size_t size)
{
	struct map *m = session_map(s, name);

	if (!map_get(m, 0))
		map_put(m, 0, xalloc(size));
	return map_get(m, 0);
}

int session_notify(struct session *s, const char *step, pid_t pid, int fd)
{
	int r;

	if (!s->notify.call)
		return 0;
	log_flush(&s->log);
	r = s->notify.call(s->notify.arg, step, pid, fd);
	return r < 0 ? session_fail(s, -ECANCELED, "%s: the caller's hook or script failed", step)
		     : 0;
}

const char *external_find(const struct session *s, const char *type, const char *key)
{
	size_t nt = strlen(type), nk = strlen(key);

	for (size_t i = s->opts->n_external; i-- > 0;) {
		const char *e = s->opts->external[i];

		if (strncmp(e, type, nt) || e[nt] != '[' || strncmp(e + nt + 1, key, nk) ||
		    e[nt + 1 + nk] != ']')
			continue;
		e += nt + 2 + nk;
		return *e == ':' ? e + 1 : e;
	}
	if (!strcmp(type, "mnt"))
		for (size_t i = s->opts->n_ext_mnt; i-- > 0;)
			if (!strcmp(s->opts->ext_mnt[i]->key, key))
				return s->opts->ext_mnt[i]->val;
	if (!strcmp(type, "veth"))
		for (size_t i = s->opts->n_veths; i-- > 0;)
			if (!strcmp(s->opts->veths[i]->if_in, key))
				return s->opts->veths[i]->if_out;
	return NULL;
}

int inherit_find(const struct session *s, const char *key)
{
	for (size_t i = s->opts->n_inherit_fd; i-- > 0;)
		if (!strcmp(s->opts->inherit_fd[i]->key, key))
			return s->opts->inherit_fd[i]->fd;
	return -ENOENT;
}

int session_openat(struct session *s, int dir, const char *path, int flags, mode_t mode)
{
	int fd = s->open_outside ? s->open_outside(s, dir, path, flags | O_CLOEXEC, mode)
				 : openat(dir, path, flags | O_CLOEXEC, mode);

	if (fd < 0)
		return s->open_outside ? fd : -errno;
	return fd_high(fd);
}

int session_unlinkat(struct session *s, int dir, const char *path)
{
	if (s->open_outside)
		return s->open_outside(s, dir, path, OPEN_TO_UNLINK, 0);
	return unlinkat(dir, path, 0) < 0 ? -errno : 0;
}
