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

static void row(const struct container *c)
{
	own_mem char *id = term_clean(c->id), *name = term_clean(c->name ? c->name : "");
	own_mem char *runtime = xprintf("%s%s%s", c->manager ? c->manager : "", c->manager ? "/" : "",
					c->runtime);
	char pid[16] = "-";
	enum tint t = !strcmp(c->status, "running") ? TINT_GREEN : c->pid ? TINT_YELLOW : TINT_DIM;

	if (c->pid)
		snprintf(pid, sizeof(pid), "%d", c->pid);
	/* 64 hexadecimal digits say no more than their first 12 */
	printf("%-16s %-*.*s %-20s %7s  %s%s%s\n", runtime, 24, strlen(id) == 64 ? 12 : 1000, id, name, pid,
	       tint(stdout, t), c->status, tint(stdout, TINT_NONE));
}

int list_run(struct people *p)
{
	struct containers all = { 0 };
	size_t shown = 0;

	containers_find(&all, p->roots);
	if (p->json) {
		list_json(&all, p->all);
	} else {
		for (size_t i = 0; i < all.n; i++) {
			if (!all.v[i]->pid && !p->all)
				continue;
			if (!shown++)
				printf("%s%-16s %-24s %-20s %7s  %s%s\n", tint(stdout, TINT_BOLD), "RUNTIME", "ID",
				       "NAME", "PID", "STATUS", tint(stdout, TINT_NONE));
			row(all.v[i]);
		}
		if (!shown)
			fprintf(stderr, "No container %s here%s. If one should: does its runtime keep its state elsewhere? (--runtime-root DIR)\n",
				p->all ? "is" : "runs", geteuid() ? " that others than root see" : "");
	}
	containers_free(&all);
	return 0;
}
