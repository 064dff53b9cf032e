// SPDX-License-Identifier: Apache-2.0
/* runtime: the state files of runc (ROOT/ID/state.json) and crun (ROOT/ID/status). */
#include "oci/container.h"

#include "base/list.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>

static char *copy(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

static void set_pid(struct container *c, int64_t pid, int64_t start)
{
	own_mem char *text = NULL;
	unsigned long long now = pid > 0 && pid <= INT32_MAX ? proc_start(pid) : 0;

	if (!now || (start > 0 && (unsigned long long)start != now))
		return; /* that pid is somebody else's by now */
	c->pid = pid;
	c->status = "running";
	if (!c->cgroup)
		return;
	if (text_readf(AT_FDCWD, &text, "%s/freezer.state", c->cgroup) == 0 && text_starts(text, "FROZEN"))
		c->status = "paused";
	free(text);
	text = NULL;
	if (text_readf(AT_FDCWD, &text, "%s/cgroup.freeze", c->cgroup) == 0 && *text == '1')
		c->status = "paused";
}

static const char *label(yajl_val list, const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < json_n(list); i++) {
		const char *t = json_string(json_at(list, i));

		if (t && !strncmp(t, key, n) && t[n] == '=')
			return t + n + 1;
	}
	return NULL;
}

static void runc_read(struct container *c, yajl_val v)
{
	yajl_val config = json_get(v, "config"), paths = json_get(v, "cgroup_paths");
	const char *cgroup = json_text(paths, "freezer");

	c->runtime = "runc";
	c->rootfs = copy(json_text(config, "rootfs"));
	c->bundle = copy(label(json_get(config, "labels"), "bundle"));
	c->created = copy(json_text(v, "created"));
	c->cgroup = copy(cgroup ? cgroup : json_text(paths, ""));
	set_pid(c, json_int(v, "init_process_pid", 0), json_int(v, "init_process_start", 0));
}

static void crun_read(struct container *c, yajl_val v)
{
	const char *path = json_text(v, "cgroup-path");

	c->runtime = "crun";
	c->rootfs = copy(json_text(v, "rootfs"));
	c->bundle = copy(json_text(v, "bundle"));
	c->created = copy(json_text(v, "created"));
	if (path && *path && !strstr(path, "..")) {
		c->cgroup = xprintf("/sys/fs/cgroup/freezer/%s", path);
		if (access(c->cgroup, F_OK) < 0) {
			free(c->cgroup);
			c->cgroup = xprintf("/sys/fs/cgroup/%s", path);
		}
		if (access(c->cgroup, F_OK) < 0) {
			free(c->cgroup);
			c->cgroup = NULL;
		}
	}
	set_pid(c, json_int(v, "pid", 0), json_int(v, "process-start-time", 0));
}

static void one(struct containers *all, const char *root, const char *id)
{
	own_mem char *runc = xprintf("%s/%s/state.json", root, id);
	own_mem char *crun = xprintf("%s/%s/status", root, id);
	own_json yajl_val v = json_read(AT_FDCWD, runc);
	bool is_runc = v && json_get(v, "init_process_pid");
	struct container *c;

	if (!v)
		v = json_read(AT_FDCWD, crun);
	if (!v || (!is_runc && !json_get(v, "pid")))
		return;
	c = container_new(all);
	c->id = xstrdup(id);
	c->root = xstrdup(root);
	c->state = xstrdup(is_runc ? runc : crun);
	if (is_runc)
		runc_read(c, v);
	else
		crun_read(c, v);
	if (c->bundle)
		c->config = xprintf("%s/config.json", c->bundle);
}

void runtime_find(struct containers *all, const char *root)
{
	own_dir DIR *d = opendir(root);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			one(all, root, e->d_name);
}
