// SPDX-License-Identifier: Apache-2.0
/*
 * uffd: programs that bring pages of their memory themselves. What matters is which faults they are told of afterwards:
 * those of pages that are still missing, or write-protected, once each, and no others.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PAGE 4096ul
#define PAGES 24
#define WITHHELD 20 /* comes only after the restore */
#define HUGE (2ul << 20)
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif

/* A userfaultfd and whom it tells what; a thread serves it. */
struct pager {
	int fd, go; /* go: an eventfd, the page that was withheld may come */
	char *area;
	volatile int missing[PAGES], minor[PAGES], wp[PAGES], child;
};

/* Without rights outside, only faults of the program itself can be had. */
static int uffd_new(unsigned long long features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = syscall(SYS_userfaultfd, O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 && errno == EPERM)
		fd = syscall(SYS_userfaultfd, O_NONBLOCK | O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (fd < 0)
		exit(3);
	if (ioctl(fd, UFFDIO_API, &api) == 0)
		return fd;
	close(fd);
	return -1;
}

static void watch(int fd, char *area, int pages, int mode)
{
	struct uffdio_register r = { .range = { (long)area, pages * PAGE }, .mode = mode };

	CHECK(ioctl(fd, UFFDIO_REGISTER, &r) == 0);
}

/* Every fourth page holds zeroes, which is not the same as none. */
static char content(int page)
{
	return page % 4 == 3 ? 0 : page + 1;
}

/* Two threads may wait for one page, or one be told of twice: then it is there already. */
static void bring(struct pager *p, int page)
{
	static char buf[PAGE];
	struct uffdio_copy c = { .dst = (long)p->area + page * PAGE, .src = (long)buf, .len = PAGE };

	memset(buf, content(page), PAGE);
	CHECK(ioctl(p->fd, UFFDIO_COPY, &c) == 0 || errno == EEXIST);
}

static void serve(struct pager *p, const struct uffd_msg *m)
{
	int page = ((char *)m->arg.pagefault.address - p->area) / PAGE;
	struct uffdio_range range = { (long)p->area + page * PAGE, PAGE };

	if (m->event == UFFD_EVENT_FORK) {
		p->child = m->arg.fork.ufd;
		return;
	}
	if (m->event != UFFD_EVENT_PAGEFAULT || page < 0 || page >= PAGES) {
		CHECK(!"an unknown event");
	} else if (m->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
		p->wp[page]++;
		CHECK(ioctl(p->fd, UFFDIO_WRITEPROTECT, &(struct uffdio_writeprotect){ .range = range }) == 0);
	} else if (m->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR) {
		p->minor[page]++;
		CHECK(ioctl(p->fd, UFFDIO_CONTINUE, &(struct uffdio_continue){ .range = range }) == 0);
	} else {
		p->missing[page]++;
		if (page != WITHHELD)
			bring(p, page);
	}
}

static void *pager_main(void *arg)
{
	struct pager *p = arg;
	struct pollfd f[2] = { { .fd = p->fd, .events = POLLIN }, { .fd = p->go, .events = POLLIN } };
	struct uffd_msg m;
	eventfd_t n;

	while (poll(f, 2, -1) >= 0 || errno == EINTR) {
		if (read(p->fd, &m, sizeof(m)) == sizeof(m))
			serve(p, &m);
		if (f[1].revents && eventfd_read(p->go, &n) == 0)
			bring(p, WITHHELD);
	}
	CHECK(!"the pager ended");
	return NULL;
}

static void pager_start(struct pager *p)
{
	pthread_t t;

	p->go = eventfd(0, EFD_NONBLOCK);
	CHECK(pthread_create(&t, NULL, pager_main, p) == 0);
}

static void wait_for(volatile int *n)
{
	while (!*n)
		usleep(1000);
}

/* Looks at pages from up to the last before end. */
static void look(struct pager *p, int from, int end)
{
	for (int i = from; i < end; i++)
		CHECK(((volatile char *)p->area)[i * PAGE] == content(i));
}

static void told(const volatile int *counts, int from, int end, int n)
{
	for (int i = from; i < end; i++)
		if (counts[i] != n && !why[0])
			snprintf(why, sizeof(why), "page %d: told %d times, not %d", i, counts[i], n);
}

/* Memory that the kernel would like to fill by huge pages. */
static char *area_new(void)
{
	char *raw = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *area = (char *)(((long)raw + HUGE - 1) & -HUGE);

	madvise(area, HUGE, MADV_HUGEPAGE);
	return area;
}

/* ---- a pager in the program itself ---- */

static struct pager own;
static pthread_t waiter;
static volatile char waited = -1;

static void *waiter_main(void *arg)
{
	waited = own.area[WITHHELD * PAGE];
	return NULL;
}

static void missing_setup(void)
{
	own.area = area_new();
	own.fd = uffd_new(0);
	watch(own.fd, own.area, HUGE / PAGE, UFFDIO_REGISTER_MODE_MISSING);
	pager_start(&own);
	look(&own, 0, 10);
	CHECK(pthread_create(&waiter, NULL, waiter_main, NULL) == 0);
	wait_for(&own.missing[WITHHELD]);
}

static void missing_check(void)
{
	CHECK(waited == -1);
	told(own.missing, 10, WITHHELD, 0);
	look(&own, 0, WITHHELD);
	told(own.missing, 0, WITHHELD, 1);
	eventfd_write(own.go, 1);
	CHECK(pthread_join(waiter, NULL) == 0 && waited == content(WITHHELD));
}

/* ---- write protection ---- */

/* Pages 0 to 15 are there, and 4 to 7 and 12 to 19 protected; of the last four there is but the protection. */
static void protect_setup(void)
{
	struct uffdio_writeprotect w = { .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	own.area = area_new();
	madvise(own.area, HUGE, MADV_NOHUGEPAGE);
	own.fd = uffd_new(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_UNPOPULATED);
	if (own.fd < 0)
		exit(3);
	for (int i = 0; i < 16; i++)
		memset(own.area + i * PAGE, content(i), PAGE);
	watch(own.fd, own.area, PAGES, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
	for (int i = 0; i < 20; i += 4) {
		w.range = (struct uffdio_range){ (long)own.area + i * PAGE, 4 * PAGE };
		CHECK(i % 8 == 0 && i < 16 ? 1 : ioctl(own.fd, UFFDIO_WRITEPROTECT, &w) == 0);
	}
	w.range = (struct uffdio_range){ (long)own.area + 16 * PAGE, 4 * PAGE };
	CHECK(ioctl(own.fd, UFFDIO_WRITEPROTECT, &w) == 0);
	pager_start(&own);
}

static void protect_check(void)
{
	look(&own, 0, 16);
	told(own.missing, 0, 16, 0);
	told(own.wp, 0, 16, 0);
	for (int i = 0; i < PAGES - 4; i++)
		((volatile char *)own.area)[i * PAGE] = 9;
	told(own.wp, 0, 4, 0);
	told(own.wp, 4, 8, 1);
	told(own.wp, 8, 12, 0);
	told(own.wp, 12, 16, 1);
	told(own.missing, 0, 16, 0);
	told(own.missing, 16, 20, 1);
}

/* ---- shared memory ---- */

/* Pages 0 to 7 are in the file, 0 to 3 also looked at. */
static void shared_setup(void)
{
	static char buf[PAGE];
	int m = memfd_create("uffd", 0);

	own.fd = uffd_new(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM);
	if (own.fd < 0)
		exit(3);
	CHECK(ftruncate(m, PAGES * PAGE) == 0);
	own.area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, m, 0);
	for (int i = 0; i < 8; i++) {
		memset(buf, content(i), PAGE);
		CHECK(pwrite(m, buf, PAGE, i * PAGE) == PAGE);
	}
	watch(own.fd, own.area, PAGES, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR);
	pager_start(&own);
	look(&own, 0, 4);
}

static void shared_check(void)
{
	look(&own, 0, 4);
	told(own.minor, 0, 4, 1);
	told(own.minor, 4, 8, 0);
	look(&own, 4, WITHHELD);
	told(own.minor, 0, 8, 1);
	told(own.missing, 0, 8, 0);
	told(own.missing, 8, WITHHELD, 1);
}

/* ---- other processes ---- */

static int line[2]; /* to a child that looks at the pages that it is asked for; PAGES: it lets go of the userfaultfd */

static void child_answer(void)
{
	unsigned char page;

	while (read(line[1], &page, 1) == 1) {
		if (page == PAGES)
			close(own.fd);
		page = own.area[page * PAGE];
		if (write(line[1], &page, 1) != 1)
			break;
	}
	_exit(0);
}

static void child_look(int from, int end)
{
	for (unsigned char i = from, got = 99; i < end; i++)
		CHECK(write(line[0], &i, 1) == 1 && read(line[0], &got, 1) == 1 && got == content(i));
}

/* Its number, for a child that is there still: by pidfd_getfd() */
static int from_child(pid_t pid)
{
	int num = -1, pidfd = syscall(SYS_pidfd_open, pid, 0), fd = -1;

	if (read(line[0], &num, sizeof(num)) == sizeof(num))
		fd = num < 0 ? -1 : syscall(SYS_pidfd_getfd, pidfd, num, 0);
	close(pidfd);
	return fd;
}

static pid_t child_start(void)
{
	pid_t pid;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, line) == 0);
	own.area = area_new();
	pid = fork();
	if (pid == 0) {
		own.fd = uffd_new(0);
		watch(own.fd, own.area, PAGES, UFFDIO_REGISTER_MODE_MISSING);
		if (write(line[1], &own.fd, sizeof(own.fd)) != sizeof(own.fd))
			_exit(1);
		child_answer();
	}
	own.fd = from_child(pid);
	CHECK(own.fd >= 0);
	return pid;
}

