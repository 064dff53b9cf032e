// SPDX-License-Identifier: Apache-2.0
/*
 * fanotify: marks on files, directories, mounts and file systems.
 *
 * Kept:   class and flags, marks of inodes, mounts and file systems with their masks.
 * Lost:   events not yet read: reported, and the program reads FAN_Q_OVERFLOW instead, as whenever events are lost, but
 *         with FAN_UNLIMITED_QUEUE. Refused: marks of mount namespaces, and those that ask for permission: whoever
 *         dumps would wait for the stopped listener.
 * Kernel: fs/notify/fdinfo.c, fs/notify/notification.c.
 */
#include "kind/fhandle.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "images/fsnotify.pb-c.h"
#include "kind/ns.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PERM_EVENTS 0x170000ULL /* OPEN_PERM, ACCESS_PERM, OPEN_EXEC_PERM, PRE_ACCESS */
#define QUEUE_MAX (1 << 17) /* events; fs.fanotify.max_queued_events is 16384 */
#define MARK_SURVIVES 0x40u	/* FAN_MARK_IGNORED_SURV_MODIFY */
#define MARK_IGNORED_MASK 0x20u
#define MARK_EVICTABLE 0x200u
#define MARK_IGNORE 0x400u

static bool fanotify_is(const struct fd_view *v)
{
	return !strcmp(v->link, "anon_inode:[fanotify]");
}

struct marks {
	struct mark {
		FanotifyMarkEntry e;
		FanotifyInodeMarkEntry ie;
		FanotifyMountMarkEntry me;
		struct fhandle h;
		char *path;
	} **v;
	size_t n, max;
};

static int fanotify_preflight(struct session *s, const struct fd_view *v)
{
	for (const char *l = text_after(v->info, "fanotify "); l; l = text_after(l, "fanotify ")) {
		uint64_t mask = 0, any;

		fhandle_field(l, "mask", &mask);
		if (mask & PERM_EVENTS)
			return session_fail(s, -ENOTSUP,
					    "task %d: descriptor %d is a fanotify group that decides on permissions; stasis would wait for it, remove such marks first",
					    v->task->vpid, v->num);
		if (!fhandle_field(l, "sdev", &any) && !fhandle_field(l, "mnt_id", &any) &&
		    fhandle_field(l, "mask", &any))
			return session_fail(s, -ENOTSUP,
					    "task %d: descriptor %d is a fanotify group with a mark of a whole namespace, which cannot be checkpointed; mark the mount instead",
					    v->task->vpid, v->num);
	}
	return 0;
}

/* A mount, or a file system by one of its mounts. */
static int mark_mount(struct session *s, const struct fd_view *v, MarkType type, uint64_t id, struct mark *k)
{
	bool mount = type == MARK_TYPE__MOUNT;

	k->path = mount ? fhandle_mount(v->task, id) : fhandle_mount_of(v->task, id);
	if (!k->path)
		return session_fail(s, -ENOTSUP,
				    "task %d: fanotify descriptor %d marks %s %llu, which the task does not see",
				    v->task->vpid, v->num, mount ? "mount" : "file system", (unsigned long long)id);
	fanotify_mount_mark_entry__init(&k->me);
	k->me.mnt_id = mount ? id : 0;
	k->me.path = k->path;
	k->e.type = type;
	k->e.s_dev = mount ? 0 : id;
	k->e.me = &k->me;
	return 0;
}

static int mark_inode(struct session *s, const struct fd_view *v, const char *line, struct mark *k)
{
	char who[60];
	int r;

	snprintf(who, sizeof(who), "task %d: fanotify descriptor %d", v->task->vpid, v->num);
	r = fhandle_parse(s, v->task, line, who, &k->h);
	fanotify_inode_mark_entry__init(&k->ie);
	k->ie.i_ino = k->h.ino;
	k->ie.f_handle = &k->h.e;
	k->e.type = MARK_TYPE__INODE;
	k->e.ie = &k->ie;
	k->e.s_dev = k->h.sdev;
	return r;
}

static int mark_parse(struct session *s, const struct fd_view *v, const char *line, struct marks *all)
{
	uint64_t mask = 0, ignored = 0, mflags = 0, id;
	struct mark *k = xalloc(sizeof(*k));

	*vec_add(all) = k;
	fanotify_mark_entry__init(&k->e);
	fhandle_field(line, "mask", &mask);
	fhandle_field(line, "ignored_mask", &ignored);
	fhandle_field(line, "mflags", &mflags);
	k->e.id = v->id;
	k->e.mask = mask;
	k->e.ignored_mask = ignored;
	k->e.mflags = mflags;
	if (fhandle_field(line, "mnt_id", &id))
		return mark_mount(s, v, MARK_TYPE__MOUNT, id, k);
	if (!fhandle_field(line, "ino", &id) && fhandle_field(line, "sdev", &id))
		return mark_mount(s, v, MARK_TYPE__FILESYSTEM, id, k);
	return mark_inode(s, v, line, k);
}

