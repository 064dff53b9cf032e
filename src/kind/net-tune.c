// SPDX-License-Identifier: Apache-2.0
/*
 * net-tune: what /proc/sys/net has for a network namespace besides the switches of net-sysctl.c, as lines
 * PATH=VALUE in the namespace's message: somaxconn, tcp_*, port ranges, ip_unprivileged_port_start, the
 * neighbour tables' parameters of every device, newer `conf` entries, nf_conntrack_*, bridge-nf-*, MPLS.
 *
 * Kept:   whatever can be read and written there, so also what newer kernels have.
 * Lost:   a value that this kernel refuses or lacks: reported.
 * Kernel: a namespace is shown only what is its own; net/sysctl_net.c.
 */
#include "kind/net-sysctl.h"

#include "base/res.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define TUNE_MAX 16384 /* switches of one namespace */
#define VALUE_MAX 65536
#define PATH_LEN 192
#define DEPTH_MAX 4 /* ipv4/neigh/DEVICE */

static const char *const tops[] = { "bridge", "core", "ipv4", "ipv6", "mpls", "mptcp", "netfilter" };

/* Kept elsewhere, the same value in another unit, or an order instead of a value. */
static bool tune_skip(const char *path)
{
	static const char *const no[] = {
		"ipv4/ping_group_range", "ipv4/ip_forward", "ipv4/route/flush",
		"ipv6/route/flush", "netfilter/nf_log",
	};
	const char *last = strrchr(path, '/');

	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		if (!strcmp(path, no[i]))
			return true;
	if (text_starts(path, "ipv4/conf/") || text_starts(path, "ipv6/conf/"))
		return net_conf_known(path[3] == '4' ? NET_CONF4 : NET_CONF6, last + 1);
	return strstr(path, "/neigh/") && (!strcmp(last, "/base_reachable_time") || !strcmp(last, "/retrans_time"));
}

static void tune_take(int dir, const char *name, const char *path, NetnsEntry *e)
{
	own_mem char *value = NULL;
	size_t n;

	if (text_read(dir, name, &value, NULL) < 0)
		return; /* of those that can be written, a few cannot be read */
	n = strlen(value);
	while (n && value[n - 1] == '\n')
		value[--n] = 0;
	if (n > VALUE_MAX || strchr(value, '\n') || e->n_sysctl == TUNE_MAX)
		return;
	e->sysctl = xgrow(e->sysctl, (e->n_sysctl + 1) * sizeof(*e->sysctl));
	e->sysctl[e->n_sysctl++] = xprintf("%s=%s", path, value);
}

static void tune_walk(int at, const char *name, const char *path, int depth, NetnsEntry *e)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *f;

	if (!d) {
		fd_close(fd);
		return;
	}
	while ((f = readdir(d))) {
		own_mem char *sub = xprintf("%s/%s", path, f->d_name);
		struct stat st;

		if (*f->d_name == '.' || tune_skip(sub) || strlen(sub) >= PATH_LEN ||
		    fstatat(fd, f->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
			tune_walk(fd, f->d_name, sub, depth + 1, e);
		else if (S_ISREG(st.st_mode) && st.st_mode & S_IWUSR && st.st_mode & S_IRUSR)
			tune_take(fd, f->d_name, sub, e);
	}
	closedir(d);
}

void net_tune_dump(int proc, NetnsEntry *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
		char path[64];

		snprintf(path, sizeof(path), "sys/net/%s", tops[i]);
		tune_walk(proc, path, tops[i], 1, e);
	}
}

/* A path of an image stays below the directories of tops[], and outside of what others restore. */
static bool tune_path_ok(const char *path)
{
	bool top = false;

	for (size_t i = 0; i < ARRAY_SIZE(tops); i++)
		top |= text_starts(path, tops[i]) && path[strlen(tops[i])] == '/';
	return top && strlen(path) < PATH_LEN && !strstr(path, "..") && !tune_skip(path);
}


static int tune_set(int proc, const char *line)
{
	const char *eq = strchr(line, '=');
	own_mem char *path = eq ? xprintf("sys/net/%.*s", (int)(eq - line), line) : NULL, *now = NULL;
	int r;

	if (!eq || strlen(eq + 1) > VALUE_MAX || !tune_path_ok(path + strlen("sys/net/")))
		return -EBADMSG;
	r = text_read(proc, path, &now, NULL);
	if (r < 0)
		return r;
	now[strcspn(now, "\n")] = 0;
	return strcmp(now, eq + 1) ? text_write(proc, path, eq + 1) : 0;
}

int net_tune_restore(struct session *s, int proc, const NetnsEntry *e)
{
	if (e->n_sysctl > TUNE_MAX)
		return session_fail(s, -EBADMSG, "image netns: has %zu switches", e->n_sysctl);
	/* a limit and its counterpart may have to be set in the other order: once more */
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < e->n_sysctl; i++) {
			int r = tune_set(proc, e->sysctl[i]);

			if (r == -EBADMSG)
				return session_fail(s, r, "image netns: switch %.64s: is none of a network namespace",
						    e->sysctl[i]);
			if (r < 0 && round)
				session_warn(s, "sysctl net/%s: cannot be set: %s", e->sysctl[i], strerror(-r));
		}
	return 0;
}
