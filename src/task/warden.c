// SPDX-License-Identifier: Apache-2.0
#include "task/warden.h"

#include "base/list.h"
#include "base/text.h"
#include "task/sock-lock.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum warden_cmd {
	W_STOP,
	W_INJECT,
	W_RUN,
	W_PUMP,
	W_FINISH,
	W_SEIZE,
	W_READY,
	W_RELEASE,
	W_PTRACE,
	W_UNDO_FILE,
	W_UNDO_RMDIR,
};

struct warden_msg {
	enum warden_cmd cmd;
	int32_t a;
	uint32_t b;
	uint64_t addr;
	bool data;
	char path[4096], text[64];
};

#define END_MS 5000 /* a killed task may hang in the kernel */
struct warden_undo {
	bool dir;
	char *path, *text; /* owned */
};
struct warden_undos {
	struct warden_undo *v;
	size_t n, max;
};

struct warden {
	pid_t pid;
	int sock;
	struct trace_table *tt;
};

/* ---- in the warden ---- */

static void warden_undo_set(struct warden_undos *all, const struct warden_msg *m)
{
	struct warden_undo *u;
	size_t i;

	for (i = 0; i < all->n && strcmp(all->v[i].path, m->path); i++)
		;
	if (i == all->n)
		*vec_add(all) = (struct warden_undo){ .path = xstrdup(m->path) };
	u = &all->v[i];
	free(u->text);
	u->text = xstrdup(m->text);
	u->dir = m->cmd == W_UNDO_RMDIR;
}

static long warden_do(struct trace_table *tt, const struct warden_msg *m)
{
	switch (m->cmd) {
	case W_STOP:
		memcpy(tt->freezer_path, m->path, sizeof(tt->freezer_path));
		return trace_stop(tt, m->a, m->b);
	case W_INJECT:
		return trace_inject(tt);
	case W_RUN:
		return trace_run(tt);
	case W_PUMP:
		return trace_pump(tt);
	case W_FINISH:
		return m->a == TRACE_KILL ? trace_kill(tt) : trace_cure(tt, m->a);
	case W_SEIZE:
		return trace_seize(tt);
	case W_READY:
		return trace_ready(tt);
	case W_RELEASE:
		return trace_release(tt, m->a);
	case W_PTRACE: {
		long r = ptrace(m->b, m->a, (void *)(uintptr_t)m->addr, m->data ? tt->scratch : NULL);

		return r < 0 ? -errno : r;
	}
	default:
		return -EINVAL;
	}
}

/* Until then they can be seen, and their pids are in use. */
static void await_end(pid_t pid)
{
	own_fd int fd = syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd >= 0)
		poll(&p, 1, END_MS);
}

/* The tasks of a restore run, but the caller has not heard of it yet: they are ended all the same. */
static void end_released(const struct trace_table *tt)
{
	for (uint32_t i = 0; i < tt->n; i++) /* so that none begins to talk */
		if (tt->t[i].tid == tt->t[i].tgid)
			kill(tt->t[i].tgid, SIGSTOP);
	if (tt->repairing)
		sock_hold_all(tt);
	for (uint32_t i = 0; i < tt->n; i++)
		if (tt->t[i].tid == tt->t[i].tgid)
			kill(tt->t[i].tgid, SIGKILL);
	for (uint32_t i = 0; i < tt->n; i++)
		if (tt->t[i].tid == tt->t[i].tgid)
			await_end(tt->t[i].tgid);
}

/* A cgroup is busy until the last of its tasks is gone. */
static void remove_dir(const char *path)
{
	for (int n = 0; rmdir(path) < 0 && errno == EBUSY && n < 1000; n++)
		poll(NULL, 0, 1);
}

/* dead: the supervisor did not say that it was done */
static void warden_orphaned(struct trace_table *tt, const struct warden_undos *undo, bool dead)
{
	if (tt->restoring && tt->let_go && dead)
		end_released(tt);
	if (tt->repairing && !tt->restoring)
		sock_mend_all(tt);
	if (tt->repairing && tt->restoring && !tt->let_go)
		sock_hold_all(tt);
	if (tt->restoring && !tt->let_go)
		trace_kill(tt);
	else
		trace_cure(tt, TRACE_RUN);
	if (tt->let_go && !(dead && tt->restoring))
		return;
	for (size_t i = undo->n; i-- > 0;) {
		const struct warden_undo *u = &undo->v[i];

		if (u->dir)
			remove_dir(u->path);
		else if (u->text[0])
			text_write(AT_FDCWD, u->path, u->text);
	}
}

