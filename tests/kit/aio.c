// SPDX-License-Identifier: Apache-2.0
/*
 * aio: contexts of io_setup(2) with events that nobody has read yet.
 * Usage: aio all DIR. DIR/ready appears when all is set up; on SIGTERM "OK" or the first failure goes into DIR/verdict.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int file;
static char buf[16];
static struct { unsigned id, nr, head, tail; } *ring;

static aio_context_t make(unsigned n)
{
	aio_context_t c = 0;

	CHECK(syscall(SYS_io_setup, n, &c) == 0);
	return c;
}

/* n requests, their numbers from first on */
static void submit(aio_context_t c, unsigned n, unsigned first)
{
	for (unsigned i = 0; i < n; i++) {
		struct iocb io = { .aio_data = first + i, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = file,
				   .aio_buf = (unsigned long)buf, .aio_nbytes = 1 + (first + i) % 10 };
		struct iocb *p = &io;

		CHECK(syscall(SYS_io_submit, c, 1, &p) == 1);
	}
}

static void take(aio_context_t c, unsigned n, unsigned first)
{
	for (unsigned i = 0; i < n; i++) {
		struct io_event e = { 0 };

		CHECK(syscall(SYS_io_getevents, c, 1, 1, &e, NULL) == 1);
		CHECK(e.data == first + i && e.res == 1 + (first + i) % 10);
	}
}

static void none(aio_context_t c)
{
	struct io_event e;
	struct timespec now = { 0 };

	CHECK(syscall(SYS_io_getevents, c, 0, 1, &e, &now) == 0);
}

int main(int argc, char **argv)
{
	aio_context_t fresh, some, wraps, full, kids;
	unsigned nr;
	int st;
	pid_t kid;

	if (judge_begin(argc, argv) < 0)
		return 2;
	file = open("data", O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(write(file, "0123456789abcdef", 16) == 16);
	fresh = make(1);
	some = make(500);
	wraps = make(3);
	full = make(8);
	submit(some, 400, 0);
	take(some, 390, 0);
	ring = (void *)wraps;
	nr = ring->nr;
	for (unsigned i = 0; i < nr - 3; i++) {
		submit(wraps, 1, i);
		take(wraps, 1, i);
	}
	submit(wraps, 8, 1000); /* over the end of the ring */
	CHECK(ring->tail < ring->head);
	ring = (void *)full;
	submit(full, 100, 5);
	kid = fork();
	if (!kid) { /* the contexts are not inherited */
		kids = make(5);
		submit(kids, 2, 7);
		sleep_term();
		take(kids, 2, 7);
		none(kids);
		CHECK(syscall(SYS_io_destroy, kids) == 0);
		_exit(!!why[0]);
	}
	wait_term();
	none(fresh);
	submit(fresh, 20, 3);
	take(fresh, 20, 3);
	take(some, 10, 390);
	none(some);
	for (unsigned i = 0; i < 3000; i++) {
		submit(some, 1, i);
		take(some, 1, i);
	}
	submit(wraps, 1, 1008);
	take(wraps, 9, 1000);
	none(wraps);
	take(full, 100, 5);
	submit(full, 100, 6);
	take(full, 100, 6);
	CHECK(((unsigned *)wraps)[1] == nr);
	CHECK(syscall(SYS_io_destroy, fresh) == 0 && syscall(SYS_io_destroy, some) == 0);
	CHECK(syscall(SYS_io_destroy, wraps) == 0 && syscall(SYS_io_destroy, full) == 0);
	kill(kid, SIGTERM);
	CHECK(waitpid(kid, &st, 0) == kid && st == 0);
	finish();
}
