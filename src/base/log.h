/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: one line per object into a descriptor. Formatting happens only when the level asks for it.
 * Lines are gathered in memory and written when 64 KiB are full or at log_flush().
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_MSG, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log {
	int fd;	      /* borrowed; -1 none */
	int level;    /* up to this one is written; from LOG_INFO on lines carry "(SS.UUUUUU) " */
	uint64_t t0;  /* CLOCK_MONOTONIC, ns */
	char *buf;
	size_t n;
};

/** log_open - start logging into fd; NULL and negative fds log nothing */
void log_open(struct log *l, int fd, int level);
void log_flush(struct log *l);
void log_vat(struct log *l, int level, const char *fmt, va_list ap);
void log_at(struct log *l, int level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/** now_ns - CLOCK_MONOTONIC in nanoseconds */
uint64_t now_ns(void);

#endif
