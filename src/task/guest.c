// SPDX-License-Identifier: Apache-2.0
/*
 * A guest dies with the supervisor (parent death signal). Why it failed, and how, stands in a page that
 * both map; descriptors come through a socket pair.
 *
 * Before a guest enters a user namespace it leaves a doorkeeper outside: a child that opens what it asks for
 * and ends with it.
 *
 * Kernel: setns(CLONE_NEWPID) only says where children are born; it is taken back after the fork, so
 * that the supervisor's other children are born at home.
 */
#include "task/guest.h"

#include "base/pass.h"
#include "base/res.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* what a guest leaves behind; written by it before it exits */
struct guest_page {
	int r; /* of fn() */
	int why_r;
	char why[sizeof(((struct session *)0)->why)];
};

static pid_t guest_fork(pid_t vpid)
{
	struct clone_args ca = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&vpid,
		.set_tid_size = 1,
	};

	return vpid ? syscall(SYS_clone3, &ca, sizeof(ca)) : fork();
}

/* In the guest: die with the supervisor, also if it died before this was said. */
static void guest_tie(int parent)
{
	struct pollfd p = { .fd = parent, .events = POLLIN };

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (poll(&p, 1, 0) != 0)
		_exit(1);
}

/* ---- the doorkeeper ---- */

struct door_ask {
	int flags;
	mode_t mode;
	char path[256];
};

static void __attribute__((noreturn)) door_keep(int sock)
{
	struct door_ask ask;
	int dir;

	while (pass_take(sock, &ask, sizeof(ask), &dir) == 0) {
		own_fd int fd = -1, at = dir;
		int r = -EINVAL;

		if (!memchr(ask.path, 0, sizeof(ask.path)))
			r = -ENAMETOOLONG;
		else if (ask.flags == OPEN_TO_UNLINK)
			r = unlinkat(at, ask.path, 0) < 0 ? -errno : 0;
		else
			r = (fd = openat(at, ask.path, ask.flags, ask.mode)) < 0 ? -errno : 0;
		if (pass_send(sock, &r, sizeof(r), fd) < 0)
			break;
	}
	_exit(0);
}

static int door_open(struct session *s, int dir, const char *path, int flags, mode_t mode)
{
	struct door_ask ask = { .flags = flags, .mode = mode };
	int r, fd, answer;

	if (strlen(path) >= sizeof(ask.path))
		return -ENAMETOOLONG;
	strcpy(ask.path, path);
	r = pass_send(s->guest->door, &ask, sizeof(ask), dir);
	if (r == 0)
		r = pass_take(s->guest->door, &answer, sizeof(answer), &fd);
	if (r < 0 || answer < 0)
		return r < 0 ? r : answer;
	if (flags == OPEN_TO_UNLINK)
		return 0;
	return fd < 0 ? -EMFILE : fd;
}

