// SPDX-License-Identifier: Apache-2.0
#include "kind/shmem.h"

#include "base/res.h"
#include "image/page.h"

#include <fcntl.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#define CHUNK (4u << 20)

#ifndef SECRETMEM_MAGIC
#define SECRETMEM_MAGIC 0x5345434d
#endif

bool shmem_secret(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == SECRETMEM_MAGIC;
}

int shmem_again(int fd, int flags)
{
	if (!shmem_secret(fd))
		return fd_reopen(fd, flags);
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

/* Secret memory cannot be read by a descriptor, but mapped by whoever has one. */
static ssize_t get(int fd, char *buf, size_t n, uint64_t at, bool secret)
{
	char *p;

	if (!secret)
		return pread(fd, buf, n, at);
	p = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, at);
	if (p == MAP_FAILED)
		return -1;
	memcpy(buf, p, n);
	munmap(p, n);
	return n;
}

static int shmem_range(struct session *s, struct page_out *o, int fd, char *buf, uint64_t at,
		       uint64_t end)
{
	bool secret = shmem_secret(fd);

	while (at < end) {
		size_t want = end - at < CHUNK ? end - at : CHUNK;
		ssize_t n = get(fd, buf, want, at, secret);
		uint64_t zero = 0;
		int r;

		if (n < 0)
			return session_fail(s, -errno, "shared memory: read");
		if (n == 0)
			break;
		memset(buf + n, 0, page_up(n) - n);
		if (map_get(session_map(s, "shmem zeroes"), 0))
			r = page_out_add(o, at, page_up(n) / PAGE, buf);
		else
			r = page_out_sparse(o, at, page_up(n) / PAGE, buf, &zero);
		if (r < 0)
			return r;
		s->stats.shpages_scanned += page_up(n) / PAGE;
		at += page_up(n);
	}
	return 0;
}

void shmem_keep_zeroes(struct session *s)
{
	map_put(session_map(s, "shmem zeroes"), 0, s);
}

int shmem_dump(struct session *s, uint64_t shmid, int fd, uint64_t size)
{
	struct map *done = session_map(s, "shmem dumped");
	struct page_out o;
	char *buf;
	off_t at = 0;
	int r;

	if (map_get(done, shmid))
		return 0;
	map_put(done, shmid, s);
	buf = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED)
		return session_fail(s, -errno, "shared memory: buffer");
	r = page_out_open(s, &o, "shmem-%llu", (unsigned long long)shmid);
	while (r == 0 && (uint64_t)at < size) {
		off_t data = shmem_secret(fd) ? at : lseek(fd, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			break;
		if (data < 0) {
			r = session_fail(s, -errno, "shared memory: find its data");
			break;
		}
		hole = shmem_secret(fd) ? (off_t)size : lseek(fd, data, SEEK_HOLE);
		if (hole < 0 || (uint64_t)hole > size)
			hole = size;
		data &= ~(PAGE - 1);
		r = shmem_range(s, &o, fd, buf, data, hole);
		at = hole;
	}
	s->stats.shpages_written += o.total;
	session_debug(s, "shmem %llu: %llu bytes, %llu pages", (unsigned long long)shmid,
		      (unsigned long long)size, (unsigned long long)o.total);
	if (page_out_close(&o) < 0 && r == 0)
		r = s->why_r;
	munmap(buf, CHUNK);
	return r;
}

uint64_t shmem_huge(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC ? fs.f_bsize : 0;
}

/* A file of huge pages or secret memory cannot be written to, but mapped. Bytes that were put, or -1 and errno. */
static ssize_t mapped_put(int from, off_t off, size_t n, int fd, uint64_t at, uint64_t page)
{
	uint64_t base = at & ~(page - 1), len = ((at + n + page - 1) & ~(page - 1)) - base;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, base);
	ssize_t got;

	if (p == MAP_FAILED)
		return -1;
	got = pread(from, p + (at - base), n, off);
	munmap(p, len);
	return got;
}

static ssize_t put(int from, off_t off, size_t n, int fd, uint64_t at, char *buf)
{
	ssize_t got = pread(from, buf, n, off);

	return got <= 0 ? got : pwrite(fd, buf, got, at);
}

int shmem_restore(struct session *s, uint64_t shmid, int fd, uint64_t size)
{
	uint64_t huge = shmem_huge(fd), page = huge ? huge : shmem_secret(fd) ? PAGE : 0;
	struct pages p;
	char *buf;
	int r = pages_read(s, &p, "shmem-%llu", (unsigned long long)shmid);

	if (r < 0)
		return r;
	buf = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED)
		r = session_fail(s, -errno, "shared memory: buffer");
	for (size_t i = 0; r == 0 && i < p.n; i++) {
		uint64_t at = p.v[i].vaddr, off = p.v[i].off, end = at + p.v[i].n * PAGE;

		if (end > size)
			end = size;
		while (r == 0 && at < end) {
			size_t want = end - at < CHUNK ? end - at : CHUNK;
			int from = p.files.v[p.v[i].file];
			ssize_t n = page ? mapped_put(from, off, want, fd, at, page)
					 : put(from, off, want, fd, at, buf);

			if (n <= 0)
				r = session_fail(s, n == 0 ? -EBADMSG : huge ? -ENOMEM : -errno,
						 "shared memory %llu: fill%s", (unsigned long long)shmid,
						 huge ? " its huge pages (vm.nr_hugepages says how many there are)" : "");
			at += n > 0 ? n : 0;
			off += n > 0 ? n : 0;
		}
	}
	s->stats.pages_restored += p.total;
	if (buf != MAP_FAILED)
		munmap(buf, CHUNK);
	pages_free(&p);
	return r;
}

void shmem_anon_size(struct session *s, uint64_t shmid, uint64_t end)
{
	struct map *m = session_map(s, "shmem size");

	if ((uintptr_t)map_get(m, shmid) < end)
		map_put(m, shmid, (void *)(uintptr_t)end);
}

/*
 * The object of a shared anonymous mapping has no name to open: it is reached through the mapping's
 * entry in map_files, and tasks then map it like a file. It looks like the original: /dev/zero.
 */
int shmem_anon(struct session *s, uint64_t shmid, uint64_t size, int huge)
{
	struct map *m = session_map(s, "shmem fd");
	uint64_t all = (uintptr_t)map_get(session_map(s, "shmem size"), shmid);
	uintptr_t have = (uintptr_t)map_get(m, shmid);
	char path[80];
	void *p;
	int fd, r;

	if (have)
		return have - 1;
	size = page_up(size > all ? size : all);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | huge, -1, 0);
	if (p == MAP_FAILED)
		return session_fail(s, -errno, "shared memory %llu: %llu bytes",
				    (unsigned long long)shmid, (unsigned long long)size);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)p,
		 (unsigned long)p + size);
	fd = fd_high(open(path, O_RDWR | O_CLOEXEC));
	r = -errno;
	munmap(p, size);
	if (fd < 0)
		return session_fail(s, r, "shared memory %llu: open", (unsigned long long)shmid);
	map_put(m, shmid, (void *)(uintptr_t)(fd + 1));
	r = shmem_restore(s, shmid, fd, size);
	return r < 0 ? r : fd;
}
