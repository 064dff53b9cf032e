// SPDX-License-Identifier: Apache-2.0
#include "image/record.h"

#include "base/res.h"

#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define BUF (256u << 10)
#define DEPTH_MAX 100    /* messages in messages: the decoder calls itself for each */
#define SHALLOW_MAX 4096 /* bytes in which so many do no harm */

static int image_flush(struct image *img)
{
	int r = fd_write_all(img->fd, img->buf, img->n);

	img->n = 0;
	return r < 0 ? session_fail(img->s, r, "image %s: write", img->name) : 0;
}

int image_write_raw(struct image *img, const void *p, size_t n)
{
	int r;

	if (img->n + n > BUF && (r = image_flush(img)) < 0)
		return r;
	if (n > BUF) {
		r = fd_write_all(img->fd, p, n);
		return r < 0 ? session_fail(img->s, r, "image %s: write", img->name) : 0;
	}
	memcpy(img->buf + img->n, p, n);
	img->n += n;
	return 0;
}

static int image_write_u32(struct image *img, uint32_t v)
{
	v = htole32(v);
	return image_write_raw(img, &v, sizeof(v));
}

static int image_start(struct session *s, struct image *img, int fd, const char *name, bool writing)
{
	memset(img, 0, sizeof(*img));
	img->s = s;
	img->fd = fd;
	img->writing = writing;
	snprintf(img->name, sizeof(img->name), "%s", name);
	img->buf = aligned_alloc(PAGE, BUF);
	if (!img->buf) {
		fd_close(fd);
		img->s = NULL;
		return session_fail(s, -ENOMEM, "image %s", name);
	}
	return 0;
}

