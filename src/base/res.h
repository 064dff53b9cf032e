/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership by scope: own_* release what they hold at the end of the block, take_* hand it over.
 */
#ifndef BASE_RES_H
#define BASE_RES_H

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

/** fd_close - close a descriptor, keeping errno; a negative one is none */
void fd_close(int fd);

static inline void own_fd_release(int *fd)
{
	if (*fd >= 0)
		fd_close(*fd);
}
static inline void own_mem_release(void *p)
{
	void *mem = *(void **)p;

	free(mem);
}
static inline void own_file_release(FILE **f)
{
	if (*f)
		fclose(*f);
}
static inline void own_dir_release(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define own_fd __attribute__((cleanup(own_fd_release)))
#define own_mem __attribute__((cleanup(own_mem_release)))
#define own_file __attribute__((cleanup(own_file_release)))
#define own_dir __attribute__((cleanup(own_dir_release)))

/** take_fd - hand over a descriptor; the owner forgets it */
static inline int take_fd_from(int *fd)
{
	int v = *fd;

	*fd = -EBADF;
	return v;
}
static inline void *take_mem_from(void *p)
{
	void *v = *(void **)p;

	*(void **)p = NULL;
	return v;
}
#define take_fd(fd) take_fd_from(&(fd))
#define take_mem(p) ((__typeof__(p))take_mem_from(&(p)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PAGE 4096UL
static inline uint64_t page_up(uint64_t v)
{
	return (v + PAGE - 1) & ~(PAGE - 1);
}

/** xalloc - zeroed memory; the program ends when there is none, as nothing sensible can follow */
void *xalloc(size_t n);
/** xgrow - realloc() that does not fail; the new part is not zeroed */
void *xgrow(void *p, size_t n);
char *xstrdup(const char *s);
/** xprintf - asprintf() that does not fail */
char *xprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *xmemdup(const void *p, size_t n);

/** fd_high - move a descriptor above the standard three; owned: the old one is closed */
int fd_high(int fd);
/** fd_reopen - another open file of what fd refers to, close-on-exec; -errno */
int fd_reopen(int fd, int flags);
/** fd_write_all - write n bytes; -errno */
int fd_write_all(int fd, const void *buf, size_t n);

#endif