static void warden_main(struct trace_table *tt, int sock, int supervisor)
{
	struct warden_undos undo = { 0 };
	struct warden_msg m;
	struct pollfd p[2] = { { .fd = sock, .events = POLLIN }, { .fd = supervisor, .events = POLLIN } };
	bool dead;

	for (;;) {
		long r;
		ssize_t n;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents)
			break; /* the supervisor is dead, whoever else holds the other end */
		if (!p[0].revents)
			continue;
		n = recv(sock, &m, sizeof(m), 0);
		if (n <= 0)
			break;
		if (m.cmd == W_UNDO_FILE || m.cmd == W_UNDO_RMDIR) {
			warden_undo_set(&undo, &m);
			r = 0;
		} else {
			r = warden_do(tt, &m);
		}
		if (send(sock, &r, sizeof(r), MSG_NOSIGNAL) < 0)
			break;
	}
	/* its end closes in both cases, and before its death shows */
	dead = !tt->done || tt->disowned;
	warden_orphaned(tt, &undo, dead);
	_exit(0);
}

/* Whoever ends processes by the supervisor's command line shall not find the warden by it. */
static void warden_rename(void)
{
	static const char name[] = "stasis-warden";
	own_mem char *stat = NULL;
	unsigned long start = 0, end = 0;
	const char *p;

	prctl(PR_SET_NAME, name);
	if (text_read(AT_FDCWD, "/proc/self/stat", &stat, NULL) < 0 || !(p = strrchr(stat, ')')))
		return;
	for (int field = 2; field < 48 && p; field++) /* arg_start is the 48th */
		p = strchr(p + 1, ' ');
	if (!p || sscanf(p, "%lu %lu", &start, &end) != 2 || end <= start)
		return;
	memset((char *)start, 0, end - start);
	memcpy((char *)start, name, sizeof(name) < end - start ? sizeof(name) : end - start);
}

/* The warden must survive what ends the supervisor, and hold nothing open that others wait for. */
static void warden_child(struct trace_table *tt, int sock, int supervisor)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGCHLD)
			signal(sig, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	warden_rename();
	setsid();
	if (chdir("/") < 0)
		_exit(1);
	/* moved up first, so that they do not tread on one another below */
	sock = fcntl(sock, F_DUPFD, 16);
	supervisor = fcntl(supervisor, F_DUPFD, 16);
	if (dup2(sock, 0) < 0 || dup2(supervisor, 1) < 0)
		_exit(1);
	close_range(2, ~0U, 0);
	warden_main(tt, 0, 1);
}

/* ---- in the supervisor ---- */

int warden_start(struct session *s, bool restoring)
{
	struct warden *w = xalloc(sizeof(*w));
	int sv[2] = { -1, -1 };
	own_fd int self = -1;

	w->tt = mmap(NULL, sizeof(*w->tt), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	self = fd_high(syscall(SYS_pidfd_open, getpid(), 0));
	if (w->tt == MAP_FAILED || self < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0) {
		free(w);
		return session_fail(s, -errno, "warden: start");
	}
	sv[0] = fd_high(sv[0]);
	sv[1] = fd_high(sv[1]);
	w->tt->supervisor = getpid();
	w->tt->restoring = restoring;
	log_flush(&s->log);
	w->pid = fork();
	if (w->pid == 0)
		warden_child(w->tt, sv[1], self);
	fd_close(sv[1]);
	w->sock = sv[0];
	if (w->pid < 0) {
		fd_close(sv[0]);
		munmap(w->tt, sizeof(*w->tt));
		free(w);
		return session_fail(s, -errno, "warden: fork");
	}
	s->warden = w;
	return 0;
}

void warden_end(struct session *s)
{
	struct warden *w = s->warden;
	int status = 0;

	if (!w)
		return;
	s->warden = NULL;
	lives_begin(NULL);
	w->tt->done = true;
	fd_close(w->sock); /* it lets go of what it still holds, and ends */
	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status) && !w->tt->restoring)
		trace_recover(w->tt); /* it was killed: what it held is cured from here */
	munmap(w->tt, sizeof(*w->tt));
	free(w);
}

