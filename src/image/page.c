// SPDX-License-Identifier: Apache-2.0
#include "image/page.h"

#include "base/list.h"
#include "images/pagemap.pb-c.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PARENTS_MAX 256
#define RUNS_MAX (1u << 26)

/* ---- writing ---- */

static uint32_t page_next_id(struct session *s)
{
	struct map *m = session_map(s, "pages id");
	uintptr_t id = (uintptr_t)map_get(m, 0) + 1;

	map_put(m, 0, (void *)id);
	return id;
}

#define PAGES_APART 0x40000000u

void page_ids_apart(struct session *s)
{
	if ((uintptr_t)map_get(session_map(s, "pages id"), 0) < PAGES_APART) /* once */
		map_put(session_map(s, "pages id"), 0, (void *)(uintptr_t)PAGES_APART);
}

int page_out_open(struct session *s, struct page_out *o, const char *fmt, ...)
{
	PagemapHead head = PAGEMAP_HEAD__INIT;
	char name[48];
	va_list ap;
	int r;

	memset(o, 0, sizeof(*o));
	o->s = s;
	o->pages = -1;
	va_start(ap, fmt);
	vsnprintf(o->name, sizeof(o->name), fmt, ap);
	va_end(ap);
	head.pages_id = page_next_id(s);
	r = image_create(s, &o->map, MAGIC_PAGEMAP, "pagemap-%s.img", o->name);
	if (r == 0)
		r = image_write(&o->map, &head.base);
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "pages-%u.img", head.pages_id);
	r = session_unlinkat(s, s->images, name);
	if (r < 0 && r != -ENOENT)
		return session_fail(s, r, "image %s: remove the old one", name);
	o->pages = session_openat(s, s->images, name, O_WRONLY | O_CREAT | O_EXCL, 0666);
	if (o->pages < 0)
		return session_fail(s, o->pages, "image %s: create", name);
	return 0;
}

static int page_out_run(struct page_out *o)
{
	PagemapEntry e = PAGEMAP_ENTRY__INIT;

	if (!o->n)
		return 0;
	e.vaddr = o->vaddr;
	e.has_nr_pages = true;
	e.nr_pages = o->n;
	e.compat_nr_pages = o->n <= UINT32_MAX ? o->n : 0; /* readers that know only this one */
	e.has_flags = true;
	e.flags = PE_PRESENT;
	o->n = 0;
	return image_write(&o->map, &e.base);
}

int page_out_add(struct page_out *o, uint64_t vaddr, uint64_t n, const void *buf)
{
	int r = fd_write_all(o->pages, buf, n * PAGE);

	if (r < 0)
		return session_fail(o->s, r, "pages of %s: write", o->name);
	o->total += n;
	if (o->n && o->vaddr + o->n * PAGE == vaddr) {
		o->n += n;
		return 0;
	}
	r = page_out_run(o);
	o->vaddr = vaddr;
	o->n = n;
	return r;
}

static bool page_is_zero(const char *p)
{
	const uint64_t *w = (const uint64_t *)p;

	for (size_t i = 0; i < PAGE / 8; i += 8)
		if (w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7])
			return false;
	return true;
}

int page_out_sparse(struct page_out *o, uint64_t vaddr, uint64_t n, const char *buf, uint64_t *zero)
{
	uint64_t from = 0;
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < n; i++) {
		if (!page_is_zero(buf + i * PAGE))
			continue;
		(*zero)++;
		if (i > from)
			r = page_out_add(o, vaddr + from * PAGE, i - from, buf + from * PAGE);
		from = i + 1;
	}
	if (r == 0 && n > from)
		r = page_out_add(o, vaddr + from * PAGE, n - from, buf + from * PAGE);
	return r;
}