int image_create_at(struct session *s, struct image *img, int dirfd, uint32_t common, uint32_t magic,
		    const char *name)
{
	int r, fd;

	img->s = NULL;
	/* always a new file: truncating an old one makes ext4 flush at close */
	r = session_unlinkat(s, dirfd, name);
	if (r < 0 && r != -ENOENT)
		return session_fail(s, r, "image %s: remove the old one", name);
	fd = session_openat(s, dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
	if (fd < 0)
		return session_fail(s, fd, "image %s: create", name);
	r = image_start(s, img, fd, name, true);
	if (r == 0 && common)
		r = image_write_u32(img, common);
	if (r == 0 && magic)
		r = image_write_u32(img, magic);
	return r;
}

int image_create(struct session *s, struct image *img, uint32_t magic, const char *fmt, ...)
{
	char name[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	return image_create_at(s, img, s->images,
			       magic && magic != MAGIC_INVENTORY ? MAGIC_COMMON : 0, magic, name);
}

struct image *image_shared(struct session *s, uint32_t magic, const char *name)
{
	struct map *m = session_map(s, name);
	struct image *img = map_get(m, 0);

	if (img)
		return img;
	img = xalloc(sizeof(*img));
	map_put(m, 0, img);
	return image_create(s, img, magic, "%s", name) < 0 ? NULL : img;
}

int image_shared_end(struct session *s, const char *name)
{
	struct image *img = map_get(session_map(s, name), 0);

	return img ? image_close(img) : 0;
}

static int image_fill(struct image *img)
{
	ssize_t r;

	memmove(img->buf, img->buf + img->at, img->n - img->at);
	img->n -= img->at;
	img->at = 0;
	do
		r = read(img->fd, img->buf + img->n, BUF - img->n);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return session_fail(img->s, -errno, "image %s: read", img->name);
	img->n += r;
	img->pos += r;
	return r > 0;
}

/* n bytes available at buf + at, n <= BUF; 0 the file ends before, even if some are there */
static int image_need(struct image *img, size_t n)
{
	while (img->n - img->at < n) {
		int r = image_fill(img);

		if (r <= 0)
			return r;
	}
	return 1;
}

static int image_cut(struct image *img, const char *what)
{
	return session_fail(img->s, -EBADMSG,
			    "image %s: ends in the middle of %s; it was cut short or is damaged",
			    img->name, what);
}

int image_read_raw(struct image *img, void *p, size_t n)
{
	char *to = p;

	while (n) {
		size_t have = img->n - img->at;
		int r;

		if (!have) {
			r = image_fill(img);
			if (r < 0)
				return r;
			if (r == 0)
				return image_cut(img, "its data");
			continue;
		}
		if (have > n)
			have = n;
		memcpy(to, img->buf + img->at, have);
		img->at += have;
		to += have;
		n -= have;
	}
	return 0;
}

uint64_t image_left(const struct image *img)
{
	uint64_t done = img->pos - (img->n - img->at);

	return img->size > done ? img->size - done : 0;
}

static int image_magic(struct image *img, uint32_t want)
{
	uint32_t got = 0;
	int r = image_read_raw(img, &got, sizeof(got));

	if (r < 0)
		return r;
	if (le32toh(got) != want)
		return session_fail(img->s, -EBADMSG,
				    "image %s: is not such an image (magic %08x, wanted %08x)",
				    img->name, le32toh(got), want);
	return 0;
}

int image_open_at(struct session *s, struct image *img, int dirfd, uint32_t common, uint32_t magic,
		  const char *name)
{
	int r, fd = session_openat(s, dirfd, name, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
	struct stat st;

	img->s = NULL;
	if (fd == -ENOENT)
		return 1;
	if (fd < 0)
		return session_fail(s, fd, "image %s: open", name);
	r = image_start(s, img, fd, name, false);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		r = session_fail(s, -errno, "image %s: stat", name);
	else if (!S_ISREG(st.st_mode))
		r = session_fail(s, -EBADMSG, "image %s: is not a regular file", name);
	else
		img->size = st.st_size;
	if (r == 0 && common)
		r = image_magic(img, common);
	if (r == 0 && magic)
		r = image_magic(img, magic);
	if (r < 0)
		image_close(img);
	return r;
}

int image_open(struct session *s, struct image *img, uint32_t magic, const char *fmt, ...)
{
	char name[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	return image_open_at(s, img, s->images,
			     magic && magic != MAGIC_INVENTORY ? MAGIC_COMMON : 0, magic, name);
}

int image_close(struct image *img)
{
	int r = 0;

	if (!img->s)
		return 0;
	if (img->writing && img->n)
		r = image_flush(img);
	if (close(img->fd) < 0 && img->writing && r == 0)
		r = session_fail(img->s, -errno, "image %s: close", img->name);
	free(img->buf);
	memset(img, 0, sizeof(*img));
	return r;
}

int image_write(struct image *img, const ProtobufCMessage *m)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	own_mem uint8_t *big = NULL;
	uint8_t *p;
	int r;

	if (n > RECORD_MAX)
		return session_fail(img->s, -EFBIG, "image %s: a record of %zu bytes", img->name, n);
	r = image_write_u32(img, n);
	if (r < 0)
		return r;
	if (img->n + n > BUF && (r = image_flush(img)) < 0)
		return r;
	if (n <= BUF) {
		p = (uint8_t *)img->buf + img->n;
		img->n += protobuf_c_message_pack(m, p);
		return 0;
	}
	big = xalloc(n);
	protobuf_c_message_pack(m, big);
	return image_write_raw(img, big, n);
}

static bool take_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
		uint8_t byte = *(*p)++;

		*ret |= (uint64_t)(byte & 127) << shift;
		if (!(byte & 128))
			return true;
	}
	return false;
}

/* No deeper than that? What is damaged counts as shallow: the decoder will not descend into it. */
static bool is_shallow(const ProtobufCMessageDescriptor *d, const uint8_t *p, const uint8_t *end, unsigned depth)
{
	uint64_t key, n;

	for (; p < end; p += n) {
		const ProtobufCFieldDescriptor *f;

		if (!take_varint(&p, end, &key))
			return true;
		n = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : 0;
		if (((key & 7) == 0 || (key & 7) == 2) && !take_varint(&p, end, &n))
			return true;
		if ((key & 7) == 0)
			n = 0;
		if (n > (uint64_t)(end - p))
			return true;
		f = (key & 7) == 2 ? protobuf_c_message_descriptor_get_field(d, key >> 3) : NULL;
		if (f && f->type == PROTOBUF_C_TYPE_MESSAGE &&
		    (!depth || !is_shallow(f->descriptor, p, p + n, depth - 1)))
			return false;
	}
	return true;
}

int image_read(struct image *img, const ProtobufCMessageDescriptor *d, ProtobufCMessage **ret)
{
	own_mem uint8_t *big = NULL;
	const uint8_t *p;
	ProtobufCMessage *m;
	uint32_t n;
	int r = image_need(img, 4);

	if (r < 0)
		return r;
	if (r == 0)
		return img->n == img->at ? 0 : image_cut(img, "a record");
	memcpy(&n, img->buf + img->at, 4);
	img->at += 4;
	n = le32toh(n);
	if (n > RECORD_MAX || n > image_left(img))
		return image_cut(img, "a record");
	if (n <= BUF) {
		r = image_need(img, n);
		if (r < 0)
			return r;
		if (r == 0)
			return image_cut(img, "a record");
		p = (uint8_t *)img->buf + img->at;
		img->at += n;
	} else {
		big = xalloc(n);
		r = image_read_raw(img, big, n);
		if (r < 0)
			return r;
		p = big;
	}
	if (n > SHALLOW_MAX && !is_shallow(d, p, p + n, DEPTH_MAX))
		return session_fail(img->s, -EBADMSG, "image %s: a record is nested too deep; it is damaged", img->name);
	m = protobuf_c_message_unpack(d, NULL, n, p);
	if (!m)
		return session_fail(img->s, -EBADMSG, "image %s: a record is no %s; it is damaged",
				    img->name, d->name);
	*ret = m;
	return 1;
}

int image_read_one(struct session *s, uint32_t magic, const ProtobufCMessageDescriptor *d,
		   ProtobufCMessage **ret, const char *fmt, ...)
{
	own_image struct image img = { 0 };
	char name[64];
	va_list ap;
	int r;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	r = image_open(s, &img, magic, "%s", name);
	if (r == 1)
		return session_fail(s, -EBADMSG,
				    "image %s: is missing; is this the directory of a checkpoint?",
				    name);
	if (r < 0)
		return r;
	r = image_read(&img, d, ret);
	if (r == 0)
		return session_fail(s, -EBADMSG, "image %s: is empty", name);
	return r < 0 ? r : 0;
}

int image_write_one(struct session *s, uint32_t magic, const ProtobufCMessage *m, const char *fmt,
		    ...)
{
	own_image struct image img = { 0 };
	char name[64];
	va_list ap;
	int r;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	r = image_create(s, &img, magic, "%s", name);
	if (r == 0)
		r = image_write(&img, m);
	if (r == 0)
		r = image_close(&img);
	return r;
}
