// SPDX-License-Identifier: Apache-2.0
#include "oci/result.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "oci/term.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#define WARNINGS_MAX 100 /* more are left to the log */
#define MARK "Warn  (stasis): "

static char *log_read(const struct request *q)
{
	char *text = NULL;

	return !q->logged || text_read(q->work, q->opts->log_file, &text, NULL) < 0 ? NULL : text;
}

static bool among(const struct texts *list, const char *text)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->v[i], text))
			return true;
	return false;
}

/* Guests write into the log, too: only it has them all. Each is said once. */
static void warnings_read(const struct request *q, struct texts *list, size_t *more)
{
	own_mem char *text = log_read(q);
	char *save = NULL;

	*more = 0;
	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l; l = strtok_r(NULL, "\n", &save)) {
		char *stamp = *l == '(' ? strstr(l, ") ") : NULL;

		l = stamp ? stamp + 2 : l;
		if (!text_starts(l, MARK) || among(list, l + strlen(MARK)))
			continue;
		if (list->n < WARNINGS_MAX)
			*vec_add(list) = xstrdup(l + strlen(MARK));
		else
			++*more;
	}
}

yajl_gen result_new(bool ok)
{
	yajl_gen g = json_new();

	yajl_gen_map_open(g);
	json_put_bool(g, "ok", ok);
	return g;
}

void result_container(yajl_gen g, const char *name, const char *id, const char *runtime, const char *engine)
{
	json_put(g, "name", name);
	json_put(g, "id", id);
	json_put(g, "runtime", runtime);
	json_put(g, "engine", engine);
}

void result_path(yajl_gen g, const char *key, const char *path)
{
	own_mem char *full = realpath(path, NULL);

	json_put(g, key, full);
}

static void put_log(yajl_gen g, const struct request *q)
{
	own_mem char *dir = NULL, *path = NULL;
	char self[40];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", q->work);
	if (!q->logged || text_readlink(AT_FDCWD, self, &dir) < 0)
		return;
	path = *q->opts->log_file == '/' ? xstrdup(q->opts->log_file) : xprintf("%s/%s", dir, q->opts->log_file);
	result_path(g, "log", path);
}

void result_end(yajl_gen g, const struct request *q, bool kept, const char *more)
{
	struct texts list = { 0 };
	own_mem char *text = NULL;
	size_t left;

	if (kept)
		put_log(g, q);
	warnings_read(q, &list, &left);
	json_key(g, "warnings");
	yajl_gen_array_open(g);
	if (more)
		json_item(g, more);
	for (size_t i = 0; i < list.n; i++)
		json_item(g, list.v[i]);
	yajl_gen_array_close(g);
	yajl_gen_map_close(g);
	texts_free(&list);
	text = json_end(g);
	fputs(text, stdout);
	fflush(stdout);
}

void result_warn(const struct request *q)
{
	struct texts list = { 0 };
	size_t more;

	warnings_read(q, &list, &more);
	for (size_t i = 0; i < list.n; i++)
		term_warn("%s", list.v[i]);
	if (more)
		term_warn("%zu more are in %s", more, q->opts->log_file);
	texts_free(&list);
}

int result_fail(struct people *p, const char *fmt, ...)
{
	own_mem char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = xstrdup(fmt);
	va_end(ap);
	if (p->json) {
		yajl_gen g = result_new(false);

		json_put(g, "error", text);
		result_end(g, &p->req, !p->exp, NULL);
	}
	return term_fail("%s", text);
}