int page_out_close(struct page_out *o)
{
	int r = 0;

	if (!o->s)
		return 0;
	if (o->map.s)
		r = page_out_run(o);
	if (o->pages >= 0 && close(o->pages) < 0 && r == 0)
		r = session_fail(o->s, -errno, "pages of %s: close", o->name);
	if (r == 0)
		r = image_close(&o->map);
	else
		image_close(&o->map);
	o->s = NULL;
	return r;
}

/* ---- reading ---- */

void pages_free(struct pages *p)
{
	for (size_t i = 0; i < p->files.n; i++)
		fd_close(p->files.v[i]);
	free(p->files.v);
	free(p->v);
	memset(p, 0, sizeof(*p));
}

size_t pages_find(const struct pages *p, uint64_t vaddr)
{
	size_t lo = 0, hi = p->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (p->v[mid].vaddr + p->v[mid].n * PAGE <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct reading {
	struct session *s;
	const char *name;
	int dirfd;
	unsigned depth;
};

static int pages_of(struct reading *rd, struct pages *p);

/* Append what the parent holds of [vaddr, +n): all of it must be there. */
static int pages_from_parent(struct reading *rd, struct pages *p, const struct pages *parent,
			     uint32_t first_file, uint64_t vaddr, uint64_t n)
{
	uint64_t end = vaddr + n * PAGE;

	for (size_t i = pages_find(parent, vaddr); vaddr < end; i++) {
		const struct page_run *r = i < parent->n ? &parent->v[i] : NULL;
		struct page_run *to;
		uint64_t skip, k;

		if (!r || r->vaddr > vaddr)
			return session_fail(rd->s, -EBADMSG,
					    "pagemap-%s.img: page %llx is said to be in the parent, which lacks it",
					    rd->name, (unsigned long long)vaddr);
		skip = (vaddr - r->vaddr) / PAGE;
		k = r->n - skip;
		if (k > (end - vaddr) / PAGE)
			k = (end - vaddr) / PAGE;
		to = vec_add(p);
		to->vaddr = vaddr;
		to->n = k;
		to->file = first_file + r->file;
		to->off = r->off + skip * PAGE;
		p->total += k;
		vaddr += k * PAGE;
	}
	return 0;
}

/* flags of an entry, old forms included */
static uint32_t entry_flags(const PagemapEntry *e)
{
	uint32_t f = e->has_flags ? e->flags : e->has_in_parent && e->in_parent ? 0 : PE_PRESENT;

	if (e->has_in_parent && e->in_parent)
		f |= PE_PARENT;
	return f;
}

static int pages_entry(struct reading *rd, struct pages *p, const struct pages *parent,
		       uint32_t parent_file, const PagemapEntry *e, uint64_t *off, uint64_t size)
{
	uint64_t n = e->has_nr_pages ? e->nr_pages : e->compat_nr_pages;
	uint64_t last = p->n ? p->v[p->n - 1].vaddr + p->v[p->n - 1].n * PAGE : 0;
	uint32_t flags = entry_flags(e);
	struct page_run *to;

	if (!n)
		return 0;
	if (e->vaddr % PAGE || n > (1ULL << 47) / PAGE || e->vaddr > (1ULL << 47) || e->vaddr < last ||
	    p->n > RUNS_MAX)
		return session_fail(rd->s, -EBADMSG,
				    "pagemap-%s.img: entry at %llx is out of order or range", rd->name,
				    (unsigned long long)e->vaddr);
	if (flags & PE_PRESENT) {
		if (*off > size || n * PAGE > size - *off)
			return session_fail(rd->s, -EBADMSG,
					    "pagemap-%s.img: its pages file is too short; it was cut",
					    rd->name);
		to = vec_add(p);
		to->vaddr = e->vaddr;
		to->n = n;
		to->file = 0;
		to->off = *off;
		*off += n * PAGE;
		p->total += n;
		return 0;
	}
	if (flags & PE_PARENT)
		return pages_from_parent(rd, p, parent, parent_file, e->vaddr, n);
	if (flags & PE_LAZY)
		return session_fail(rd->s, -ENOTSUP,
				    "pagemap-%s.img: pages at %llx were left with a page server; they are not in this checkpoint",
				    rd->name, (unsigned long long)e->vaddr);
	return 0;
}

/* The parent directory's pages of the same name; none if there is no parent. */
static int pages_parent(struct reading *rd, struct pages *parent)
{
	own_fd int dir = session_openat(rd->s, rd->dirfd, "parent", O_RDONLY | O_DIRECTORY, 0);
	struct reading up = { rd->s, rd->name, dir, rd->depth + 1 };

	if (dir < 0)
		return dir == -ENOENT ? 0 : session_fail(rd->s, dir, "images: open parent");
	if (up.depth > PARENTS_MAX)
		return session_fail(rd->s, -ELOOP, "images: more than %u parents", PARENTS_MAX);
	return pages_of(&up, parent);
}

static int pages_open(struct reading *rd, struct pages *p, uint32_t id, uint64_t *size)
{
	char name[48];
	struct stat st;
	int fd;

	snprintf(name, sizeof(name), "pages-%u.img", id);
	fd = session_openat(rd->s, rd->dirfd, name, O_RDONLY | O_NONBLOCK, 0);
	*size = 0;
	if (fd < 0)
		return fd == -ENOENT ? 0 : session_fail(rd->s, fd, "image %s: open", name);
	*vec_add(&p->files) = fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return session_fail(rd->s, -EBADMSG, "image %s: is not a regular file", name);
	*size = st.st_size;
	return 0;
}

static int pages_of(struct reading *rd, struct pages *p)
{
	own_image struct image img = { 0 };
	struct pages parent = { 0 };
	uint64_t size = 0, off = 0;
	uint32_t parent_file;
	ProtobufCMessage *m;
	char name[64];
	bool asked = false;
	int r;

	snprintf(name, sizeof(name), "pagemap-%s.img", rd->name);
	r = image_open_at(rd->s, &img, rd->dirfd, MAGIC_COMMON, MAGIC_PAGEMAP, name);
	if (r == 1)
		return session_fail(rd->s, -EBADMSG, "image %s: is missing; the checkpoint is not whole", name);
	if (r < 0)
		return r;
	r = image_read(&img, &pagemap_head__descriptor, &m);
	if (r <= 0)
		return r < 0 ? r : session_fail(rd->s, -EBADMSG, "image %s: is empty", name);
	r = pages_open(rd, p, ((PagemapHead *)m)->pages_id, &size);
	protobuf_c_message_free_unpacked(m, NULL);
	if (r == 0 && !p->files.n) { /* keep index 0 for our own file */
		p->files.v = xalloc(sizeof(int));
		p->files.v[0] = -1;
		p->files.n = p->files.max = 1;
	}
	parent_file = p->files.n;
	while (r == 0 && (r = image_read(&img, &pagemap_entry__descriptor, &m)) == 1) {
		const PagemapEntry *e = (PagemapEntry *)m;

		r = 0;
		if (!asked && (entry_flags(e) & PE_PARENT)) {
			r = pages_parent(rd, &parent);
			asked = true;
		}
		if (r == 0)
			r = pages_entry(rd, p, &parent, parent_file, e, &off, size);
		protobuf_c_message_free_unpacked(m, NULL);
	}
	/* the parent's files become ours */
	for (size_t i = 0; i < parent.files.n; i++)
		*vec_add(&p->files) = parent.files.v[i];
	parent.files.n = 0;
	pages_free(&parent);
	return r;
}

int pages_read(struct session *s, struct pages *p, const char *fmt, ...)
{
	struct reading rd = { .s = s, .dirfd = s->images };
	char name[32];
	va_list ap;
	int r;

	memset(p, 0, sizeof(*p));
	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	rd.name = name;
	r = pages_of(&rd, p);
	if (r < 0)
		pages_free(p);
	return r;
}
