// SPDX-License-Identifier: Apache-2.0
/* trace-stop: freeze, seize and interrupt until the tree is closed and every thread stands; note what it was at. */
#include "task/trace-own.h"

#include "arch/arch.h"
#include "base/log.h"
#include "base/res.h"
#include "base/text.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/rseq.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif

#define PF_IO_WORKER 0x10     /* flags in /proc/PID/stat: threads that the kernel made for io_uring, */
#define PF_USER_WORKER 0x4000 /* and for others of the kind (Linux 6.4) */
#define STOP_TICK_MS 5 /* how often a thread that does not stop is looked at */


struct rseq_config { /* struct ptrace_rseq_configuration; not in every libc */
	uint64_t pointer;
	uint32_t size, signature, flags, pad;
};

/* ---- freezer ---- */

static int freezer_file(const struct trace_table *tt, char *path, size_t n)
{
	return snprintf(path, n, "%s/%s", tt->freezer_path,
			tt->freezer == FREEZER_V1 ? "freezer.state" : "cgroup.freeze") < (int)n
		       ? 0
		       : -ENAMETOOLONG;
}

int trace_freeze(struct trace_table *tt, bool frozen)
{
	char path[4200];
	int r = freezer_file(tt, path, sizeof(path));

	if (r == 0)
		r = text_write(AT_FDCWD, path,
			       tt->freezer == FREEZER_V1 ? (frozen ? "FROZEN" : "THAWED")
							 : (frozen ? "1" : "0"));
	return r;
}

/* 1 frozen, 0 not (yet) */
static int freezer_is(const struct trace_table *tt, bool settled)
{
	own_mem char *text = NULL;
	char path[4200];
	int r = freezer_file(tt, path, sizeof(path));

	if (r < 0)
		return r;
	if (tt->freezer == FREEZER_V2 && settled) {
		uint64_t v = 0;

		snprintf(path, sizeof(path), "%s/cgroup.events", tt->freezer_path);
		r = text_read(AT_FDCWD, path, &text, NULL);
		if (r == 0)
			r = text_u64(text, "frozen", 10, &v);
		return r < 0 ? r : v == 1;
	}
	r = text_read(AT_FDCWD, path, &text, NULL);
	if (r < 0)
		return r;
	if (tt->freezer == FREEZER_V2)
		return text[0] == '1';
	return settled ? text_starts(text, "FROZEN") : !text_starts(text, "THAWED");
}

static int freezer_open(struct trace_table *tt)
{
	char path[4200];
	int r;

	if (!tt->freezer_path[0])
		return 0;
	snprintf(path, sizeof(path), "%s/freezer.state", tt->freezer_path);
	tt->freezer = access(path, F_OK) == 0 ? FREEZER_V1 : FREEZER_V2;
	r = freezer_is(tt, false);
	if (r < 0) {
		tt->freezer = FREEZER_NONE;
		return trace_fail(tt, r, "freezer cgroup %s: cannot be read: %s", tt->freezer_path,
				  strerror(-r));
	}
	tt->was_frozen = r;
	return 0;
}

/*
 * Kernel: cgroup v1 may stay FREEZING for ever when tasks fork or change their state meanwhile; writing
 * FROZEN again, or thawing for a moment, helps (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst).
 */
static int freezer_freeze(struct trace_table *tt, unsigned timeout_ms)
{
	uint64_t end = now_ns() + timeout_ms * 1000000ULL;
	int r = 0;

	if (tt->was_frozen)
		return 0;
	tt->froze = true;
	for (unsigned n = 1; r == 0; n++) {
		if (n == 1 || tt->freezer == FREEZER_V1)
			r = trace_freeze(tt, true);
		if (r == 0)
			r = freezer_is(tt, true);
		if (r != 0)
			break;
		if (now_ns() > end)
			return trace_fail(tt, -ETIMEDOUT,
					  "freezer cgroup %s: not frozen after %u ms; a task hangs in the kernel",
					  tt->freezer_path, timeout_ms);
		if (tt->freezer == FREEZER_V1 && n % 32 == 0)
			r = trace_freeze(tt, false);
		nanosleep(&(struct timespec){ .tv_nsec = n < 32 ? 100000 : 1000000 }, NULL);
	}
	return r < 0 ? trace_fail(tt, r, "freezer cgroup %s: freeze: %s", tt->freezer_path, strerror(-r))
		     : 0;
}

