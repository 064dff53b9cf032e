/* SPDX-License-Identifier: Apache-2.0 */
/* sqlite: one text out of an SQLite database, in which Podman 5 keeps the configurations of its containers. */
#ifndef OCI_SQLITE_H
#define OCI_SQLITE_H

#include <stddef.h>

/**
 * sqlite_get - the first column of the one row that a statement finds for its one parameter
 * Return: owned; NULL with errno (ENOENT: no such file or row, ENOPKG: libsqlite3 is not installed, EBADMSG: no such
 * database or table, EAGAIN: its owner is writing).
 */
char *sqlite_get(const char *file, const char *statement, const char *parameter, size_t *n);

#endif
