/* SPDX-License-Identifier: Apache-2.0 */
/* bolt: one value out of a bbolt database, in which Podman keeps the configurations of its containers. */
#ifndef OCI_BOLT_H
#define OCI_BOLT_H

#include <stddef.h>

/**
 * bolt_get - the value at a path of keys; all but the last are buckets
 * Return: the value with a NUL behind it, owned, its size in *n; NULL with errno (ENOENT: no such key, EBADMSG: no
 * such database, EAGAIN: its owner is writing).
 */
char *bolt_get(const char *file, const char *const *keys, size_t n_keys, size_t *n);

#endif