static int door_start(struct session *s, struct guest *g, pid_t vpid)
{
	own_fd int self = syscall(SYS_pidfd_open, getpid(), 0);
	int pair[2];

	if (self < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return session_fail(s, -errno, "guest: make a pair of sockets");
	g->door = fd_high(pair[0]);
	g->keeper = guest_fork(vpid);
	if (g->keeper < 0)
		return session_fail(s, -errno, "guest: leave a doorkeeper outside");
	if (g->keeper == 0) {
		guest_tie(self);
		fd_close(g->door);
		door_keep(pair[1]);
	}
	fd_close(pair[1]);
	s->open_outside = door_open;
	return 0;
}

static void door_end(struct guest *g)
{
	if (g->keeper <= 0)
		return;
	fd_close(g->door);
	while (waitpid(g->keeper, NULL, 0) < 0 && errno == EINTR)
		;
}

/* ---- entering ---- */

/* As its root: files that it makes belong to that one. */
static int guest_enter_user(struct session *s, int user)
{
	if (setns(user, CLONE_NEWUSER) < 0)
		return session_fail(s, -errno, "guest: enter the user namespace");
	setgroups(0, NULL); /* maybe forbidden there: then they stay, and lend nothing inside */
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return session_fail(s, -errno, "guest: become root of the user namespace");
	return 0;
}

/* The user namespace last: the way into others may need rights that only the supervisor has. */
static int guest_enter(struct session *s, const struct guest_where *w)
{
	int r = w->user ? door_start(s, s->guest, w->keeper) : 0;

	for (size_t i = 0; r == 0 && i < w->n; i++) {
		uint64_t t = now_ns();

		if (setns(w->ns[i], 0) < 0)
			return session_fail(s, -errno, "guest: enter namespace %zu of %zu", i + 1, w->n);
		s->log.t0 += now_ns() - t; /* a time namespace has a clock of its own */
	}
	if (r == 0 && w->user)
		r = guest_enter_user(s, w->user);
	if (r < 0)
		return r;
	if (w->unshare && unshare(w->unshare) < 0)
		return session_fail(s, -errno, "guest: make namespaces 0x%llx",
				    (unsigned long long)w->unshare);
	return 0;
}

static void __attribute__((noreturn))
guest_main(struct session *s, struct guest *g, const struct guest_where *w, int parent,
	   int (*fn)(struct session *s, void *arg), void *arg)
{
	int r;

	guest_tie(parent);
	s->guest = g;
	s->undo = NULL; /* that stack is the supervisor's to run */
	s->why[0] = 0;
	r = guest_enter(s, w);
	if (r == 0) {
		guest_tie(parent); /* a change of credentials forgets the signal */
		r = fn(s, arg);
	}
	if (r < 0)
		session_undo_all(s);
	door_end(g);
	log_flush(&s->log);
	g->page->r = r;
	g->page->why_r = s->why_r;
	memcpy(g->page->why, s->why, sizeof(s->why));
	_exit(r < 0 ? 1 : 0);
}

/* Where the supervisor's children are born; -1 for "at home", *ret_home to be given back. */
static int guest_birthplace(struct session *s, int pidns, int *ret_home)
{
	own_fd int home = -1;

	if (pidns < 0)
		return 0;
	home = open("/proc/self/ns/pid_for_children", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return session_fail(s, -errno, "guest: open our own pid namespace");
	if (setns(pidns, CLONE_NEWPID) < 0)
		return session_fail(s, -errno, "guest: be born in the pid namespace");
	*ret_home = take_fd(home);
	return 0;
}

static void guest_forget(struct guest *g)
{
	if (g->page)
		munmap(g->page, sizeof(*g->page));
	fd_close(g->sock);
	g->page = NULL;
	g->sock = -1;
	g->pid = 0;
}

static int guest_prepare(struct session *s, struct guest *g, int *ret_theirs)
{
	int pair[2];
	void *page = mmap(NULL, sizeof(*g->page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			  -1, 0);

	*g = (struct guest){ .sock = -1 };
	if (page == MAP_FAILED)
		return session_fail(s, -errno, "guest: map a page");
	g->page = page;
	g->page->r = -ECHILD; /* until it says otherwise */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		guest_forget(g);
		return session_fail(s, -errno, "guest: make a pair of sockets");
	}
	g->sock = fd_high(pair[0]);
	*ret_theirs = fd_high(pair[1]);
	return 0;
}

int guest_start(struct session *s, struct guest *g, const struct guest_where *w,
		int (*fn)(struct session *s, void *arg), void *arg)
{
	own_fd int theirs = -1, home = -1, parent = -1;
	int r = guest_prepare(s, g, &theirs);

	if (r < 0)
		return r;
	parent = syscall(SYS_pidfd_open, getpid(), 0);
	r = parent < 0 ? session_fail(s, -errno, "guest: open our own pidfd")
		       : guest_birthplace(s, w->pidns, &home);
	if (r < 0) {
		guest_forget(g);
		return r;
	}
	log_flush(&s->log); /* or both would write what is in the buffer */
	g->pid = guest_fork(w->vpid);
	r = -errno;
	if (g->pid == 0) {
		fd_close(g->sock);
		g->sock = theirs;
		guest_main(s, g, w, parent, fn, arg);
	}
	if (home >= 0 && setns(home, CLONE_NEWPID) < 0)
		session_fail(s, -errno, "guest: return to our own pid namespace");
	if (g->pid < 0) {
		guest_forget(g);
		return session_fail(s, r, "guest: fork");
	}
	return 0;
}

int guest_wait(struct session *s, struct guest *g)
{
	int status = 0, r = 0;

	if (g->pid <= 0)
		return 0;
	while (waitpid(g->pid, &status, 0) < 0)
		if (errno != EINTR) {
			r = session_fail(s, -errno, "guest %d: wait for it", g->pid);
			break;
		}
	if (r == 0 && WIFSIGNALED(status))
		r = session_fail(s, -ECANCELED, "guest %d: was ended by signal %d", g->pid,
				 WTERMSIG(status));
	else if (r == 0 && g->page->r < 0) {
		r = g->page->r;
		g->page->why[sizeof(g->page->why) - 1] = 0;
		if (!s->why[0] && g->page->why[0]) {
			memcpy(s->why, g->page->why, sizeof(s->why));
			s->why_r = g->page->why_r;
		} else if (!s->why[0]) {
			session_fail(s, r, "guest %d: failed", g->pid);
		}
	}
	guest_forget(g);
	return r;
}

void guest_kill(struct session *s, struct guest *g)
{
	if (g->pid <= 0)
		return;
	kill(g->pid, SIGKILL);
	while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
	guest_forget(g);
}

int guest_run(struct session *s, const struct guest_where *w,
	      int (*fn)(struct session *s, void *arg), void *arg)
{
	struct guest g;
	int r = guest_start(s, &g, w, fn, arg);

	return r < 0 ? r : guest_wait(s, &g);
}

static int fd_send(struct session *s, int sock, int tag, int fd)
{
	int r = pass_send(sock, &tag, sizeof(tag), fd);

	return r < 0 ? session_fail(s, r, "guest: hand descriptor %d over", tag) : 0;
}

int guest_give_fd(struct session *s, int tag, int fd)
{
	return fd_send(s, s->guest->sock, tag, fd);
}

int guest_stay(struct session *s, int fd)
{
	struct pollfd p = { .fd = s->guest->sock };
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* a change of credentials may have forgotten both */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	r = guest_give_fd(s, 0, fd);
	while (r == 0 && (poll(&p, 1, -1) < 0 || !(p.revents & POLLHUP)))
		;
	return r;
}

int guest_pass_fd(struct session *s, struct guest *g, int tag, int fd)
{
	return fd_send(s, g->sock, tag, fd);
}

int guest_take_fd(struct session *s, struct guest *g, int *ret_tag)
{
	int tag, fd, r = pass_take(g->sock, &tag, sizeof(tag), &fd);

	if (r == -ENODATA)
		return r;
	if (r < 0)
		return session_fail(s, r, "guest %d: take a descriptor", g->pid);
	if (fd < 0)
		return session_fail(s, -EMFILE, "guest %d: its descriptor did not arrive; raise ulimit -n", g->pid);
	*ret_tag = tag;
	return fd_high(fd);
}

/* ---- errands ---- */

struct errand_answer {
	int r;
	int why_r;
	char why[sizeof(((struct session *)0)->why)];
};

static void __attribute__((noreturn))
errand_run(struct session *s, int sock, int (*fn)(struct session *s, void *arg), void *arg)
{
	struct errand_answer *a = xalloc(sizeof(*a));
	int fd;

	s->why[0] = 0;
	fd = fn(s, arg);
	a->r = fd < 0 ? fd : 0;
	a->why_r = s->why_r;
	memcpy(a->why, s->why, sizeof(a->why));
	log_flush(&s->log);
	_exit(pass_send(sock, a, sizeof(*a), fd) < 0);
}

int guest_errand(struct session *s, int (*fn)(struct session *s, void *arg), void *arg)
{
	own_mem struct errand_answer *a = xalloc(sizeof(*a));
	int pair[2], fd = -1, r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return session_fail(s, -errno, "guest: make a pair of sockets");
	log_flush(&s->log);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		errand_run(s, pair[1], fn, arg);
	}
	close(pair[1]);
	r = pid < 0 ? -errno : pass_take(pair[0], a, sizeof(*a), &fd);
	close(pair[0]);
	if (pid < 0)
		return session_fail(s, r, "guest: fork");
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		return session_fail(s, r, "guest: its child ended without an answer");
	if (a->r == 0)
		return fd < 0 ? session_fail(s, -EMFILE, "guest: a descriptor did not arrive") : fd_high(fd);
	a->why[sizeof(a->why) - 1] = 0;
	if (!s->why[0]) {
		memcpy(s->why, a->why, sizeof(s->why));
		s->why_r = a->why_r;
	}
	return a->r;
}
