// SPDX-License-Identifier: Apache-2.0
#include "kind/pipe-data.h"

#include "base/res.h"
#include "image/record.h"
#include "images/pipe-data.pb-c.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#define PIPE_MAX (16u << 20)

/* tee() into a pipe of ours and read it there. */
static int data_copy(struct session *s, const struct pipe_store *st, int fd, size_t size, char *buf,
		     size_t *ret_n)
{
	int p[2], have = 0, r = 0;
	ssize_t n = 0;

	if (ioctl(fd, FIONREAD, &have) < 0)
		return session_fail(s, -errno, "%s: how much is in it", st->noun);
	*ret_n = 0;
	if (!have)
		return 0;
	if (have < 0 || (size_t)have > size)
		return session_fail(s, -EINVAL, "%s: holds %d bytes, more than its size %zu", st->noun, have,
				    size);
	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return session_fail(s, -errno, "%s: make a copy", st->noun);
	if (fcntl(p[1], F_SETPIPE_SZ, size) < 0)
		r = session_fail(s, -errno, "%s: make a copy of %zu bytes", st->noun, size);
	if (r == 0)
		n = tee(fd, p[1], have, SPLICE_F_NONBLOCK);
	if (r == 0 && n == have)
		n = read(p[0], buf, have);
	if (r == 0 && n != have)
		r = session_fail(s, n < 0 ? -errno : -EAGAIN, "%s: copy its contents", st->noun);
	fd_close(p[0]);
	fd_close(p[1]);
	*ret_n = have;
	return r;
}

/*
 * A descriptor that reads it. Only where there is none at hand the inode is opened once more: that lets
 * others who wait for a reader go on.
 */
static int data_reader(const struct fd_view *v)
{
	if (!(v->flags & O_PATH) && (v->flags & O_ACCMODE) != O_WRONLY)
		return fcntl(v->fd, F_DUPFD_CLOEXEC, 3);
	return fd_reopen(v->fd, O_RDONLY | O_NONBLOCK);
}

/* one inode that was met */
struct met {
	struct met *next; /* same number on another device */
	dev_t dev;
	uint32_t id;
};

/* The wire has 32 bits for it, and fifos of two filesystems may have one number. New ones: true. */
static bool data_id(struct session *s, const struct pipe_store *st, const struct stat *f, uint32_t *ret)
{
	struct map *ids = session_map(s, st->ids), *taken = session_map(s, st->taken);
	struct met *m = map_get(ids, f->st_ino);
	uint32_t id = f->st_ino;

	while (m && m->dev != f->st_dev)
		m = m->next;
	if (m) {
		*ret = m->id;
		return false;
	}
	while (!id || map_get(taken, id))
		id++;
	m = xalloc(sizeof(*m));
	m->next = map_get(ids, f->st_ino);
	m->dev = f->st_dev;
	*ret = m->id = id;
	map_put(ids, f->st_ino, m);
	map_put(taken, id, m);
	return true;
}

int pipe_data_dump(struct session *s, const struct pipe_store *st, const struct fd_view *v,
		   uint32_t *ret_id)
{
	PipeDataEntry e = PIPE_DATA_ENTRY__INIT;
	own_mem char *buf = NULL;
	own_fd int fd = -1;
	struct image *img;
	size_t n = 0;
	int size, r;

	if (!data_id(s, st, &v->st, ret_id))
		return 0;
	img = image_shared(s, st->magic, st->file);
	if (!img)
		return -EIO;
	fd = data_reader(v);
	if (fd < 0)
		return session_fail(s, fd, "%s %s: open it", st->noun, v->link);
	size = fcntl(fd, F_GETPIPE_SZ);
	if (size < 0 || size > (int)PIPE_MAX)
		return session_fail(s, size < 0 ? -errno : -EINVAL, "%s %s: its size %d", st->noun, v->link,
				    size);
	buf = xalloc(size);
	r = data_copy(s, st, fd, size, buf, &n);
	if (r < 0)
		return r;
	e.pipe_id = *ret_id;
	e.bytes = n;
	e.has_size = true;
	e.size = size;
	r = image_write(img, &e.base);
	return r < 0 ? r : image_write_raw(img, buf, n);
}

/* ---- restore ---- */

static int data_load_one(struct session *s, const struct pipe_store *st, struct image *img,
			 const PipeDataEntry *e)
{
	struct map *m = session_map(s, st->loaded);
	struct pipe_data *d;

	if (e->bytes > PIPE_MAX || (e->has_size && (e->size > PIPE_MAX || e->bytes > e->size)))
		return session_fail(s, -EBADMSG, "%s: %s 0x%x is out of range", st->file, st->noun, e->pipe_id);
	if (map_get(m, e->pipe_id))
		return session_fail(s, -EBADMSG, "%s: %s 0x%x stands there twice", st->file, st->noun,
				    e->pipe_id);
	d = xalloc(sizeof(*d));
	d->size = e->has_size ? e->size : 0;
	d->bytes = e->bytes;
	d->buf = xalloc(e->bytes);
	map_put(m, e->pipe_id, d);
	return image_read_raw(img, d->buf, e->bytes);
}

#define ALL_LOADED (1ULL << 32) /* a key that is no pipe's */

static int data_load(struct session *s, const struct pipe_store *st)
{
	struct map *m = session_map(s, st->loaded);
	own_image struct image img = { 0 };
	ProtobufCMessage *e;
	int r;

	if (map_get(m, ALL_LOADED))
		return 0;
	map_put(m, ALL_LOADED, m);
	r = image_open(s, &img, st->magic, "%s", st->file);
	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, &pipe_data_entry__descriptor, &e)) == 1) {
		r = data_load_one(s, st, &img, (PipeDataEntry *)e);
		protobuf_c_message_free_unpacked(e, NULL);
	}
	return r;
}

int pipe_data_get(struct session *s, const struct pipe_store *st, uint32_t id, struct pipe_data **ret)
{
	int r = data_load(s, st);

	*ret = r < 0 ? NULL : map_get(session_map(s, st->loaded), id);
	return r;
}

int pipe_data_fill(struct session *s, const struct pipe_store *st, uint32_t id, int fd)
{
	struct pipe_data *d;
	int r = pipe_data_get(s, st, id, &d), size, e = 0;
	ssize_t n;

	if (r < 0 || !d)
		return r;
	if (d->size && fcntl(fd, F_SETPIPE_SZ, d->size) < 0)
		e = errno;
	size = fcntl(fd, F_GETPIPE_SZ);
	if (e && size < (int)d->bytes)
		return session_fail(s, -e,
				    "%s 0x%x: had %u bytes in it at a size of %u, and the kernel allows %d only; raise fs.pipe-max-size and fs.pipe-user-pages-soft",
				    st->noun, id, d->bytes, d->size, size);
	if (e)
		session_warn(s, "%s 0x%x: cannot have a size of %u bytes (%s), has %d", st->noun, id, d->size,
			     strerror(e), size);
	n = d->bytes ? write(fd, d->buf, d->bytes) : 0;
	if (n != (ssize_t)d->bytes)
		return session_fail(s, n < 0 ? -errno : -ENOSPC,
				    "%s 0x%x: put %u bytes back: %zd went in, its size is %d", st->noun, id,
				    d->bytes, n, size);
	free(d->buf);
	d->buf = NULL;
	return 0;
}