/* A number that is used again has a new row, the old one being that of a thread that is gone. */
static struct tracee *row_of(struct trace_table *tt, pid_t tid)
{
	uint32_t row = tid > 0 && tid < (pid_t)TRACE_TIDS ? tt->by_tid[tid] : 0;

	return row ? &tt->t[row - 1] : NULL;
}

struct tracee *trace_find(struct trace_table *tt, pid_t tid)
{
	struct tracee *t = row_of(tt, tid);

	return t && t->state != TRACEE_GONE ? t : NULL;
}

struct tracee *trace_row(struct trace_table *tt, pid_t tid)
{
	struct tracee *t = &tt->t[tt->n];

	if (tt->n == TRACE_MAX || tid <= 0 || tid >= (pid_t)TRACE_TIDS)
		return NULL;
	memset(t, 0, offsetof(struct tracee, pending));
	t->tid = tid;
	return t;
}

void trace_keep(struct trace_table *tt, const struct tracee *t)
{
	tt->by_tid[t->tid] = ++tt->n;
}

static int stat_state(pid_t tid, pid_t *ppid)
{
	own_mem char *text = NULL;
	char *p;
	int r = text_readf(AT_FDCWD, &text, "/proc/%d/stat", tid);

	if (r < 0)
		return r;
	p = strrchr(text, ')');
	if (!p || p[1] != ' ')
		return -EBADMSG;
	*ppid = atoi(p + 4);
	return p[2];
}

bool trace_is_worker(pid_t tid)
{
	own_mem char *text = NULL;
	unsigned long flags = 0;
	char *p;

	if (text_readf(AT_FDCWD, &text, "/proc/%d/stat", tid) < 0 || !(p = strrchr(text, ')')) ||
	    sscanf(p, ") %*c %*d %*d %*d %*d %*d %lu", &flags) != 1)
		return false;
	return flags & (PF_IO_WORKER | PF_USER_WORKER);
}

static int seize_refused(struct trace_table *tt, pid_t tid, int r)
{
	own_mem char *text = NULL;
	uint64_t tracer = 0;

	if (text_readf(AT_FDCWD, &text, "/proc/%d/status", tid) == 0)
		text_u64(text, "TracerPid:", 10, &tracer);
	if (tracer)
		return trace_fail(tt, -EBUSY,
				  "task %d: is traced by %d; detach that debugger or tracer first", tid,
				  (int)tracer);
	return trace_fail(tt, r, "task %d: cannot be seized: %s", tid, strerror(-r));
}

/* A new thread: seize and interrupt. 1 ours, 0 it is gone or a zombie. */
static int trace_take(struct trace_table *tt, pid_t tid, pid_t tgid, pid_t ppid)
{
	struct tracee *t;
	long opts = PTRACE_O_TRACESYSGOOD;
	int r;

	if (tid == tt->supervisor || tid == getpid())
		return trace_fail(tt, -EINVAL, "The criu itself is within dumped tree");
	t = trace_row(tt, tid);
	if (!t)
		return trace_fail(tt, -E2BIG, "task %d: more than %u threads", tid, TRACE_MAX);
	t->tgid = tgid;
	t->ppid = ppid;
	t->filtered = true;
	r = trace_ptrace(PTRACE_SEIZE, tid, NULL, (void *)(opts | PTRACE_O_SUSPEND_SECCOMP));
	if (r == -EPERM) { /* a zombie, or no right to suspend filters */
		pid_t pp;
		int state = stat_state(tid, &pp);

		if (state == 'Z' || state == 'X') {
			t->zombie = state == 'Z' && tid == tgid;
			t->ppid = pp;
			t->state = TRACEE_GONE;
			if (t->zombie)
				trace_keep(tt, t);
			return 0;
		}
		t->filtered = false;
		r = trace_ptrace(PTRACE_SEIZE, tid, NULL, (void *)opts);
	}
	if (r == -ESRCH || (r == -EPERM && trace_is_worker(tid)))
		return 0;
	if (r < 0)
		return seize_refused(tt, tid, r);
	if (!tt->stop_ns)
		tt->stop_ns = now_ns();
	t->state = TRACEE_SEIZED;
	trace_keep(tt, t);
	r = trace_ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	if (r == -ESRCH)
		t->state = TRACEE_GONE;
	return 1;
}

