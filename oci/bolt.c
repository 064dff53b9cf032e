// SPDX-License-Identifier: Apache-2.0
/*
 * Format: bbolt's version 2. Two meta pages lead to a tree of pages of key and value; a bucket is a value that
 * leads to another tree, or holds its only page inline. Every number is bounded: the file is not trusted.
 */
#include "oci/bolt.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define BOLT_MAGIC 0xED0CDAED
#define BOLT_DEPTH 32
#define BOLT_TRIES 100 /* of 10 ms: transactions are short */

enum { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_META = 4 };
enum { LEAF_BUCKET = 1 };

struct page {
	uint64_t id;
	uint16_t flags, count;
	uint32_t overflow; /* pages that follow and belong to it */
};
struct branch {
	uint32_t pos, ksize; /* pos: of the key, from here */
	uint64_t id;
};
struct leaf {
	uint32_t flags, pos, ksize, vsize; /* pos: of the key, from here; the value is behind it */
};
struct bucket {
	uint64_t root; /* 0: the page follows */
	uint64_t sequence;
};
struct meta {
	uint32_t magic, version, page_size, flags;
	struct bucket root;
	uint64_t freelist, pages, txid, checksum;
};

struct bytes {
	const char *p;
	size_t n;
};

struct bolt {
	struct bytes all;
	uint32_t page_size;
};

/* n bytes at an offset, NULL if they are not all there */
static const void *at(struct bytes b, uint64_t offset, uint64_t n)
{
	return offset <= b.n && n <= b.n - offset ? b.p + offset : NULL;
}

static int key_cmp(struct bytes a, const char *key)
{
	size_t n = strlen(key);
	int r = memcmp(a.p, key, a.n < n ? a.n : n);

	return r ? r : a.n < n ? -1 : a.n > n;
}

static bool page_of(const struct bolt *b, uint64_t id, struct bytes *ret)
{
	struct page h;
	const void *p = id > b->all.n / b->page_size ? NULL : at(b->all, id * b->page_size, sizeof(h));

	if (!p)
		return false;
	memcpy(&h, p, sizeof(h));
	*ret = (struct bytes){ p, b->all.n - id * b->page_size };
	return true;
}

/* The child in which a key would be: the last that begins at or below it. */
static bool in_branch(struct bytes page, uint16_t count, const char *key, uint64_t *ret)
{
	bool found = false;

	for (uint16_t i = 0; i < count; i++) {
		size_t here = sizeof(struct page) + i * sizeof(struct branch);
		const void *e = at(page, here, sizeof(struct branch));
		struct branch br;
		struct bytes k;

		if (!e)
			return false;
		memcpy(&br, e, sizeof(br));
		k = (struct bytes){ at(page, (uint64_t)here + br.pos, br.ksize), br.ksize };
		if (!k.p)
			return false;
		if (i && key_cmp(k, key) > 0)
			break;
		*ret = br.id;
		found = true;
	}
	return found;
}

static bool in_leaf(struct bytes page, uint16_t count, const char *key, bool bucket, struct bytes *ret)
{
	for (uint16_t i = 0; i < count; i++) {
		size_t here = sizeof(struct page) + i * sizeof(struct leaf);
		const void *e = at(page, here, sizeof(struct leaf));
		struct leaf l;
		struct bytes k;

		if (!e)
			return false;
		memcpy(&l, e, sizeof(l));
		k = (struct bytes){ at(page, (uint64_t)here + l.pos, (uint64_t)l.ksize + l.vsize), l.ksize };
		if (!k.p)
			return false;
		if (key_cmp(k, key) || (l.flags & LEAF_BUCKET) != (bucket ? LEAF_BUCKET : 0))
			continue;
		*ret = (struct bytes){ k.p + l.ksize, l.vsize };
		return true;
	}
	return false;
}

/* in the tree of a bucket */
static bool find(const struct bolt *b, struct bytes in, const char *key, bool bucket, struct bytes *ret)
{
	struct bucket head;
	struct bytes page;

	if (!at(in, 0, sizeof(head)))
		return false;
	memcpy(&head, in.p, sizeof(head));
	page = (struct bytes){ in.p + sizeof(head), in.n - sizeof(head) };
	if (head.root && !page_of(b, head.root, &page))
		return false;
	for (int depth = 0; depth < BOLT_DEPTH; depth++) {
		struct page h;
		uint64_t id;

		if (!at(page, 0, sizeof(h)))
			return false;
		memcpy(&h, page.p, sizeof(h));
		if (h.flags & PAGE_LEAF)
			return in_leaf(page, h.count, key, bucket, ret);
		if (!(h.flags & PAGE_BRANCH) || !in_branch(page, h.count, key, &id) || !page_of(b, id, &page))
			return false;
	}
	return false;
}

/* FNV-1a of what stands before it, as the two pages are written in turns and one may be half there */
static bool meta_whole(const struct meta *m)
{
	const uint8_t *p = (const uint8_t *)m;
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < offsetof(struct meta, checksum); i++)
		h = (h ^ p[i]) * 0x100000001b3;
	return m->magic == BOLT_MAGIC && m->version == 2 && m->checksum == h;
}

static bool open_root(struct bolt *b, struct bucket *ret)
{
	struct meta best = { 0 }, m;

	/* the second one lies where the first says how large pages are */
	for (uint64_t i = 0; i < 2; i++) {
		const void *p = at(b->all, i * (i ? b->page_size : 0) + sizeof(struct page), sizeof(m));

		if (!p)
			return false;
		memcpy(&m, p, sizeof(m));
		if (i == 0)
			b->page_size = m.page_size >= 512 && m.page_size <= 65536 ? m.page_size : 4096;
		if (meta_whole(&m) && m.page_size == b->page_size && (best.magic == 0 || m.txid > best.txid))
			best = m;
	}
	*ret = best.root;
	return best.magic != 0;
}

static char *get(struct bolt *b, const char *const *keys, size_t n_keys, size_t *n)
{
	struct bucket root;
	struct bytes v = { (const char *)&root, sizeof(root) };
	char *out;

	errno = EBADMSG;
	if (!open_root(b, &root))
		return NULL;
	errno = ENOENT;
	for (size_t i = 0; i < n_keys; i++)
		if (!find(b, v, keys[i], i + 1 < n_keys, &v))
			return NULL;
	out = xalloc(v.n + 1);
	memcpy(out, v.p, v.n);
	*n = v.n;
	return out;
}

char *bolt_get(const char *file, const char *const *keys, size_t n_keys, size_t *n)
{
	own_fd int fd = open(file, O_RDONLY | O_CLOEXEC);
	const struct timespec moment = { .tv_nsec = 10000000 };
	struct bolt b = { 0 };
	struct stat st;
	char *out;
	void *p;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	for (int i = 0; flock(fd, LOCK_SH | LOCK_NB) < 0; i++) {
		if (i == BOLT_TRIES)
			return NULL;
		nanosleep(&moment, NULL);
	}
	p = st.st_size > 0 ? mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
	if (p == MAP_FAILED) {
		errno = EBADMSG;
		return NULL;
	}
	b.all = (struct bytes){ p, st.st_size };
	out = get(&b, keys, n_keys, n);
	munmap(p, st.st_size);
	return out;
}
