// SPDX-License-Identifier: Apache-2.0
/* Loaded only where there is such a database. */
#include "oci/sqlite.h"

#include "base/res.h"

#include <dlfcn.h>
#include <sqlite3.h>
#include <string.h>

#define LIBRARY "libsqlite3.so.0"
#define WAIT_MS 5000 /* for a transaction of its owner's */
#define SIZE_LIMIT (16 << 20)

/* The loader keeps the library and counts; asking again is cheap. */
static void *symbol(const char *name)
{
	void *lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	return lib ? dlsym(lib, name) : NULL;
}
#define CALL(f) ((__typeof__(&f))symbol(#f))

static int error_of(int r)
{
	return r == SQLITE_DONE ? ENOENT : r == SQLITE_BUSY || r == SQLITE_LOCKED ? EAGAIN : EBADMSG;
}

static char *row_get(sqlite3 *db, const char *statement, const char *parameter, size_t *n)
{
	sqlite3_stmt *q = NULL;
	char *text = NULL;
	int r = CALL(sqlite3_prepare_v2)(db, statement, -1, &q, NULL);

	if (r == SQLITE_OK)
		r = CALL(sqlite3_bind_text)(q, 1, parameter, -1, SQLITE_STATIC);
	if (r == SQLITE_OK)
		r = CALL(sqlite3_step)(q);
	if (r == SQLITE_ROW) {
		const void *found = CALL(sqlite3_column_text)(q, 0);

		*n = found ? CALL(sqlite3_column_bytes)(q, 0) : 0;
		text = found ? xprintf("%.*s", (int)*n, (const char *)found) : NULL;
	}
	CALL(sqlite3_finalize)(q);
	errno = error_of(r);
	return text;
}

char *sqlite_get(const char *file, const char *statement, const char *parameter, size_t *n)
{
	sqlite3 *db = NULL;
	char *text = NULL;
	int r;

	if (access(file, F_OK) < 0)
		return NULL;
	if (!symbol("sqlite3_open_v2")) {
		errno = ENOPKG;
		return NULL;
	}
	r = CALL(sqlite3_open_v2)(file, &db, SQLITE_OPEN_READONLY, NULL);
	if (r == SQLITE_OK) {
		CALL(sqlite3_limit)(db, SQLITE_LIMIT_LENGTH, SIZE_LIMIT);
		CALL(sqlite3_busy_timeout)(db, WAIT_MS);
		text = row_get(db, statement, parameter, n);
		r = errno;
	} else {
		r = error_of(r);
	}
	CALL(sqlite3_close)(db);
	errno = r;
	return text;
}