/* The pager watches the memory of another process, and has another userfaultfd for its own. */
static void child_setup(void)
{
	child_start();
	pager_start(&own);
	child_look(0, 10);
}

static void child_check(void)
{
	told(own.missing, 10, WITHHELD, 0);
	child_look(0, WITHHELD);
	told(own.missing, 0, WITHHELD, 1);
}

/* Its pages came by fork(), and so did who watches them. */
static void forked_setup(void)
{
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, line) == 0);
	own.area = area_new();
	own.fd = uffd_new(UFFD_FEATURE_EVENT_FORK);
	if (own.fd < 0)
		exit(3);
	watch(own.fd, own.area, PAGES, UFFDIO_REGISTER_MODE_MISSING);
	pager_start(&own);
	look(&own, 0, 4);
	if (fork() == 0)
		child_answer();
	wait_for(&own.child);
}

static void forked_check(void)
{
	struct pager other = { .fd = own.child, .area = own.area };

	CHECK(fcntl(own.child, F_SETFL, O_NONBLOCK) == 0);
	pager_start(&other);
	child_look(0, WITHHELD);
	told(other.missing, 0, 4, 0);
	told(other.missing, 4, WITHHELD, 1);
	told(own.missing, 4, WITHHELD, 0);
	look(&own, 0, WITHHELD);
	told(own.missing, 0, WITHHELD, 1);
}