bool trace_zombie(struct trace_table *tt, pid_t pid)
{
	const struct tracee *t = row_of(tt, pid);

	return t && t->zombie;
}

/* Every thread of a process that is not ours yet; the leader comes last. *found counts them. */
static int trace_take_process(struct trace_table *tt, pid_t pid, pid_t ppid, unsigned *found)
{
	char path[64];
	own_dir DIR *d = NULL;
	struct dirent *e;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : trace_fail(tt, -errno, "task %d: list threads", pid);
	while ((e = readdir(d))) {
		pid_t tid = atoi(e->d_name);

		if (tid <= 0 || tid == pid || trace_find(tt, tid))
			continue;
		r = trace_take(tt, tid, pid, ppid);
		if (r < 0)
			return r;
		*found += r;
	}
	if (trace_find(tt, pid) || trace_zombie(tt, pid))
		return 0;
	r = trace_take(tt, pid, pid, ppid);
	if (r < 0)
		return r;
	*found += r;
	return 0;
}

/* One walk over the tree below pid, taking what is new. */
static int trace_walk(struct trace_table *tt, pid_t pid, pid_t ppid, unsigned *found, unsigned depth)
{
	char path[64];
	own_dir DIR *d = NULL;
	struct dirent *e;
	int r = trace_take_process(tt, pid, ppid, found);

	if (r < 0)
		return r;
	if (depth > 8192)
		return trace_fail(tt, -E2BIG, "task %d: the tree is too deep", pid);
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	if (!d)
		return 0;
	while ((e = readdir(d))) {
		own_mem char *kids = NULL;
		pid_t tid = atoi(e->d_name);

		if (tid <= 0 ||
		    text_readf(AT_FDCWD, &kids, "/proc/%d/task/%d/children", pid, tid) < 0)
			continue;
		for (char *p = kids, *end; *p; p = end) {
			pid_t kid = strtol(p, &end, 10);

			if (end == p)
				break;
			while (*end == ' ')
				end++;
			r = trace_walk(tt, kid, pid, found, depth + 1);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* ---- vfork ---- */

/*
 * A thread in vfork() stops for nobody until its child, which runs in its memory, has executed a program
 * or ended. So that child is let go on, and stopped again afterwards.
 */
static void vfork_run_child(struct tracee *c)
{
	long opts = PTRACE_O_TRACESYSGOOD; /* it runs its own program: under its own filters */

	if (c->group_stop || trace_ptrace(PTRACE_SETOPTIONS, c->tid, NULL, (void *)opts) < 0)
		return;
	if (trace_ptrace(PTRACE_CONT, c->tid, NULL, NULL) < 0)
		return;
	c->state = TRACEE_SEIZED;
	c->runs_on = true;
}

/* What happens to it meanwhile: signals are delivered, its end is noted. */
static void vfork_serve_child(struct tracee *c)
{
	int status;

	while (waitpid(c->tid, &status, __WALL | WNOHANG) == c->tid) {
		int sig = WSTOPSIG(status);

		if (!WIFSTOPPED(status)) {
			c->state = TRACEE_GONE;
			return;
		}
		if (trace_event(status)) /* stopped by job control: so it stays */
			trace_ptrace(PTRACE_LISTEN, c->tid, NULL, NULL);
		else
			trace_ptrace(PTRACE_CONT, c->tid, NULL, (void *)(long)sig);
	}
}

/* The child for whose sake t does not stop, or NULL. */
static struct tracee *vfork_child(struct trace_table *tt, const struct tracee *t)
{
	own_mem char *kids = NULL;

	if (text_readf(AT_FDCWD, &kids, "/proc/%d/task/%d/children", t->tgid, t->tid) < 0)
		return NULL;
	for (char *p = kids, *end;; p = end) {
		pid_t kid = strtol(p, &end, 10);
		struct tracee *c;

		if (end == p)
			return NULL;
		c = trace_find(tt, kid);
		if (c && syscall(SYS_kcmp, t->tid, kid, KCMP_VM, 0, 0) == 0)
			return c;
	}
}

/* One step on the way out of a vfork(), should that be what t hangs in. */
static void vfork_help(struct trace_table *tt, struct tracee *t, unsigned depth)
{
	struct tracee *c = vfork_child(tt, t);

	if (!c || depth > 64)
		return;
	if (c->runs_on) {
		vfork_serve_child(c);
		return;
	}
	if (c->state == TRACEE_SEIZED) {
		int r = trace_wait_stop(c, true);

		if (r < 0) /* it is in a vfork() itself */
			vfork_help(tt, c, depth + 1);
		if (r == 1)
			c->state = TRACEE_STOPPED;
	}
	if (c->state == TRACEE_STOPPED)
		vfork_run_child(c);
}

/* Those that went on are stopped again; the count of them. */
static unsigned vfork_end(struct trace_table *tt)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < tt->n; i++) {
		struct tracee *t = &tt->t[i];

		if (!t->runs_on)
			continue;
		n++;
		t->runs_on = false;
		if (t->state == TRACEE_SEIZED && trace_ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) == -ESRCH)
			t->state = TRACEE_GONE;
	}
	return n;
}