static int marks_read(struct session *s, const struct fd_view *v, FanotifyFileEntry *e, struct marks *all)
{
	uint64_t flags = 0, event = 0, any;
	int r = 0;

	for (const char *l = text_after(v->info, "fanotify "); r == 0 && l; l = text_after(l, "fanotify "))
		if (fhandle_field(l, "event-flags", &event))
			fhandle_field(l, "flags", &flags);
		else if (fhandle_field(l, "mask", &any))
			r = mark_parse(s, v, l, all);
	e->faflags = flags;
	e->evflags = event;
	return r;
}

static bool is_unlimited(const FanotifyFileEntry *e)
{
	return e->faflags & FAN_UNLIMITED_QUEUE;
}

static int fanotify_dump(struct session *s, const struct fd_view *v)
{
	FanotifyFileEntry e = FANOTIFY_FILE_ENTRY__INIT;
	own_mem FanotifyMarkEntry **list = NULL;
	struct marks all = { 0 };
	int r = fanotify_preflight(s, v), queued = 0;

	if (ioctl(v->fd, FIONREAD, &queued) == 0 && queued)
		e.has_lost = e.lost = true;
	if (r == 0)
		r = marks_read(s, v, &e, &all);
	if (e.lost)
		session_warn(s, "task %d: fanotify descriptor %d: %d events that were not read are lost; restored, it %s",
			     v->task->vpid, v->num, queued / (int)FAN_EVENT_METADATA_LEN,
			     is_unlimited(&e) ? "does not tell the program so, as its queue is unlimited"
					      : "tells the program so (FAN_Q_OVERFLOW)");
	list = xalloc((all.n + 1) * sizeof(*list));
	for (size_t i = 0; i < all.n; i++)
		list[i] = &all.v[i]->e;
	e.id = v->id;
	e.flags = v->flags;
	e.fown = v->fown;
	e.n_mark = all.n;
	e.mark = list;
	if (r == 0)
		r = fd_put(s, v, &e.base);
	for (size_t i = 0; i < all.n; i++) {
		fhandle_free(&all.v[i]->h);
		free(all.v[i]->path);
		free(all.v[i]);
	}
	free(all.v);
	return r;
}

/* ---- restore ---- */

static int fanotify_restore(struct session *s, struct fd_obj *o)
{
	const FanotifyFileEntry *e = o->entry->ffy;

	if (!e)
		return session_fail(s, -EBADMSG, "files.img: fanotify 0x%x is damaged", o->id);
	o->fd = fd_high(syscall(SYS_fanotify_init, e->faflags, e->evflags));
	if (o->fd < 0 || fcntl(o->fd, F_SETFD, FD_CLOEXEC) < 0)
		return session_fail(s, -errno, "fanotify 0x%x: make one with flags 0x%x", o->id, e->faflags);
	return 0;
}

/* O_PATH descriptor of what is marked */
static int mark_open(struct session *s, const FanotifyMarkEntry *e, const char *who)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int root = ns_root_fd(s), fd;

	if (root < 0)
		return root;
	if (e->type == MARK_TYPE__INODE && e->ie)
		return fhandle_open(s, e->s_dev, e->ie->i_ino, e->ie->f_handle, who);
	if ((e->type != MARK_TYPE__MOUNT && e->type != MARK_TYPE__FILESYSTEM) || !e->me || !e->me->path || e->me->path[0] != '/')
		return session_fail(s, -EBADMSG, "%s: a mark is damaged or has no path", who);
	fd = fd_high(syscall(SYS_openat2, root, e->me->path, &how, sizeof(how)));
	return fd < 0 ? session_fail(s, -errno, "%s: open the mount %s", who, e->me->path) : fd;
}

static int mark_add(struct session *s, struct fd_obj *o, const FanotifyMarkEntry *e)
{
	unsigned how = FAN_MARK_ADD | (e->type == MARK_TYPE__MOUNT ? FAN_MARK_MOUNT : 0) |
		       (e->type == MARK_TYPE__FILESYSTEM ? FAN_MARK_FILESYSTEM : 0) | (e->mflags & MARK_EVICTABLE);
	unsigned ignore = e->mflags & MARK_IGNORE ? MARK_IGNORE : MARK_IGNORED_MASK;
	own_fd int fd = -1;
	char who[40], path[32];
	int r = 0;

	snprintf(who, sizeof(who), "fanotify 0x%x", o->id);
	fd = mark_open(s, e, who);
	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (e->mask)
		r = syscall(SYS_fanotify_mark, o->fd, how, (uint64_t)e->mask, AT_FDCWD, path);
	if (r == 0 && e->ignored_mask)
		r = syscall(SYS_fanotify_mark, o->fd, how | ignore | (e->mflags & MARK_SURVIVES),
			    (uint64_t)e->ignored_mask, AT_FDCWD, path);
	return r < 0 ? session_fail(s, -errno, "%s: mark inode %llu or mount %s with 0x%x", who,
				    (unsigned long long)(e->ie ? e->ie->i_ino : 0),
				    e->me && e->me->path ? e->me->path : "-", e->mask)
		     : 0;
}

