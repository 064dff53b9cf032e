// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include "base/res.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#define TEXT_MAX (1UL << 30)

int text_read(int dirfd, const char *path, char **ret, size_t *ret_len)
{
	own_fd int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : text_read_fd(fd, ret, ret_len);
}

int text_read_fd(int fd, char **ret, size_t *ret_len)
{
	own_mem char *buf = NULL;
	size_t n = 0, max = 4096;

	buf = xalloc(max);
	for (;;) {
		ssize_t r = read(fd, buf + n, max - n - 1);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += r;
		if (n + 1 == max) {
			if (max >= TEXT_MAX)
				return -EFBIG;
			max *= 2;
			buf = xgrow(buf, max);
		}
	}
	buf[n] = 0;
	if (ret_len)
		*ret_len = n;
	*ret = take_mem(buf);
	return 0;
}

int text_readf(int dirfd, char **ret, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return text_read(dirfd, path, ret, NULL);
}

int text_write(int dirfd, const char *path, const char *text)
{
	own_fd int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);
	size_t n = strlen(text);
	ssize_t r;

	if (fd < 0)
		return -errno;
	r = write(fd, text, n);
	if (r < 0)
		return -errno;
	return (size_t)r == n ? 0 : -EIO;
}

int text_readlink(int dirfd, const char *path, char **ret)
{
	char buf[PATH_MAX + 64];
	ssize_t n = readlinkat(dirfd, path, buf, sizeof(buf) - 1);

	if (n < 0)
		return -errno;
	if ((size_t)n == sizeof(buf) - 1)
		return -ENAMETOOLONG;
	buf[n] = 0;
	*ret = xstrdup(buf);
	return 0;
}

const char *text_after(const char *text, const char *key)
{
	size_t n = strlen(key);

	while (text) {
		if (!strncmp(text, key, n)) {
			text += n;
			while (*text == ' ' || *text == '\t')
				text++;
			return text;
		}
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return NULL;
}

int text_u64(const char *text, const char *key, int base, uint64_t *ret)
{
	const char *p = text_after(text, key);
	char *end;
	unsigned long long v;

	if (!p)
		return -ENODATA;
	if (!isxdigit((unsigned char)*p))
		return -EBADMSG;
	errno = 0;
	v = strtoull(p, &end, base);
	if (errno || end == p)
		return -EBADMSG;
	*ret = v;
	return 0;
}

int text_i64(const char *text, const char *key, int base, int64_t *ret)
{
	const char *p = text_after(text, key);
	char *end;
	long long v;

	if (!p)
		return -ENODATA;
	errno = 0;
	v = strtoll(p, &end, base);
	if (errno || end == p)
		return -EBADMSG;
	*ret = v;
	return 0;
}

bool text_starts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

void text_clean(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) /* C1, as UTF-8 */
			p[0] = p[1] = '?';
	}
}

void text_unescape(char *p)
{
	char *to = p;

	for (; *p; p++) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] && p[3]) {
			*to++ = (p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0');
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = 0;
}
