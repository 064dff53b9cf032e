// SPDX-License-Identifier: Apache-2.0
/* uring: an io_uring in some state, judged by the program that has it. Usage: uring CASE DIR, see judge.h. */
#define _GNU_SOURCE
#include "judge.h"

#include <linux/io_uring.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define UNUSED_TURNS 1000003 /* requests before the ones that matter: the numbers are to go on from there */

static struct {
	int fd;
	struct io_uring_params p;
	char *rings;
	struct io_uring_sqe *sqes;
	unsigned *sq_head, *sq_tail, *cq_head, *cq_tail, *array;
	struct io_uring_cqe *cqes;
} u;

static void ring(unsigned entries, unsigned flags)
{
	u.p.flags = flags;
	u.fd = syscall(SYS_io_uring_setup, entries, &u.p);
	if (u.fd < 0)
		exit(3);
	u.rings = mmap(NULL, u.p.sq_off.array + u.p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u.fd, 0);
	u.sqes = mmap(NULL, u.p.sq_entries * sizeof(*u.sqes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u.fd, IORING_OFF_SQES);
	u.sq_head = (unsigned *)(u.rings + u.p.sq_off.head);
	u.sq_tail = (unsigned *)(u.rings + u.p.sq_off.tail);
	u.cq_head = (unsigned *)(u.rings + u.p.cq_off.head);
	u.cq_tail = (unsigned *)(u.rings + u.p.cq_off.tail);
	u.array = (unsigned *)(u.rings + u.p.sq_off.array);
	u.cqes = (struct io_uring_cqe *)(u.rings + u.p.cq_off.cqes);
}

/* The next request, all but submitted. */
static struct io_uring_sqe *put(int op, int fd, const void *addr, unsigned len, unsigned long data)
{
	unsigned at = *u.sq_tail & (u.p.sq_entries - 1);
	struct io_uring_sqe *e = &u.sqes[at];

	memset(e, 0, sizeof(*e));
	e->opcode = op;
	e->fd = fd;
	e->addr = (unsigned long)addr;
	e->len = len;
	e->off = -1;
	e->user_data = data;
	if (!(u.p.flags & (1u << 16))) /* IORING_SETUP_NO_SQARRAY */
		u.array[at] = at;
	__atomic_store_n(u.sq_tail, *u.sq_tail + 1, __ATOMIC_RELEASE);
	return e;
}

static int enter(unsigned submit, unsigned wait)
{
	return syscall(SYS_io_uring_enter, u.fd, submit, wait, wait ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
}

/* The next completion is that one. */
static void expect(unsigned long data, int res)
{
	struct io_uring_cqe *c = &u.cqes[*u.cq_head & (u.p.cq_entries - 1)];

	CHECK(*u.cq_head != __atomic_load_n(u.cq_tail, __ATOMIC_ACQUIRE));
	if (c->user_data != data || c->res != res)
		fprintf(stderr, "got %llx %d, want %lx %d\n", c->user_data, c->res, data, res);
	CHECK(c->user_data == data);
	CHECK(c->res == res);
	__atomic_store_n(u.cq_head, *u.cq_head + 1, __ATOMIC_RELEASE);
}

static void turn(unsigned n)
{
	while (n) {
		unsigned k = n < u.p.sq_entries ? n : u.p.sq_entries;

		for (unsigned i = 0; i < k; i++)
			put(IORING_OP_NOP, -1, NULL, 0, 7);
		CHECK(enter(k, 0) == (int)k);
		for (unsigned i = 0; i < k; i++)
			expect(7, 0);
		n -= k;
	}
}

/* A few free pages below an area, too few for another. */
static void free_below(void *area)
{
	char *wall = (char *)area - 4 * 4096;

	if (mmap(wall, 4 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == wall)
		munmap(wall + 4096, 3 * 4096);
}

/* Completions that were not read, two requests that were not submitted, and all numbers far along. */
static void rings(unsigned entries, unsigned flags)
{
	char buf[8] = "";
	unsigned head, tail;
	int p[2];

	ring(entries, flags);
	free_below(u.rings);
	free_below(u.sqes);
	CHECK(pipe(p) == 0);
	turn(UNUSED_TURNS);
	for (unsigned i = 0; i < u.p.cq_entries - 3; i++) {
		put(IORING_OP_NOP, -1, NULL, 0, 1000 + i);
		CHECK(enter(1, 0) == 1);
	}
	put(IORING_OP_WRITE, p[1], "ring", 4, 1);
	put(IORING_OP_READ, p[0], buf, 4, 2)->flags = 0;
	head = *u.sq_head;
	tail = *u.cq_tail;
	wait_term();
	CHECK(*u.sq_head == head && *u.sq_tail == head + 2 && *u.cq_tail == tail);
	CHECK(*u.cq_head == UNUSED_TURNS);
	CHECK(enter(2, 0) == 2); /* one more than these would find no room: they must not tread on unread ones */
	for (unsigned i = 0; i < u.p.cq_entries - 3; i++)
		expect(1000 + i, 0);
	expect(1, 4);
	expect(2, 4);
	CHECK(!memcmp(buf, "ring", 4));
	turn(3 * u.p.cq_entries);
}

/* Registered memory, and epoll on the ring. */
static void buffers(void)
{
	static char a[100] = "registered", b[9000];
	struct iovec v[2] = { { a, sizeof(a) }, { b + 50, 8000 } };
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 5 };
	int p[2], ep = epoll_create1(0);

	ring(8, 0);
	CHECK(pipe(p) == 0);
	CHECK(syscall(SYS_io_uring_register, u.fd, IORING_REGISTER_BUFFERS, v, 2) == 0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, u.fd, &e) == 0);
	wait_term();
	CHECK(epoll_wait(ep, &e, 1, 0) == 0);
	put(IORING_OP_WRITE_FIXED, p[1], a, 10, 1)->buf_index = 0;
	CHECK(enter(1, 1) == 1);
	CHECK(epoll_wait(ep, &e, 1, 0) == 1 && e.data.u64 == 5);
	expect(1, 10);
	put(IORING_OP_READ_FIXED, p[0], b + 60, 10, 2)->buf_index = 1;
	CHECK(enter(1, 1) == 1);
	expect(2, 10);
	CHECK(!memcmp(b + 60, "registered", 10));
	put(IORING_OP_READ_FIXED, p[0], b, 10, 3)->buf_index = 1; /* not in the buffer */
	CHECK(enter(1, 1) == 1);
	expect(3, -EFAULT);
}

/* A child that has the memory and no descriptor, another that has two; none of it goes to a third. */
static void shared(void)
{
	struct child { volatile int go; volatile int ok; } *c = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int two, status;

	ring(8, 0);
	two = fcntl(u.fd, F_DUPFD_CLOEXEC, 50);
	CHECK(fcntl(u.fd, F_SETFD, 0) == 0); /* it comes with FD_CLOEXEC */
	if (fork() == 0) {
		close(u.fd);
		close(two);
		while (!c->go)
			usleep(1000);
		for (int n = 0; n < 2000 && *u.cq_head == __atomic_load_n(u.cq_tail, __ATOMIC_ACQUIRE); n++)
			usleep(1000);
		expect(11, 0);
		c->ok = !why[0];
		_exit(0);
	}
	wait_term();
	CHECK(fcntl(u.fd, F_GETFD) == 0 && fcntl(two, F_GETFD) == FD_CLOEXEC);
	c->go = 1;
	put(IORING_OP_NOP, -1, NULL, 0, 11);
	u.fd = two;
	CHECK(enter(1, 0) == 1);
	CHECK(wait(&status) > 0 && c->ok);
	CHECK(*u.cq_head == *u.cq_tail);
}

/* Named by an index. */
static void indexed(unsigned rings)
{
	struct { unsigned offset, resv; unsigned long data; } r = { 5, 0, 0 };

	ring(8, 0);
	r.data = u.fd;
	CHECK(syscall(SYS_io_uring_register, u.fd, IORING_REGISTER_RING_FDS, &r, 1) == 1);
	if (rings > 1)
		ring(8, 0);
	wait_term();
	if (rings > 1)
		return;
	put(IORING_OP_NOP, -1, NULL, 0, 12);
	CHECK(syscall(SYS_io_uring_enter, 5, 1, 0, IORING_ENTER_REGISTERED_RING, NULL, 0) == 1);
	expect(12, 0);
	CHECK(syscall(SYS_io_uring_enter, 4, 0, 0, IORING_ENTER_REGISTERED_RING, NULL, 0) < 0);
}

/* What cannot be kept. */
static void refused(const char *what)
{
	static char one;
	struct __kernel_timespec ts = { 1000, 0 };
	int p[2], e = eventfd(0, 0), fds[1] = { e };

	ring(8, !strcmp(what, "single") ? IORING_SETUP_SINGLE_ISSUER : !strcmp(what, "wide") ? IORING_SETUP_SQE128 : 0);
	CHECK(pipe(p) == 0);
	if (!strcmp(what, "poll"))
		put(IORING_OP_READ, p[0], &one, 1, 1)->off = 0;
	if (!strcmp(what, "timeout"))
		put(IORING_OP_TIMEOUT, -1, &ts, 1, 1)->off = 0;
	if (!strcmp(what, "worker"))
		put(IORING_OP_READ, p[0], &one, 1, 1)->flags = IOSQE_ASYNC;
	if (!strcmp(what, "eventfd"))
		CHECK(syscall(SYS_io_uring_register, u.fd, IORING_REGISTER_EVENTFD, &e, 1) == 0);
	if (!strcmp(what, "files"))
		CHECK(syscall(SYS_io_uring_register, u.fd, IORING_REGISTER_FILES, fds, 1) == 0);
	if (!strcmp(what, "wide"))
		memset((char *)u.sqes + 1000, 1, 4);
	if (*u.sq_tail)
		CHECK(enter(1, 0) == 1);
	wait_term();
	CHECK(*u.cq_head == *u.cq_tail);
	if (!strcmp(what, "poll") || !strcmp(what, "worker")) {
		CHECK(write(p[1], "1", 1) == 1);
		CHECK(enter(0, 1) == 0);
		expect(1, 1);
	}
}

int main(int argc, char **argv)
{
	if (judge_begin(argc, argv) < 0)
		return 2;
	if (!strcmp(argv[1], "rings"))
		rings(8, 0);
	else if (!strcmp(argv[1], "large"))
		rings(4096, 0);
	else if (!strcmp(argv[1], "noarray"))
		rings(16, 1u << 16);
	else if (!strcmp(argv[1], "buffers"))
		buffers();
	else if (!strcmp(argv[1], "shared"))
		shared();
	else if (!strcmp(argv[1], "indexed"))
		indexed(1);
	else if (!strcmp(argv[1], "which"))
		indexed(2);
	else
		refused(argv[1]);
	finish();
}
