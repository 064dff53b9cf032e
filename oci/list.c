// SPDX-License-Identifier: Apache-2.0
/* list: the containers of this machine that can be checkpointed. */
#include "oci/container.h"
#include "oci/people.h"
#include "oci/term.h"

#include "base/res.h"

#include <string.h>

static void list_json(const struct containers *all, bool stopped)
{
	yajl_gen g = json_new();
	own_mem char *text = NULL;

	yajl_gen_array_open(g);
	for (size_t i = 0; i < all->n; i++) {
		const struct container *c = all->v[i];

		if (!c->pid && !stopped)
			continue;
		yajl_gen_map_open(g);
		json_put(g, "runtime", c->runtime);
		json_put(g, "manager", c->manager);
		json_put(g, "id", c->id);
		json_put(g, "name", c->name);
		json_put_int(g, "pid", c->pid);
		json_put(g, "status", c->status);
		json_put(g, "image", c->image);
		json_put(g, "created", c->created);
		json_put(g, "bundle", c->bundle);
		json_put(g, "rootfs", c->rootfs);
		json_put(g, "cgroup", c->cgroup);
		yajl_gen_map_close(g);
	}
	yajl_gen_array_close(g);
	text = json_end(g);
	fputs(text, stdout);
}

enum { COL_RUNTIME, COL_ID, COL_NAME, COLS };

static const char *const heads[COLS] = { "RUNTIME", "ID", "NAME" };

/* What a row shows before the pid; the caller frees each. */
static void columns(const struct container *c, char *ret[COLS])
{
	ret[COL_RUNTIME] = xprintf("%s%s%s", c->manager ? c->manager : "", c->manager ? "/" : "", c->runtime);
	ret[COL_ID] = term_clean(c->id);
	ret[COL_NAME] = term_clean(c->name ? c->name : "");
	if (strlen(ret[COL_ID]) == 64) /* so many hexadecimal digits say no more than their first 12 */
		ret[COL_ID][12] = 0;
}

static void row(const struct container *c, const int width[COLS])
{
	char *col[COLS], pid[16] = "-";
	enum tint t = !strcmp(c->status, "running") ? TINT_GREEN : c->pid ? TINT_YELLOW : TINT_DIM;

	columns(c, col);
	if (c->pid)
		snprintf(pid, sizeof(pid), "%d", c->pid);
	for (size_t i = 0; i < COLS; i++) {
		printf("%-*s ", width[i], col[i]);
		free(col[i]);
	}
	printf("%7s  %s%s%s\n", pid, tint(stdout, t), c->status, tint(stdout, TINT_NONE));
}

/* Whose rows are shown; as wide as the widest of each column. */
static size_t widths(const struct containers *all, bool stopped, int width[COLS])
{
	size_t shown = 0;

	for (size_t i = 0; i < COLS; i++)
		width[i] = strlen(heads[i]);
	for (size_t i = 0; i < all->n; i++) {
		char *col[COLS];

		if (!all->v[i]->pid && !stopped)
			continue;
		shown++;
		columns(all->v[i], col);
		for (size_t k = 0; k < COLS; k++) {
			width[k] = (int)strlen(col[k]) > width[k] ? (int)strlen(col[k]) : width[k];
			free(col[k]);
		}
	}
	return shown;
}

static void table(const struct containers *all, bool stopped)
{
	int width[COLS];

	if (!widths(all, stopped, width)) {
		fprintf(stderr, "No container %s here%s. If one should: does its runtime keep its state elsewhere? (--runtime-root DIR)\n",
			stopped ? "is" : "runs", geteuid() ? " that others than root see" : "");
		return;
	}
	fputs(tint(stdout, TINT_BOLD), stdout);
	for (size_t i = 0; i < COLS; i++)
		printf("%-*s ", width[i], heads[i]);
	printf("%7s  %s%s\n", "PID", "STATUS", tint(stdout, TINT_NONE));
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i]->pid || stopped)
			row(all->v[i], width);
}

int list_run(struct people *p)
{
	struct containers all = { 0 };

	containers_find(&all, p->roots);
	if (p->json)
		list_json(&all, p->all);
	else
		table(&all, p->all);
	containers_free(&all);
	return 0;
}
