// SPDX-License-Identifier: Apache-2.0
/*
 * cgroup-frozen: tasks that somebody has frozen cannot be made to do anything for us, so a dump would wait for
 * them: refused before anybody is stopped. The cgroup of --freeze-cgroup is thawed by the tracer.
 *
 * Kernel: of version 1 freezer.self_freezing, of version 2 cgroup.freeze tell what was asked of a directory itself.
 */
#include "base/res.h"
#include "base/text.h"
#include "kind/cgroup-hier.h"
#include "kind/cgroup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* the one of --freeze-cgroup */
static bool ours_to_thaw(const struct session *s, int root, const char *path)
{
	const char *given = s->opts->freeze_cgroup;
	struct stat a, b;

	return given && *given && stat(given, &a) == 0 && fstatat(root, path, &b, 0) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* A directory and all above it. */
static int look(struct session *s, const struct task *k, const struct hier *h)
{
	own_mem char *path = xprintf(".%s", h->own);

	for (char *end = path + strlen(path); end; end = strrchr(path, '/')) {
		own_mem char *text = NULL;

		*end = 0;
		if (text_readf(h->fd, &text, "%s/%s", path, *h->name ? "freezer.self_freezing" : "cgroup.freeze") < 0 ||
		    *text != '1' || ours_to_thaw(s, h->fd, path))
			continue;
		return session_fail(s, -EBUSY,
				    "task %d: is frozen, with its cgroup %s of hierarchy \"%s\"; thaw that first, or name it by --freeze-cgroup",
				    k->vpid, path + 1, h->name);
	}
	return 0;
}

static int task_look(struct session *s, const struct task *k, char **seen)
{
	own_mem char *text = NULL;
	struct hiers all = { 0 };
	int r;

	if (text_read(k->proc, "cgroup", &text, NULL) < 0 || (*seen && !strcmp(*seen, text)))
		return 0; /* ended meanwhile; or where the one before it is */
	r = hiers_parse(s, text, &all);
	for (size_t i = 0; r == 0 && i < all.n; i++) {
		struct hier *h = &all.v[i];

		if (*h->name && !hier_has(h, "freezer"))
			continue;
		r = hier_mounted(s, h);
		if (r == 0 && h->fd >= 0)
			r = look(s, k, h);
	}
	hiers_free(&all);
	free(*seen);
	*seen = take_mem(text);
	return r;
}

int cgroup_frozen_preflight(struct session *s, const struct tree *tree)
{
	own_mem char *seen = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < tree->n; i++)
		if (tree->all[i]->state != TASK_DEAD)
			r = task_look(s, tree->all[i], &seen);
	return r;
}
