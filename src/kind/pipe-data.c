// SPDX-License-Identifier: Apache-2.0
#include "kind/pipe-data.h"

#include "base/list.h"
#include "base/res.h"
#include "image/record.h"
#include "images/pipe-data.pb-c.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#define PIPE_MAX (16u << 20)

#define PACKET 1u /* of a piece: length << 1 */

/* lengths, or where something ends */
struct numbers {
	uint32_t *v;
	size_t n, max;
};

/* A pipe of ours with what is in fd, have bytes; and if there is room one byte more, which is in no packet. */
static int copy_make(struct session *s, const struct pipe_store *st, int fd, size_t have, size_t size, int p[2])
{
	ssize_t n;

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return session_fail(s, -errno, "%s: make a copy", st->noun);
	if (fcntl(p[1], F_SETPIPE_SZ, size) < 0)
		return session_fail(s, -errno, "%s: make a copy of %zu bytes", st->noun, size);
	n = tee(fd, p[1], have, SPLICE_F_NONBLOCK);
	if (n != (ssize_t)have)
		return session_fail(s, n < 0 ? -errno : -EAGAIN, "%s: copy its contents", st->noun);
	if (write(p[1], "", 1) < 0 && fcntl(p[1], F_SETPIPE_SZ, 2 * size) > 0)
		n = write(p[1], "", 1);
	return 0;
}

/* What one read gets ends at a packet's end: ends. */
static int copy_read(struct session *s, const struct pipe_store *st, int p, char *buf, size_t have, struct numbers *ends)
{
	for (size_t got = 0; got < have;) {
		ssize_t n = read(p, buf + got, have + 1 - got);
		int more = 0;

		if (n <= 0)
			return session_fail(s, n < 0 ? -errno : -EIO, "%s: read the copy", st->noun);
		got += n;
		if (got < have || (got == have && ioctl(p, FIONREAD, &more) == 0 && more))
			*vec_add(ends) = got;
	}
	return 0;
}

/* Which of the bytes are packets: reading the first byte of one takes all of it. */
static int copy_split(struct session *s, const struct pipe_store *st, int p, size_t have, const struct numbers *ends,
		      struct numbers *pieces)
{
	int before = 0, after = 0, r = ioctl(p, FIONREAD, &before);
	uint32_t plain = 0, at = 0;
	size_t end = 0;
	char c;

	for (; r == 0 && at < have && read(p, &c, 1) == 1 && ioctl(p, FIONREAD, &after) == 0; before = after) {
		uint32_t n = before - after;

		at += n;
		while (end < ends->n && ends->v[end] < at)
			end++;
		plain += n == 1;
		if (n == 1 && (end == ends->n || ends->v[end] != at))
			continue;
		plain -= n == 1;
		if (plain)
			*vec_add(pieces) = plain << 1;
		*vec_add(pieces) = n << 1 | PACKET;
		plain = 0;
	}
	if (plain)
		*vec_add(pieces) = plain << 1;
	return at == have ? 0 : session_fail(s, -EIO, "%s: find its packets", st->noun);
}

/* Copies of what is in it are read: buf has room for size bytes and one. No pieces: no packets are in it. */
static int data_copy(struct session *s, const struct pipe_store *st, int fd, size_t size, char *buf,
		     size_t *ret_n, struct numbers *pieces)
{
	int p[2] = { -1, -1 }, q[2] = { -1, -1 }, have = 0, r;
	struct numbers ends = { 0 };

	if (ioctl(fd, FIONREAD, &have) < 0)
		return session_fail(s, -errno, "%s: how much is in it", st->noun);
	*ret_n = have;
	if (!have)
		return 0;
	if (have < 0 || (size_t)have > size)
		return session_fail(s, -EINVAL, "%s: holds %d bytes, more than its size %zu", st->noun, have,
				    size);
	r = copy_make(s, st, fd, have, size, p);
	if (r == 0)
		r = copy_read(s, st, p[0], buf, have, &ends);
	if (r == 0 && ends.n)
		r = copy_make(s, st, fd, have, size, q);
	if (r == 0 && ends.n)
		r = copy_split(s, st, q[0], have, &ends, pieces);
	for (int i = 0; i < 2; i++) {
		fd_close(p[i]);
		fd_close(q[i]);
	}
	free(ends.v);
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
	struct numbers pieces = { 0 };
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
	buf = xalloc(size + 1);
	r = data_copy(s, st, fd, size, buf, &n, &pieces);
	e.pipe_id = *ret_id;
	e.bytes = n;
	e.has_size = true;
	e.size = size;
	e.n_pieces = pieces.n;
	e.pieces = pieces.v;
	if (r == 0)
		r = image_write(img, &e.base);
	free(pieces.v);
	return r < 0 ? r : image_write_raw(img, buf, n);
}

/* ---- restore ---- */

/* Pieces of the image, if there are any, make up the bytes. */
static bool pieces_fit(const PipeDataEntry *e)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < e->n_pieces; i++)
		sum += e->pieces[i] >> 1;
	return !e->n_pieces || sum == e->bytes;
}

static int data_load_one(struct session *s, const struct pipe_store *st, struct image *img,
			 const PipeDataEntry *e)
{
	struct map *m = session_map(s, st->loaded);
	struct pipe_data *d;

	if (e->bytes > PIPE_MAX || (e->has_size && (e->size > PIPE_MAX || e->bytes > e->size)) || !pieces_fit(e))
		return session_fail(s, -EBADMSG, "%s: %s 0x%x is out of range", st->file, st->noun, e->pipe_id);
	if (map_get(m, e->pipe_id))
		return session_fail(s, -EBADMSG, "%s: %s 0x%x stands there twice", st->file, st->noun,
				    e->pipe_id);
	d = xalloc(sizeof(*d));
	d->size = e->has_size ? e->size : 0;
	d->bytes = e->bytes;
	d->buf = xalloc(e->bytes);
	d->n_pieces = e->n_pieces;
	d->pieces = xmemdup(e->pieces, e->n_pieces * sizeof(*d->pieces));
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

/* Return: how many bytes went in, or -1. */
static ssize_t pieces_write(const struct pipe_data *d, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	ssize_t sum = 0, n = 0;

	if (!d->n_pieces)
		return d->bytes ? write(fd, d->buf, d->bytes) : 0;
	for (size_t i = 0; i < d->n_pieces && n >= 0; i++) {
		n = fcntl(fd, F_SETFL, d->pieces[i] & PACKET ? flags | O_DIRECT : flags);
		if (n == 0)
			n = write(fd, d->buf + sum, d->pieces[i] >> 1);
		if (n < (ssize_t)(d->pieces[i] >> 1))
			break;
		sum += n;
	}
	fcntl(fd, F_SETFL, flags);
	return n < 0 ? -1 : sum;
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
	n = pieces_write(d, fd);
	if (n != (ssize_t)d->bytes)
		return session_fail(s, n < 0 ? -errno : -ENOSPC,
				    "%s 0x%x: put %u bytes back: %zd went in, its size is %d", st->noun, id,
				    d->bytes, n, size);
	free(d->buf);
	free(d->pieces);
	d->buf = NULL;
	d->pieces = NULL;
	return 0;
}