static int wait_failed(struct trace_table *tt, const struct tracee *t, unsigned timeout_ms)
{
	const struct tracee *c = vfork_child(tt, t);

	if (c)
		return trace_fail(tt, -ETIMEDOUT,
				  "task %d: thread %d is in vfork(), for whose sake it cannot be stopped: its child %d has neither executed a program nor ended within %u ms; try again when it has",
				  t->tgid, t->tid, c->tid, timeout_ms);
	return trace_fail(tt, -ETIMEDOUT,
			  "task %d: thread %d did not stop within %u ms; it hangs in the kernel", t->tgid,
			  t->tid, timeout_ms);
}

/* Wait until all are stopped. 1: some went on meanwhile and may have children, look again. */
static int trace_wait_all(struct trace_table *tt, uint64_t end, unsigned timeout_ms)
{
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < tt->n; i++) {
		struct tracee *t = &tt->t[i];

		if (t->state != TRACEE_SEIZED || t->runs_on)
			continue;
		while ((r = trace_wait_stop(t, true)) < 0) { /* the alarm rang */
			if (now_ns() > end) {
				r = wait_failed(tt, t, timeout_ms);
				break;
			}
			vfork_help(tt, t, 0);
		}
		if (r == 1)
			t->state = TRACEE_STOPPED;
	}
	if (vfork_end(tt) && r >= 0)
		return 1;
	return r < 0 ? r : 0;
}

/* ---- notes ---- */

/*
 * A thread inside a restartable sequence must go to its abort handler: while it is ours the kernel
 * would forget the section, and it would be continued as if nothing had happened.
 */
static void note_rseq(struct tracee *t)
{
	struct rseq_config c = { 0 };
	struct rseq rs;
	struct rseq_cs cs;
	struct iovec l = { &rs, 20 }, m = { NULL, 20 };
	uint64_t zero = 0;

	if (trace_ptrace(PTRACE_GET_RSEQ_CONFIGURATION, t->tid, (void *)sizeof(c), &c) < 0 ||
	    !c.pointer)
		return;
	t->rseq_ptr = c.pointer;
	t->rseq_size = c.size;
	t->rseq_sig = c.signature;
	t->rseq_flags = c.flags;
	m.iov_base = (void *)t->rseq_ptr;
	if (process_vm_readv(t->tid, &l, 1, &m, 1, 0) != 20 || !rs.rseq_cs)
		return;
	l = (struct iovec){ &cs, sizeof(cs) };
	m = (struct iovec){ (void *)(uintptr_t)rs.rseq_cs, sizeof(cs) };
	if (process_vm_readv(t->tid, &l, 1, &m, 1, 0) != sizeof(cs))
		return;
	if (arch_ip(&t->regs) - cs.start_ip >= cs.post_commit_offset)
		return;
	arch_set_ip(&t->regs, cs.abort_ip);
	l = (struct iovec){ &zero, 8 };
	m = (struct iovec){ (void *)(uintptr_t)(t->rseq_ptr + offsetof(struct rseq, rseq_cs)), 8 };
	if (process_vm_writev(t->tid, &l, 1, &m, 1, 0) != 8)
		return;
}

/* The queue of the thread, or of its process: read without being emptied. Its head, when it is long. */
static int note_pending(struct tracee *t, unsigned shared)
{
	struct __ptrace_peeksiginfo_args args = {
		.flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0,
		.nr = TRACEE_PENDING,
	};
	int r = trace_ptrace(PTRACE_PEEKSIGINFO, t->tid, &args, t->pending[shared]);

	t->n_pending[shared] = r > 0 ? r : 0;
	return r < 0 ? r : 0;
}

