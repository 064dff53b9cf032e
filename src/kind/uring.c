// SPDX-License-Identifier: Apache-2.0
#include "kind/uring.h"

#include "base/res.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

int uring_setup(struct io_uring_params *p)
{
	int fd;

	p->flags |= IORING_SETUP_CQSIZE;
	fd = syscall(SYS_io_uring_setup, p->sq_entries, p);
	return fd < 0 ? -errno : fd_high(fd);
}

int uring_map(struct uring *u)
{
	void *m;

	u->rings_len = page_up(u->p.sq_off.array + u->p.sq_entries * sizeof(uint32_t));
	u->sqes_len = page_up(u->p.sq_entries * sizeof(*u->sqes));
	u->rings = NULL;
	m = mmap(NULL, u->rings_len, PROT_READ | PROT_WRITE, MAP_SHARED, u->fd, IORING_OFF_SQ_RING);
	if (m == MAP_FAILED)
		return -errno;
	u->rings = m;
	m = mmap(NULL, u->sqes_len, PROT_READ | PROT_WRITE, MAP_SHARED, u->fd, IORING_OFF_SQES);
	if (m == MAP_FAILED) {
		int r = -errno;

		munmap(u->rings, u->rings_len);
		u->rings = NULL;
		return r;
	}
	u->sqes = m;
	return 0;
}

void uring_unmap(struct uring *u)
{
	if (!u->rings)
		return;
	munmap(u->rings, u->rings_len);
	munmap(u->sqes, u->sqes_len);
	u->rings = NULL;
}

size_t uring_readable(const void *at, size_t len)
{
	size_t n = 0;
	char byte;

	for (; n < len; n += PAGE) {
		struct iovec l = { &byte, 1 }, m = { (char *)at + n, 1 };

		if (process_vm_readv(getpid(), &l, 1, &m, 1, 0) != 1)
			break;
	}
	return n < len ? n : len;
}

void uring_note(struct session *s, uint64_t ino, uint32_t id)
{
	map_put(session_map(s, "io_uring"), ino, (void *)(uintptr_t)id);
}

uint32_t uring_noted(struct session *s, uint64_t ino)
{
	return (uintptr_t)map_get(session_map(s, "io_uring"), ino);
}

unsigned uring_noted_only(struct session *s, uint32_t *ret_id)
{
	const struct map *m = session_map(s, "io_uring");
	unsigned n = 0;

	for (size_t i = 0; i < m->max; i++)
		if (m->rows[i].value) {
			*ret_id = (uintptr_t)m->rows[i].value;
			n++;
		}
	return n;
}