/* A file system of our own, whose files nobody else opens. */
static int stage_open(void)
{
	own_fd int fs = syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	return fd_high(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0));
}

/* Events until the queue takes no more, each of another file: like ones would be one. Return: how many are in it. */
static int queue_fill(int fd, int stage)
{
	int have = 0, before = -1;

	for (int n = 0; n < QUEUE_MAX && have != before;) {
		before = have;
		for (int i = 0; i < 256; i++, n++) {
			char name[16];
			int file;

			snprintf(name, sizeof(name), "%08d", n); /* as long as all: so are the events */
			file = openat(stage, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
			if (file < 0)
				return -errno;
			close(file);
		}
		if (ioctl(fd, FIONREAD, &have) < 0)
			return -errno;
	}
	return have == before ? have / (int)FAN_EVENT_METADATA_LEN : -E2BIG;
}

/* Its descriptors are closed. Events are of any length, and so need not stand where their structures should. */
static void event_close(const char *at, const struct fanotify_event_metadata *e)
{
	struct fanotify_event_info_pidfd p;

	if (e->fd >= 0)
		close(e->fd);
	for (size_t i = e->metadata_len; i + sizeof(p) <= e->event_len; i += p.hdr.len) {
		memcpy(&p, at + i, sizeof(p));
		if (!p.hdr.len)
			break;
		if (p.hdr.info_type == FAN_EVENT_INFO_TYPE_PIDFD && p.pidfd >= 0)
			close(p.pidfd);
	}
}

/* Reads one event, or as many as fit in a multiple of its length. Return: how many. */
static int queue_take(int fd, size_t len, int most, size_t *ret_len)
{
	char buf[8192] __attribute__((aligned(8)));
	struct fanotify_event_metadata e = { 0 };
	size_t room = !len ? FAN_EVENT_METADATA_LEN : len * (most < 32 ? most : 32);
	ssize_t n = read(fd, buf, room < sizeof(buf) ? room : sizeof(buf));
	int count = 0;

	while (!len && n < 0 && errno == EINVAL && ++room < 1024) /* the least that the first one fits in */
		n = read(fd, buf, room);
	if (n < 0)
		return -errno;
	for (ssize_t i = 0; i + (ssize_t)sizeof(e) <= n; i += e.event_len, count++) {
		memcpy(&e, buf + i, sizeof(e));
		if (e.event_len < sizeof(e) || i + (ssize_t)e.event_len > n)
			return -EBADMSG;
		event_close(buf + i, &e);
	}
	*ret_len = e.event_len;
	return count;
}

/* The kernel tells of lost events when the queue is full, behind what is in it: fill it, and take all out but that. */
static int queue_overflow(struct session *s, struct fd_obj *o)
{
	own_fd int stage = stage_open();
	int flags = fcntl(o->fd, F_GETFL), left = stage, n = 1;
	size_t len = 0;

	if (stage >= 0 && syscall(SYS_fanotify_mark, o->fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, (uint64_t)FAN_OPEN, stage, ".") < 0)
		left = -errno;
	else if (stage >= 0)
		left = queue_fill(o->fd, stage);
	if (stage >= 0)
		syscall(SYS_fanotify_mark, o->fd, FAN_MARK_FLUSH | FAN_MARK_FILESYSTEM, (uint64_t)0, stage, ".");
	if (left < 0)
		session_warn(s, "fanotify 0x%x: the program is not told of lost events: %s", o->id,
			     left == -E2BIG ? "fs.fanotify.max_queued_events is very large" : strerror(-left));
	if (left == -E2BIG)
		left = INT_MAX;
	if (left < 0)
		return 0;
	fcntl(o->fd, F_SETFL, flags | O_NONBLOCK);
	for (left--; n > 0 && left > 0; left -= n)
		n = queue_take(o->fd, len, left, &len);
	fcntl(o->fd, F_SETFL, flags);
	return n > 0 || n == -EAGAIN ? 0 : session_fail(s, n ? n : -EIO, "fanotify 0x%x: empty it", o->id);
}

/* Late: opening files and making those without a name shall be no events. */
static int fanotify_link(struct session *s, struct fd_obj *o)
{
	const FanotifyFileEntry *e = o->entry->ffy;
	int r = e->has_lost && e->lost && !is_unlimited(e) ? queue_overflow(s, o) : 0;

	for (size_t i = 0; r == 0 && i < e->n_mark; i++)
		r = mark_add(s, o, e->mark[i]);
	return r;
}

const struct fd_kind fd_kind_fanotify = {
	.name = "fanotify",
	.type = FD_TYPES__FANOTIFY,
	.is = fanotify_is,
	.dump = fanotify_dump,
	.restore = fanotify_restore,
	.link = fanotify_link,
	.preflight = fanotify_preflight,
};
