// SPDX-License-Identifier: Apache-2.0
/*
 * Network and uts namespaces that no task is in, held by a descriptor of a task or by a mount ("ip netns add").
 * They stand in the root task's ids.
 *
 * Kernel: a link in /proc/PID/fd leads to it also when it bears the name of a mount; in mountinfo "net:[4026531840]" is
 *         the root of a mount of nsfs.
 */
#include "kind/ns-held.h"

#include "base/res.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ---- dump ---- */

static void add(struct session *s, struct ns_set *set, struct task *root, uint64_t flag, ino_t ino, int fd)
{
	TaskKobjIdsEntry *e = root->ids;
	struct ns *ns = ns_note_new(s, set, flag, ino, NULL);

	ns->fd = fd;
	e->held_ns = xgrow(e->held_ns, (e->n_held_ns + 1) * sizeof(*e->held_ns));
	e->held_ns[e->n_held_ns++] = ns->id;
	e->held_kind = xgrow(e->held_kind, (e->n_held_kind + 1) * sizeof(*e->held_kind));
	e->held_kind[e->n_held_kind++] = flag;
}

/* fd, which is taken, shows a namespace. */
static void note_one(struct session *s, struct ns_set *set, struct tree *tree, ino_t ino, int taken)
{
	own_fd int fd = taken;
	int flag = fd < 0 || ns_by_ino(s, ino) ? 0 : ioctl(fd, NS_GET_NSTYPE);

	if (flag == CLONE_NEWNET || flag == CLONE_NEWUTS)
		add(s, set, tree->root, flag, ino, take_fd(fd));
}

static void note_fds(struct session *s, struct ns_set *set, struct tree *tree, const struct task *k, dev_t nsfs)
{
	own_fd int at = openat(k->proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir DIR *d = at < 0 ? NULL : fdopendir(at);
	struct dirent *e;

	if (d)
		take_fd(at);
	while (d && (e = readdir(d))) {
		struct stat st;

		if (fstatat(dirfd(d), e->d_name, &st, 0) == 0 && st.st_dev == nsfs)
			note_one(s, set, tree, st.st_ino, fd_high(openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC)));
	}
}

/* mountinfo: ID PARENT DEV ROOT MOUNTPOINT ... */
static void note_mount(struct session *s, struct ns_set *set, struct tree *tree, int root, const char *line)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	char link[64], path[512];
	struct stat st;
	int fd;

	if (sscanf(line, "%*s %*s %*s %63s %511s", link, path) != 2 || *link == '/' || !strstr(link, ":["))
		return;
	fd = fd_high(syscall(SYS_openat2, root, path, &how, sizeof(how)));
	note_one(s, set, tree, fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0, fd);
}

static void note_mounts(struct session *s, struct ns_set *set, struct tree *tree, const struct task *k)
{
	own_fd int root = openat(k->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	own_mem char *text = NULL;

	if (root < 0 || text_read(k->proc, "mountinfo", &text, NULL) < 0)
		return;
	for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		note_mount(s, set, tree, root, line);
}

void ns_held_note(struct session *s, struct ns_set *set, struct tree *tree)
{
	struct stat st;

	if (fstatat(ns_proc(s), "self/ns/mnt", &st, 0) < 0)
		return;
	for (size_t i = 0; i < tree->n; i++) {
		const struct task *k = tree->all[i];

		if (k->state == TASK_DEAD || k->proc < 0)
			continue;
		note_fds(s, set, tree, k, st.st_dev);
		for (unsigned t = 1; t < k->n_threads; t++)
			if (k->threads[t].files_id)
				note_fds(s, set, tree, k->threads[t].apart, st.st_dev);
	}
	for (size_t i = 0, n = set->all.n; i < n; i++) {
		const struct ns *ns = set->all.v[i];

		if (ns->kind->flag == CLONE_NEWNS && ns->own && ns->task)
			note_mounts(s, set, tree, ns->task);
	}
}

/* ---- restore ---- */

int ns_held_plan(struct session *s, const TaskKobjIdsEntry *ids)
{
	if (ids->n_held_ns != ids->n_held_kind || ids->n_held_ns > HELD_MAX)
		return session_fail(s, -EBADMSG, "the root task's ids: namespaces without tasks do not fit");
	for (size_t i = 0; i < ids->n_held_ns; i++) {
		uint32_t kind = ids->held_kind[i], id = ids->held_ns[i];

		if ((kind != CLONE_NEWNET && kind != CLONE_NEWUTS) || !id || id > NS_TAG_ID || ns_find(s, id))
			return session_fail(s, -EBADMSG, "the root task's ids: namespace %u cannot be without tasks", id);
		ns_add_kind(s, kind, id)->own = true;
	}
	return 0;
}
