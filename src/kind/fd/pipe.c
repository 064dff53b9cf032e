// SPDX-License-Identifier: Apache-2.0
/*
 * pipe: both ends of anonymous pipes, wherever they are held, and what is in them.
 *
 * Kept:   owner and permissions, contents, size, status flags, packets (O_DIRECT); ends closed by everybody stay closed.
 * Lost:   where a packet follows bytes that are none and the kernel would have put it beside them, that it is one.
 * Kernel: fs/pipe.c; contents are copied by tee(2), which takes nothing out and keeps packets.
 */
#include "kind/pipe-data.h"

#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "kind/ids.h"

#include <fcntl.h>
#include <string.h>

#define MODE_FRESH 0600 /* permissions of a new pipe */

static bool pipe_is(const struct fd_view *v)
{
	return S_ISFIFO(v->st.st_mode) && text_starts(v->link, "pipe:[");
}

static const struct pipe_store pipe_store = {
	.noun = "pipe",
	.file = "pipes-data.img",
	.magic = MAGIC_PIPES_DATA,
	.ids = "pipe ids",
	.taken = "pipe ids taken",
	.loaded = "pipe loaded",
};

static int pipe_dump(struct session *s, const struct fd_view *v)
{
	PipeEntry e = PIPE_ENTRY__INIT;
	int r;

	e.id = v->id;
	e.flags = v->flags;
	e.fown = v->fown;
	e.uid = uid_in(s, v->st.st_uid);
	e.gid = gid_in(s, v->st.st_gid);
	e.mode = v->st.st_mode & 07777;
	e.has_uid = e.uid && e.uid != ID_NONE; /* somebody else's is root's afterwards */
	e.has_gid = e.gid && e.gid != ID_NONE;
	e.has_mode = e.mode != MODE_FRESH;
	r = pipe_data_dump(s, &pipe_store, v, &e.pipe_id);
	return r < 0 ? r : fd_put(s, v, &e.base);
}

static int pipe_dump_end(struct session *s)
{
	return image_shared_end(s, pipe_store.file);
}

/* ---- restore ---- */

struct pipe_pair {
	int end[2];
};

/* A pipe of ours with what was in it, made for its first end. */
static int pipe_make(struct session *s, uint32_t id, struct pipe_pair **ret)
{
	struct map *pairs = session_map(s, "pipe pairs");
	struct pipe_pair *p = map_get(pairs, id);

	*ret = p;
	if (p)
		return 0;
	*ret = p = xalloc(sizeof(*p));
	if (pipe2(p->end, O_CLOEXEC | O_NONBLOCK) < 0) {
		int r = -errno;

		free(p);
		return session_fail(s, r, "pipe 0x%x: make", id);
	}
	p->end[0] = fd_high(p->end[0]);
	p->end[1] = fd_high(p->end[1]);
	map_put(pairs, id, p);
	return pipe_data_fill(s, &pipe_store, id, p->end[1]);
}

/* The caller's end as it is, with what is in it: what the image has is not put there. */
static int pipe_borrow(struct session *s, struct fd_obj *o, const char *key, int fd)
{
	const PipeEntry *e = o->entry->pipe;
	int want = e->flags & O_ACCMODE, have = fcntl(fd, F_GETFL);
	struct pipe_data *d;
	int r = pipe_data_get(s, &pipe_store, e->pipe_id, &d);

	if (r < 0)
		return r;
	if (have < 0)
		return session_fail(s, -errno, "%s: the caller's descriptor %d", key, fd);
	if ((have & O_ACCMODE) != O_RDWR && (have & O_ACCMODE) != want)
		return session_fail(s, -EINVAL,
				    "%s: the caller's descriptor %d cannot be %s, as this end is; hand over the other end",
				    key, fd, want == O_RDONLY ? "read" : want == O_WRONLY ? "written" : "read and written");
	if (d && d->bytes) {
		session_warn(s, "%s: %u bytes that were in it are lost, as the caller gave another pipe", key,
			     d->bytes);
		d->bytes = 0; /* said once */
	}
	o->borrowed = true;
	o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return o->fd < 0 ? session_fail(s, -errno, "%s: take the caller's", key) : 0;
}

static int pipe_restore(struct session *s, struct fd_obj *o)
{
	const PipeEntry *e = o->entry->pipe;
	struct pipe_pair *p;
	char key[40];
	int fd, r;

	if (!e)
		return session_fail(s, -EBADMSG, "files.img: pipe 0x%x is damaged", o->id);
	snprintf(key, sizeof(key), "pipe:[%u]", e->pipe_id);
	fd = inherit_find(s, key);
	if (fd >= 0)
		return pipe_borrow(s, o, key, fd);
	r = pipe_make(s, e->pipe_id, &p);
	if (r < 0)
		return r;
	/* each entry is an open file of its own: two of one end may differ in their flags */
	o->fd = fd_reopen(p->end[(e->flags & O_ACCMODE) != O_RDONLY],
			  e->flags & (O_ACCMODE | O_NONBLOCK | O_PATH));
	return o->fd < 0 ? session_fail(s, o->fd, "pipe 0x%x: open", e->pipe_id) : 0;
}

/* Whom permissions let open it once more (/dev/stderr). */
static void set_owner(struct session *s, const PipeEntry *e, int fd)
{
	uint32_t uid = e->has_uid ? e->uid : 0, gid = e->has_gid ? e->gid : 0;
	int r = ids_give(s, fd, uid, gid);

	if (r == 0 && e->has_mode && e->mode <= 07777 && fchmod(fd, e->mode) < 0)
		r = -errno;
	if (r < 0)
		session_warn(s, "pipe 0x%x: it cannot be given to user %u and group %u: %s", e->pipe_id, uid, gid, strerror(-r));
}

/* All have their ends: ours go, so that a missing end is missing. */
static int pipe_link(struct session *s, struct fd_obj *o)
{
	struct pipe_pair *p = map_get(session_map(s, "pipe pairs"), o->entry->pipe->pipe_id);

	if (p && p->end[1] >= 0)
		set_owner(s, o->entry->pipe, p->end[1]);
	for (int i = 0; p && i < 2; i++) {
		fd_close(p->end[i]);
		p->end[i] = -1;
	}
	return 0;
}

const struct fd_kind fd_kind_pipe = {
	.name = "pipe",
	.type = FD_TYPES__PIPE,
	.is = pipe_is,
	.dump = pipe_dump,
	.restore = pipe_restore,
	.link = pipe_link,
	.dump_end = pipe_dump_end,
};
