// SPDX-License-Identifier: Apache-2.0
/*
 * lxc: LXC keeps no state file; a container that runs has the cgroup lxc.payload.NAME, and its first task is the
 * one in there whose parent is not.
 */
#include "oci/container.h"

#include "base/list.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>

/* path of a mounted hierarchy: v1's freezer (v1 true) or v2; owned, NULL if there is none */
static char *hierarchy(bool v1)
{
	own_mem char *text = NULL;
	char *save = NULL;

	if (text_read(AT_FDCWD, "/proc/self/mountinfo", &text, NULL) < 0)
		return NULL;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char root[4096], at[4096], *sep = strstr(l, " - "), *opts = strrchr(l, ' ');

		if (!sep || sscanf(l, "%*d %*d %*s %4095s %4095s", root, at) != 2 || strcmp(root, "/"))
			continue;
		if (v1 ? text_starts(sep, " - cgroup ") && strstr(opts, ",freezer") :
			 text_starts(sep, " - cgroup2 "))
			return xstrdup(at);
	}
	return NULL;
}

/* the task's place in a hierarchy, from its /proc/PID/cgroup; owned */
static char *place(pid_t pid, bool v1)
{
	own_mem char *text = NULL;
	char *save = NULL;

	if (text_readf(AT_FDCWD, &text, "/proc/%d/cgroup", pid) < 0)
		return NULL;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *names = strchr(l, ':'), *path = names ? strchr(names + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = 0;
		if (v1 ? !strcmp(names + 1, "freezer") : !names[1])
			return xstrdup(path);
	}
	return NULL;
}

char *cgroup_dir(pid_t pid)
{
	for (int v1 = 1; v1 >= 0; v1--) {
		own_mem char *at = hierarchy(v1), *path = at ? place(pid, v1) : NULL;

		if (path && strcmp(path, "/") && !strstr(path, ".."))
			return xprintf("%s%s", at, path);
	}
	return NULL;
}

static pid_t first_task(const char *dir)
{
	own_mem char *procs = NULL;
	char *save = NULL;
	pid_t first = 0;

	if (text_readf(AT_FDCWD, &procs, "%s/cgroup.procs", dir) < 0)
		return 0;
	for (char *w = strtok_r(procs, "\n", &save); w; w = strtok_r(NULL, "\n", &save)) {
		own_mem char *status = NULL;
		const char *ns;

		if (text_readf(AT_FDCWD, &status, "/proc/%s/status", w) < 0)
			continue;
		ns = text_after(status, "NSpid:");
		/* the pid in its own, innermost namespace is the last word of the line */
		if (ns) {
			const char *end = strchr(ns, '\n'), *p = end ? end : ns + strlen(ns);

			while (p > ns && p[-1] != '\t' && p[-1] != ' ')
				p--;
			if (atoi(p) == 1 && p > ns)
				first = atoi(w);
		}
	}
	return first;
}

/* lxc.rootfs.path = dir:/path, overlay:..., /path */
static char *rootfs_of(const char *config)
{
	const char *p = text_after(config, "lxc.rootfs.path"), *end;

	if (!p)
		return NULL;
	p += strspn(p, " \t=");
	if (text_starts(p, "dir:"))
		p += 4;
	end = strchr(p, '\n');
	return *p == '/' ? xprintf("%.*s", (int)(end ? (size_t)(end - p) : strlen(p)), p) : NULL;
}

static void one(struct containers *all, const char *name, const char *root)
{
	own_mem char *config = NULL;
	own_mem char *v1 = hierarchy(true), *v2 = hierarchy(false);
	struct container *c;

	if (text_readf(AT_FDCWD, &config, "%s/%s/config", root, name) < 0)
		return;
	c = container_new(all);
	c->runtime = "lxc";
	c->id = xstrdup(name);
	c->name = xstrdup(name);
	c->root = xstrdup(root);
	c->rootfs = rootfs_of(config);
	for (int i = 0; i < 2 && !c->pid; i++) {
		const char *base = i ? v2 : v1;
		char *dir = base ? xprintf("%s/lxc.payload.%s", base, name) : NULL;
		pid_t pid = dir ? first_task(dir) : 0;

		if (pid) {
			free(c->cgroup);
			c->cgroup = dir;
			c->pid = pid;
			c->status = "running";
		} else {
			free(dir);
		}
	}
}

static bool known(const struct containers *all, const char *name, const char *root)
{
	for (size_t i = 0; i < all->n; i++)
		if (!strcmp(all->v[i]->runtime, "lxc") && !strcmp(all->v[i]->id, name) && !strcmp(all->v[i]->root, root))
			return true;
	return false;
}

/* Of a container that runs, whatever its lxcpath: its monitor calls itself "[lxc monitor] LXCPATH NAME". */
static void of_monitor(struct containers *all, const char *pid)
{
	own_mem char *text = NULL;
	const char *root;
	char *name;

	if (text_readf(AT_FDCWD, &text, "/proc/%s/cmdline", pid) < 0 || !(root = text_after(text, "[lxc monitor] ")) ||
	    root != text + strlen("[lxc monitor] ") || !(name = strrchr(root, ' ')))
		return;
	*name++ = 0;
	if (*root == '/' && *name && !strchr(name, '/') && !known(all, name, root))
		one(all, name, root);
}

void lxc_find(struct containers *all)
{
	own_dir DIR *d = opendir("/var/lib/lxc"), *proc = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			one(all, e->d_name, "/var/lib/lxc");
	while (proc && (e = readdir(proc)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
			of_monitor(all, e->d_name);
}