void warden_disown(struct session *s)
{
	s->warden->tt->disowned = true;
}

struct trace_table *warden_table(struct session *s)
{
	return s->warden->tt;
}

static long warden_call(struct session *s, const struct warden_msg *m)
{
	struct warden *w = s->warden;
	long r = 0;

	if (send(w->sock, m, sizeof(*m), MSG_NOSIGNAL) < 0)
		return -EPIPE;
	for (;;) {
		ssize_t n = recv(w->sock, &r, sizeof(r), 0);

		if (n == sizeof(r))
			return r;
		if (n < 0 && errno == EINTR)
			continue;
		return -EPIPE;
	}
}

/* the tracer's sentence is complete: it becomes ours as it stands */
static int warden_said(struct session *s, int r)
{
	session_fail(s, -EINVAL, "%s", s->warden->tt->why[0] ? s->warden->tt->why : "warden: failed");
	s->why_r = r;
	return r;
}

static int warden_simple(struct session *s, enum warden_cmd cmd, int a)
{
	struct warden_msg m = { .cmd = cmd, .a = a };
	long r = warden_call(s, &m);

	if (r == -EPIPE)
		return session_fail(s, r, "warden: it was killed; the tasks must be looked at");
	return r < 0 ? warden_said(s, r) : 0;
}

int warden_stop(struct session *s, pid_t root, const char *freezer, unsigned timeout_ms)
{
	struct warden_msg m = { .cmd = W_STOP, .a = root, .b = timeout_ms };
	long r;

	if (freezer && strlen(freezer) >= sizeof(m.path))
		return session_fail(s, -ENAMETOOLONG, "freezer cgroup %.100s...", freezer);
	if (freezer)
		strcpy(m.path, freezer);
	r = warden_call(s, &m);
	return r < 0 ? warden_said(s, r) : 0;
}

int warden_inject(struct session *s)
{
	return warden_simple(s, W_INJECT, 0);
}

int warden_run(struct session *s)
{
	return warden_simple(s, W_RUN, 0);
}

int warden_pump(struct session *s)
{
	return warden_simple(s, W_PUMP, 0);
}

int warden_finish(struct session *s, enum trace_how how)
{
	return warden_simple(s, W_FINISH, how);
}

long warden_ptrace(struct session *s, int request, pid_t tid, uint64_t addr, bool data)
{
	struct warden_msg m = { .cmd = W_PTRACE, .a = tid, .b = request, .addr = addr, .data = data };

	return warden_call(s, &m);
}

void *warden_scratch(struct session *s)
{
	return s->warden->tt->scratch;
}

struct tracee *warden_tracee(struct session *s, pid_t tid, pid_t tgid)
{
	struct trace_table *tt = s->warden->tt;
	struct tracee *t = trace_row(tt, tid);

	if (!t)
		return NULL;
	t->tgid = tgid;
	trace_keep(tt, t);
	return t;
}

int warden_seize(struct session *s)
{
	return warden_simple(s, W_SEIZE, 0);
}

int warden_ready(struct session *s)
{
	return warden_simple(s, W_READY, 0);
}

int warden_release(struct session *s, enum trace_how how)
{
	return warden_simple(s, W_RELEASE, how);
}

static int warden_undo(struct session *s, enum warden_cmd cmd, const char *path, const char *text)
{
	struct warden_msg m = { .cmd = cmd };
	long r;

	if (!s->warden)
		return 0;
	if (strlen(path) >= sizeof(m.path) || (text && strlen(text) >= sizeof(m.text)))
		return session_fail(s, -ENAMETOOLONG, "warden: %s", path);
	strcpy(m.path, path);
	if (text)
		strcpy(m.text, text);
	r = warden_call(s, &m);
	return r < 0 ? session_fail(s, r, "warden") : 0;
}

int warden_undo_file(struct session *s, const char *path, const char *text)
{
	return warden_undo(s, W_UNDO_FILE, path, text);
}

int warden_undo_rmdir(struct session *s, const char *path)
{
	return warden_undo(s, W_UNDO_RMDIR, path, NULL);
}
