/* SPDX-License-Identifier: Apache-2.0 */
/* text: small kernel text files (/proc, /sys), read whole, and the numbers in them. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * text_read - a whole file below dirfd as NUL-terminated text
 * @ret: owned by the caller (free)
 * @ret_len: may be NULL; bytes without the NUL
 *
 * Return: 0, or -errno of openat() or read(), -EFBIG above 1 GiB.
 */
int text_read(int dirfd, const char *path, char **ret, size_t *ret_len);
/** text_read_fd - the rest of an open file */
int text_read_fd(int fd, char **ret, size_t *ret_len);
/** text_readf - text_read() of a path given by a format */
int text_readf(int dirfd, char **ret, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/** text_write - write text to an existing file in one write(2) */
int text_write(int dirfd, const char *path, const char *text);
/** text_readlink - target of a link, owned by the caller */
int text_readlink(int dirfd, const char *path, char **ret);

/** text_after - what follows key at the start of a line, or NULL; blanks behind key are skipped */
const char *text_after(const char *text, const char *key);
/**
 * text_u64 - number behind a key at the start of a line
 * Return: 0, -ENODATA no such line, -EBADMSG not a number or too large.
 */
int text_u64(const char *text, const char *key, int base, uint64_t *ret);
int text_i64(const char *text, const char *key, int base, int64_t *ret);
/** text_clean - others' names in it steer no terminal and forge no line: '?' for each control character */
void text_clean(char *text);
/** text_unescape - "\040" and the like as in mountinfo, in place */
void text_unescape(char *text);
/** text_starts - does s begin with prefix */
bool text_starts(const char *s, const char *prefix);

#endif
