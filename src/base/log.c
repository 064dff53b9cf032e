// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include "base/res.h"
#include "base/text.h"

#include <string.h>
#include <time.h>

#define LOG_BUF 65536

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

void log_open(struct log *l, int fd, int level)
{
	l->fd = fd;
	l->level = level;
	l->t0 = now_ns();
	if (!l->buf)
		l->buf = xalloc(LOG_BUF);
	l->n = 0;
}

void log_flush(struct log *l)
{
	if (l->n && l->fd >= 0 && fd_write_all(l->fd, l->buf, l->n) < 0)
		l->fd = -1; /* a full log must not fail the work */
	l->n = 0;
}

void log_vat(struct log *l, int level, const char *fmt, va_list ap)
{
	char line[2048];
	int n = 0, m;

	if (level > l->level || l->fd < 0)
		return;
	if (l->level >= LOG_INFO) {
		uint64_t us = (now_ns() - l->t0) / 1000;

		n = snprintf(line, 32, "(%02u.%06u) ", (unsigned)(us / 1000000),
			     (unsigned)(us % 1000000));
	}
	if (level == LOG_ERROR)
		n += snprintf(line + n, 32, "Error (stasis): ");
	else if (level == LOG_WARN)
		n += snprintf(line + n, 32, "Warn  (stasis): ");
	m = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	if (m < 0)
		return;
	n = (size_t)(n + m) > sizeof(line) - 2 ? (int)sizeof(line) - 2 : n + m;
	text_clean(line);
	line[n++] = '\n';
	if (l->n + n > LOG_BUF)
		log_flush(l);
	memcpy(l->buf + l->n, line, n);
	l->n += n;
	if (level <= LOG_WARN)
		log_flush(l);
}

void log_at(struct log *l, int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vat(l, level, fmt, ap);
	va_end(ap);
}
