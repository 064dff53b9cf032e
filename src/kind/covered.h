/* SPDX-License-Identifier: Apache-2.0 */
/* covered: files that are in use below a place where something else is mounted now. */
#ifndef KIND_COVERED_H
#define KIND_COVERED_H

#include "kind/fd.h"

/**
 * covered_mount - dump: where the mount is that fd is on, if that can be seen there
 * @link: what /proc shows for the file
 * Return: owned by the caller; NULL: the file is no such one.
 */
char *covered_mount(const struct task *k, int fd, const char *link);
/**
 * covered_open - restore: open such a file
 * @mount: what covered_mount() said
 * Return: a descriptor, or -errno.
 */
int covered_open(struct session *s, const char *mount, const char *name, int flags);

#endif
