// SPDX-License-Identifier: Apache-2.0
/*
 * fifo: ends of named pipes, and what is in them.
 *
 * Kept:   path (in a reg entry of its own), access mode, status flags, size, contents, packets (O_DIRECT).
 * Lost:   as of a pipe.
 * Kernel: fs/pipe.c; contents are copied by tee(2), which takes nothing out.
 */
#include "kind/pipe-data.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/ghost.h"
#include "image/record.h"

#include <fcntl.h>

static const struct pipe_store fifo_store = {
	.noun = "fifo",
	.file = "fifo-data.img",
	.magic = MAGIC_FIFO_DATA,
	.ids = "fifo ids",
	.taken = "fifo ids taken",
	.loaded = "fifo loaded",
};

static bool fifo_is(const struct fd_view *v)
{
	return S_ISFIFO(v->st.st_mode) && v->link[0] == '/' && !(v->flags & O_PATH);
}

static int fifo_dump(struct session *s, const struct fd_view *v)
{
	FifoEntry e = FIFO_ENTRY__INIT;
	int r = fd_path_check(s, v);

	e.id = v->id;
	e.has_regf_id = true;
	if (r == 0)
		r = fd_put_named(s, v, &e.regf_id);
	/* what is in one that lies outside stays there, for whoever reads it */
	e.pipe_id = v->st.st_ino;
	if (r == 0 && !ghost_outside(ghost_home(s, v->task, v->fd), v->link, &v->st))
		r = pipe_data_dump(s, &fifo_store, v, &e.pipe_id);
	return r < 0 ? r : fd_put(s, v, &e.base);
}

static int fifo_dump_end(struct session *s)
{
	return image_shared_end(s, fifo_store.file);
}

/* ---- restore ---- */

/* By its path, once it is sure that a fifo is there: anything else is not even opened. */
static int fifo_open(struct session *s, const FifoEntry *e, int flags)
{
	own_fd int place = fd_open_reg(s, e->regf_id, O_PATH);
	struct stat st;
	int fd;

	if (place < 0)
		return place;
	if (fstat(place, &st) < 0 || !S_ISFIFO(st.st_mode))
		return session_fail(s, -EINVAL, "fifo 0x%x: its path is no fifo any more; make it anew",
				    e->pipe_id);
	fd = fd_reopen(place, flags);
	return fd < 0 ? session_fail(s, fd, "fifo 0x%x: open", e->pipe_id) : fd;
}

/*
 * A descriptor of ours that reads and writes: with it nobody's open() waits for the other side, and
 * the contents stay until all have their ends.
 */
static int fifo_hold(struct session *s, const FifoEntry *e)
{
	struct map *held = session_map(s, "fifo held");
	int fd;

	if (map_get(held, e->pipe_id))
		return 0;
	fd = fifo_open(s, e, O_RDWR | O_NONBLOCK);
	if (fd < 0)
		return fd;
	map_put(held, e->pipe_id, (void *)(intptr_t)(fd + 1));
	return pipe_data_fill(s, &fifo_store, e->pipe_id, fd);
}

static int fifo_restore(struct session *s, struct fd_obj *o)
{
	const FifoEntry *e = o->entry->fifo;
	const FileEntry *reg = e && e->has_regf_id ? fd_entry(s, e->regf_id) : NULL;
	int r;

	if (!reg || !reg->reg)
		return session_fail(s, -EBADMSG, "files.img: fifo 0x%x is damaged or has no path", o->id);
	if (reg->reg->has_outside && reg->reg->outside && reg->reg->name[0])
		return fd_from_caller(s, o, reg->reg->name, reg->reg->flags);
	r = fifo_hold(s, e);
	if (r < 0)
		return r;
	o->fd = fifo_open(s, e, (reg->reg->flags & O_ACCMODE) | O_NONBLOCK);
	return o->fd < 0 ? o->fd : 0;
}

/* All have their ends: ours goes, so that a missing side is missing. */
static int fifo_link(struct session *s, struct fd_obj *o)
{
	struct map *held = session_map(s, "fifo held");
	void *v = map_get(held, o->entry->fifo->pipe_id);

	if (v && v != held) {
		fd_close((int)(intptr_t)v - 1);
		map_put(held, o->entry->fifo->pipe_id, held); /* closed */
	}
	return 0;
}

const struct fd_kind fd_kind_fifo = {
	.name = "fifo",
	.type = FD_TYPES__FIFO,
	.is = fifo_is,
	.dump = fifo_dump,
	.restore = fifo_restore,
	.link = fifo_link,
	.dump_end = fifo_dump_end,
	.preflight = fd_path_check,
};
