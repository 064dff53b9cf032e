// SPDX-License-Identifier: Apache-2.0
#include "base/res.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

void fd_close(int fd)
{
	int e = errno;

	if (fd >= 0)
		close(fd); /* on Linux the number is free even after EINTR: never retried */
	errno = e;
}

static void no_memory(void)
{
	static const char text[] = "stasis: out of memory\n";

	if (write(2, text, sizeof(text) - 1) < 0)
		_exit(125);
	_exit(125);
}

void *xalloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);

	if (!p)
		no_memory();
	return p;
}

void *xgrow(void *p, size_t n)
{
	p = realloc(p, n ? n : 1);
	if (!p)
		no_memory();
	return p;
}

char *xstrdup(const char *s)
{
	return xmemdup(s, strlen(s) + 1);
}

void *xmemdup(const void *p, size_t n)
{
	void *q = xalloc(n);

	if (n)
		memcpy(q, p, n);
	return q;
}

char *xprintf(const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		no_memory();
	va_end(ap);
	return s;
}

int fd_high(int fd)
{
	int high;

	if (fd < 0 || fd > 2)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (high < 0)
		high = -errno;
	fd_close(fd);
	return high;
}

int fd_reopen(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = fd_high(open(path, flags | O_CLOEXEC));
	return fd < 0 ? -errno : fd;
}

int fd_write_all(int fd, const void *buf, size_t n)
{
	const char *p = buf;

	while (n) {
		ssize_t r = write(fd, p, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		p += r;
		n -= r;
	}
	return 0;
}