/* Is a signal pending that it would take? One that is blocked interrupts nothing. */
static bool due(const struct tracee *t, unsigned shared)
{
	for (unsigned i = 0; i < t->n_pending[shared]; i++)
		if (!(t->sigmask >> (*(const int32_t *)t->pending[shared][i] - 1) & 1))
			return true;
	return t->n_pending[shared] == TRACEE_PENDING; /* there may be more of them */
}

static int trace_note(struct trace_table *tt, struct tracee *t)
{
	size_t n = sizeof(t->regs);
	struct sud_config sud = { 0 };
	int r = trace_regset(t, NT_PRSTATUS, &t->regs, &n);

	if (r == 0 && n != sizeof(t->regs))
		return trace_fail(tt, -ENOTSUP, "task %d: thread %d runs 32-bit code, which cannot be checkpointed", t->tgid,
				  t->tid);
	if (r == 0) {
		n = sizeof(t->xstate);
		r = trace_regset(t, NT_X86_XSTATE, t->xstate, &n);
		t->xstate_size = n;
	}
	if (r == 0)
		r = trace_ptrace(PTRACE_GETSIGMASK, t->tid, (void *)8, &t->sigmask);
	if (r == 0)
		r = note_pending(t, 0);
	if (r == 0 && (t->tid == t->tgid || trace_zombie(tt, t->tgid)))
		r = note_pending(t, 1);
	if (r == -ESRCH) {
		t->state = TRACEE_GONE;
		return 0;
	}
	if (r < 0)
		return trace_fail(tt, r, "task %d: thread %d: read registers: %s", t->tgid, t->tid,
				  strerror(-r));
	note_rseq(t);
	if (!due(t, 0) && !due(t, 1) && !t->group_stop)
		arch_again(&t->regs); /* nothing but our stop interrupted it */
	t->noted = true;
	if (trace_ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, t->tid, (void *)sizeof(sud), &sud) ==
	    0) {
		t->sud_mode = sud.mode;
		t->sud_selector = sud.selector;
		t->sud_offset = sud.offset;
		t->sud_len = sud.len;
	}
	return 0;
}

/* Of a process whose leader has ended: are there others? */
static bool threads_left(pid_t pid)
{
	char path[64];
	own_dir DIR *d = NULL;
	struct dirent *e;
	bool left = false;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while (d && (e = readdir(d)))
		left |= atoi(e->d_name) > 0 && atoi(e->d_name) != pid;
	return left;
}

int trace_stop(struct trace_table *tt, pid_t root, unsigned timeout_ms)
{
	unsigned found;
	uint64_t end;
	pid_t ppid;
	int r = freezer_open(tt);

	if (r < 0)
		return r;
	r = stat_state(root, &ppid);
	if (r < 0)
		return trace_fail(tt, -ESRCH, "task %d: there is no such process", root);
	if (r == 'Z' && !threads_left(root))
		return trace_fail(tt, -ESRCH, "task %d: has already ended", root);
	if (tt->freezer) {
		r = freezer_freeze(tt, timeout_ms);
		if (r == 0)
			r = trace_walk(tt, root, ppid, &found, 0);
		if (r < 0)
			return r;
		/* seized and interrupted, they trap as soon as they are thawed */
		r = trace_freeze(tt, false);
		if (r < 0)
			return trace_fail(tt, r, "freezer cgroup %s: thaw: %s", tt->freezer_path,
					  strerror(-r));
	}
	end = now_ns() + timeout_ms * 1000000ULL;
	trace_alarm_every(STOP_TICK_MS, STOP_TICK_MS);
	do {
		found = 0;
		r = trace_walk(tt, root, ppid, &found, 0);
		if (r == 0)
			r = trace_wait_all(tt, end, timeout_ms);
	} while (r == 1 || (r == 0 && found));
	trace_alarm(0);
	tt->stopped_ns = now_ns();
	for (uint32_t i = 0; r == 0 && i < tt->n; i++)
		if (tt->t[i].state == TRACEE_STOPPED)
			r = trace_note(tt, &tt->t[i]);
	if (r == 0 && !trace_find(tt, root) && !(trace_zombie(tt, root) && threads_left(root)))
		r = trace_fail(tt, -ESRCH, "task %d: ended while it was being stopped", root);
	return r;
}