/* ---- odd ones ---- */

static int orphan, fresh;
static struct pager second;

/* Two of one process, one of a process that ended, one that was only just made. */
static void several_setup(void)
{
	pid_t pid = child_start();

	orphan = own.fd;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	own = (struct pager){ 0 };
	missing_setup();
	second.area = area_new();
	second.fd = uffd_new(0);
	watch(second.fd, second.area, PAGES, UFFDIO_REGISTER_MODE_MISSING);
	pager_start(&second);
	look(&second, 0, 3);
	fresh = syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY);
}

static void several_check(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register r = { .range = { (long)own.area, PAGE }, .mode = UFFDIO_REGISTER_MODE_MISSING };

	CHECK(ioctl(orphan, UFFDIO_REGISTER, &r) < 0 && errno == ENOMEM);
	CHECK(ioctl(fresh, UFFDIO_REGISTER, &r) < 0 && errno == EINVAL && ioctl(fresh, UFFDIO_API, &api) == 0);
	CHECK(ioctl(fresh, UFFDIO_REGISTER, &r) < 0 && errno == EBUSY);
	missing_check();
	look(&second, 0, WITHHELD);
	told(second.missing, 0, WITHHELD, 1);
}

/* Who reads it is no task of the tree: the child is to be dumped alone. */
static void outside_setup(void)
{
	unsigned char page = PAGES;

	child_setup();
	CHECK(write(line[0], &page, 1) == 1 && read(line[0], &page, 1) == 1);
}

int main(int argc, char **argv)
{
	static const struct judge_case cases[] = {
		{ "missing", missing_setup, missing_check }, { "protect", protect_setup, protect_check },
		{ "shared", shared_setup, shared_check },    { "child", child_setup, child_check },
		{ "forked", forked_setup, forked_check },    { "several", several_setup, several_check },
		{ "outside", outside_setup, child_check },   { 0 },
	};

	if (judge_begin(argc, argv) < 0)
		return 2;
	return judge_case(cases, argv[1]);
}
