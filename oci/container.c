// SPDX-License-Identifier: Apache-2.0
#include "oci/container.h"

#include "base/list.h"
#include "base/text.h"

#include <fcntl.h>
#include <glob.h>
#include <string.h>

struct container *container_new(struct containers *all)
{
	struct container *c = xalloc(sizeof(*c));

	c->runtime = "";
	c->status = "stopped";
	*vec_add(all) = c;
	return c;
}

void containers_free(struct containers *all)
{
	for (size_t i = 0; i < all->n; i++) {
		struct container *c = all->v[i];

		free(c->id);
		free(c->name);
		free(c->image);
		free(c->created);
		free(c->state);
		free(c->root);
		free(c->bundle);
		free(c->config);
		free(c->rootfs);
		free(c->cgroup);
		free(c);
	}
	free(all->v);
	memset(all, 0, sizeof(*all));
}

unsigned long long proc_start(pid_t pid)
{
	own_mem char *text = NULL;
	unsigned long long start = 0;
	const char *p;
	char state;

	if (pid <= 0 || text_readf(AT_FDCWD, &text, "/proc/%d/stat", pid) < 0)
		return 0;
	p = strrchr(text, ')'); /* the name may hold anything */
	if (!p || sscanf(p, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
			 &state, &start) != 2 || state == 'Z' || state == 'X')
		return 0;
	return start;
}

static void find_glob(struct containers *all, const char *pattern)
{
	glob_t g = { 0 };

	if (glob(pattern, GLOB_ONLYDIR, NULL, &g) == 0)
		for (size_t i = 0; i < g.gl_pathc; i++)
			runtime_find(all, g.gl_pathv[i]);
	globfree(&g);
}

void containers_find(struct containers *all, const char *roots)
{
	static const char *const usual[] = {
		"/run/runc", "/run/crun", "/run/user/*/runc", "/run/user/*/crun",
		"/run/containerd/runc/*", "/run/docker/runtime-*/*",
	};
	own_mem char *list = roots ? xstrdup(roots) : NULL;
	char *save = NULL;

	for (char *w = list ? strtok_r(list, ":", &save) : NULL; w; w = strtok_r(NULL, ":", &save))
		runtime_find(all, w);
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		find_glob(all, usual[i]);
	names_find(all);
	lxc_find(all);
}

static bool matches(const struct container *c, const char *what, int how)
{
	if (how == 0)
		return c->id && !strcmp(c->id, what);
	if (how == 1)
		return c->name && !strcmp(c->name, what);
	return c->id && strlen(what) >= 3 && text_starts(c->id, what);
}

/* A runtime's copy in two places, e.g. a root given that is searched anyway, is one container. */
static bool same(const struct container *a, const struct container *b)
{
	return a->pid == b->pid && a->id && b->id && !strcmp(a->id, b->id);
}

static int pick_by(struct containers *all, const char *what, int how, struct container **ret)
{
	int found = 0;

	for (size_t i = 0; i < all->n; i++) {
		if (!matches(all->v[i], what, how) || (found && same(all->v[i], *ret)))
			continue;
		if (found++ == 0 || ((*ret)->pid == 0 && all->v[i]->pid)) {
			found -= found > 1; /* one that runs is meant rather than one that has ended */
			*ret = all->v[i];
		} else if (all->v[i]->pid == 0) {
			found--;
		}
	}
	return found;
}

static int pick_pid(struct containers *all, pid_t pid, struct container **ret)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i]->pid == pid) {
			*ret = all->v[i];
			return 0;
		}
	if (!proc_start(pid))
		return -ESRCH;
	*ret = container_new(all);
	(*ret)->pid = pid;
	(*ret)->id = xprintf("%d", pid);
	(*ret)->status = "running";
	return 0;
}

int container_pick(struct containers *all, const char *what, struct container **ret, char *why, size_t n)
{
	char *end;
	long pid;
	int found = 0;

	for (int how = 0; how < 3 && !found; how++)
		found = pick_by(all, what, how, ret);
	if (found == 1)
		return 0;
	if (found) {
		snprintf(why, n, "container %s: %d are called so; give the whole id (stasis list)", what, found);
		return -ENOTUNIQ;
	}
	errno = 0;
	pid = strtol(what, &end, 10);
	if (!errno && !*end && end != what && pid > 0 && pid <= INT32_MAX &&
	    pick_pid(all, pid, ret) == 0)
		return 0;
	snprintf(why, n, "container %s: there is none of that name, id or pid; see stasis list, or say where its runtime keeps its state with --runtime-root",
		 what);
	return -ESRCH;
}
