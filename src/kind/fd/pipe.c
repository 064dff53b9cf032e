// SPDX-License-Identifier: Apache-2.0
/*
 * pipe: both ends of anonymous pipes, wherever they are held, and what is in them.
 *
 * Kept:   contents, size, status flags; ends closed by everybody stay closed.
 * Lost:   borders between packets (O_DIRECT pipes are refused).
 * Kernel: fs/pipe.c; contents are copied by tee(2), which takes nothing out.
 */
#include "kind/fd.h"

#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "images/pipe-data.pb-c.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#define PIPE_MAX (16u << 20)

static bool pipe_is(const struct fd_view *v)
{
	return S_ISFIFO(v->st.st_mode) && text_starts(v->link, "pipe:[");
}

static int pipe_preflight(struct session *s, const struct fd_view *v)
{
	if (v->flags & O_DIRECT)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a pipe in packet mode (O_DIRECT), which is not supported yet",
				    v->task->vpid, v->num);
	return 0;
}

/* tee() into a pipe of ours and read it there. */
static int pipe_copy(struct session *s, int fd, size_t size, char *buf, size_t *ret_n)
{
	int p[2], have = 0, r = 0;
	ssize_t n = 0;

	if (ioctl(fd, FIONREAD, &have) < 0)
		return session_fail(s, -errno, "pipe: how much is in it");
	*ret_n = 0;
	if (!have)
		return 0;
	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return session_fail(s, -errno, "pipe: make a copy");
	if (fcntl(p[1], F_SETPIPE_SZ, size) < 0)
		r = session_fail(s, -errno, "pipe: make a copy of %zu bytes", size);
	if (r == 0)
		n = tee(fd, p[1], have, SPLICE_F_NONBLOCK);
	if (r == 0 && n == have)
		n = read(p[0], buf, have);
	if (r == 0 && n != have)
		r = session_fail(s, n < 0 ? -errno : -EAGAIN, "pipe: copy its contents");
	fd_close(p[0]);
	fd_close(p[1]);
	*ret_n = have;
	return r;
}

static int pipe_dump_data(struct session *s, const struct fd_view *v)
{
	struct map *done = session_map(s, "pipe dumped");
	PipeDataEntry e = PIPE_DATA_ENTRY__INIT;
	own_mem char *buf = NULL;
	own_fd int fd = -1;
	struct image *img;
	size_t n = 0;
	int size, r;

	if (map_get(done, v->st.st_ino))
		return 0;
	map_put(done, v->st.st_ino, done);
	img = image_shared(s, MAGIC_PIPES_DATA, "pipes-data.img");
	size = fcntl(v->fd, F_GETPIPE_SZ);
	if (!img || size < 0 || size > (int)PIPE_MAX)
		return session_fail(s, -EINVAL, "pipe %llu: its size", (unsigned long long)v->st.st_ino);
	/* also when only the writing end is held: the inode can be opened for reading */
	fd = fd_reopen(v->fd, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return session_fail(s, fd, "pipe %llu: open it", (unsigned long long)v->st.st_ino);
	buf = xalloc(size);
	r = pipe_copy(s, fd, size, buf, &n);
	if (r < 0)
		return r;
	e.pipe_id = v->st.st_ino;
	e.bytes = n;
	e.has_size = true;
	e.size = size;
	r = image_write(img, &e.base);
	return r < 0 ? r : image_write_raw(img, buf, n);
}

static int pipe_dump(struct session *s, const struct fd_view *v)
{
	PipeEntry e = PIPE_ENTRY__INIT;
	int r = pipe_preflight(s, v);

	e.id = v->id;
	e.pipe_id = v->st.st_ino;
	e.flags = v->flags;
	e.fown = v->fown;
	if (r == 0)
		r = pipe_dump_data(s, v);
	return r < 0 ? r : fd_put(s, v, &e.base);
}

static int pipe_dump_end(struct session *s)
{
	return image_shared_end(s, "pipes-data.img");
}

/* ---- restore ---- */

struct pipe_pair {
	int end[2];
};

static int pipe_load(struct session *s, struct image *img, const PipeDataEntry *e)
{
	struct map *pairs = session_map(s, "pipe pairs");
	struct pipe_pair *p = xalloc(sizeof(*p));
	own_mem char *buf = NULL;
	int r;

	if (e->bytes > PIPE_MAX || (e->has_size && (e->size > PIPE_MAX || e->bytes > e->size)))
		return session_fail(s, -EBADMSG, "pipes-data.img: pipe 0x%x is out of range", e->pipe_id);
	buf = xalloc(e->bytes);
	r = image_read_raw(img, buf, e->bytes);
	if (r < 0)
		return r;
	if (pipe2(p->end, O_CLOEXEC | O_NONBLOCK) < 0)
		return session_fail(s, -errno, "pipe 0x%x: make", e->pipe_id);
	if (e->has_size && e->size && fcntl(p->end[1], F_SETPIPE_SZ, e->size) < 0)
		session_warn(s, "pipe 0x%x: cannot have %u bytes", e->pipe_id, e->size);
	if (e->bytes && write(p->end[1], buf, e->bytes) != (ssize_t)e->bytes)
		return session_fail(s, -EIO, "pipe 0x%x: put %u bytes back", e->pipe_id, e->bytes);
	map_put(pairs, e->pipe_id, p);
	return 0;
}

static int pipes_load(struct session *s)
{
	struct map *loaded = session_map(s, "pipes loaded");
	own_image struct image img = { 0 };
	ProtobufCMessage *m;
	int r;

	if (map_get(loaded, 0))
		return 0;
	map_put(loaded, 0, loaded);
	r = image_open(s, &img, MAGIC_PIPES_DATA, "pipes-data.img");
	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, &pipe_data_entry__descriptor, &m)) == 1) {
		r = pipe_load(s, &img, (PipeDataEntry *)m);
		protobuf_c_message_free_unpacked(m, NULL);
	}
	return r;
}

static int pipe_restore(struct session *s, struct fd_obj *o)
{
	const PipeEntry *e = o->entry->pipe;
	struct map *pairs = session_map(s, "pipe pairs");
	char key[40];
	struct pipe_pair *p;
	int fd, r = pipes_load(s);

	if (r < 0 || !e)
		return r < 0 ? r : session_fail(s, -EBADMSG, "files.img: pipe 0x%x is damaged", o->id);
	snprintf(key, sizeof(key), "pipe:[%u]", e->pipe_id);
	fd = inherit_find(s, key);
	if (fd >= 0) {
		o->borrowed = true;
		o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		return o->fd < 0 ? session_fail(s, -errno, "%s: take the caller's", key) : 0;
	}
	p = map_get(pairs, e->pipe_id);
	if (!p) {
		p = xalloc(sizeof(*p));
		if (pipe2(p->end, O_CLOEXEC | O_NONBLOCK) < 0)
			return session_fail(s, -errno, "pipe 0x%x: make", e->pipe_id);
		map_put(pairs, e->pipe_id, p);
	}
	/* each entry is an open file of its own: two of one end may differ in their flags */
	o->fd = fd_reopen(p->end[(e->flags & O_ACCMODE) != O_RDONLY],
			  e->flags & (O_ACCMODE | O_NONBLOCK));
	return o->fd < 0 ? session_fail(s, o->fd, "pipe 0x%x: open", e->pipe_id) : 0;
}

/* All have their ends: ours go, so that a missing end is missing. */
static int pipe_link(struct session *s, struct fd_obj *o)
{
	struct pipe_pair *p = map_get(session_map(s, "pipe pairs"), o->entry->pipe->pipe_id);

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
	.preflight = pipe_preflight,
};
