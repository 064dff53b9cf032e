// SPDX-License-Identifier: Apache-2.0
/*
 * trace: seize, note, borrow, cure. Rules that hold here (measured; docs/design.md):
 *
 * - A thread is only ever at PTRACE_EVENT_STOP when its registers are put back, so that the kernel
 *   itself restarts an interrupted system call when the thread goes on.
 * - Nothing is written to a thread's stack. While it is ours all its signals are blocked; its own
 *   mask is put back together with its registers.
 * - The leader is let go first, so that process-wide signals reach the thread they would have.
 */
#include "task/trace.h"

#include "agent/batch.h"
#include "arch/arch.h"
#include "base/log.h"
#include "base/res.h"
#include "base/text.h"

#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <linux/rseq.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif
#ifndef PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG
#define PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG 0x4210
#define PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211
#endif
#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif

#define PF_IO_WORKER 0x10     /* flags in /proc/PID/stat: threads that the kernel made for io_uring, */
#define PF_USER_WORKER 0x4000 /* and for others of the kind (Linux 6.4) */
#define STOP_TICK_MS 5 /* how often a thread that does not stop is looked at */

struct rseq_config { /* struct ptrace_rseq_configuration; not in every libc */
	uint64_t pointer;
	uint32_t size, signature, flags, pad;
};
struct sud_config {
	uint64_t mode, selector, offset, len;
};

static int trace_fail(struct trace_table *tt, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int trace_fail(struct trace_table *tt, int r, const char *fmt, ...)
{
	va_list ap;

	if (!tt->why[0]) {
		va_start(ap, fmt);
		vsnprintf(tt->why, sizeof(tt->why), fmt, ap);
		va_end(ap);
		tt->why_r = r;
	}
	return r;
}

static long do_ptrace(long req, pid_t tid, void *addr, void *data)
{
	long r = ptrace(req, tid, addr, data);

	return r < 0 ? -errno : r;
}

/* ---- waiting ---- */

/* Wait for one stop of tid. 1 stopped with *status, 0 gone, -ETIMEDOUT when the alarm rang. */
static int trace_wait(pid_t tid, int *status)
{
	for (;;) {
		pid_t p = waitpid(tid, status, __WALL);

		if (p == tid)
			return WIFSTOPPED(*status) ? 1 : 0;
		if (p < 0 && errno == EINTR)
			return -ETIMEDOUT;
		if (p < 0)
			return 0;
	}
}

static int stop_event(int status)
{
	return (unsigned)status >> 16;
}

static bool is_stop_signal(int sig)
{
	return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

/*
 * Wait until an interrupted thread is at PTRACE_EVENT_STOP. Signals on their way are delivered when
 * pass is set (the thread is not yet ours), else only stop signals can come: they are kept for later.
 */
static int trace_wait_stop(struct tracee *t, bool pass)
{
	int status, r;

	for (;;) {
		int sig, deliver = 0;

		r = trace_wait(t->tid, &status);
		if (r < 0)
			return r;
		if (r == 0) {
			t->state = TRACEE_GONE;
			return 0;
		}
		sig = WSTOPSIG(status);
		if (stop_event(status) == PTRACE_EVENT_STOP) {
			if (is_stop_signal(sig) && pass) {
				t->group_stop = true;
				t->stop_signo = sig;
			}
			return 1;
		}
		if (stop_event(status) == 0 && sig != (SIGTRAP | 0x80)) {
			if (pass)
				deliver = sig;
			else
				t->late_stop = sig;
		}
		if (do_ptrace(PTRACE_CONT, t->tid, NULL, (void *)(long)deliver) == -ESRCH)
			t->state = TRACEE_GONE;
	}
}

/* ---- freezer ---- */

static int freezer_file(const struct trace_table *tt, char *path, size_t n)
{
	return snprintf(path, n, "%s/%s", tt->freezer_path,
			tt->freezer == FREEZER_V1 ? "freezer.state" : "cgroup.freeze") < (int)n
		       ? 0
		       : -ENAMETOOLONG;
}

static int freezer_set(struct trace_table *tt, bool frozen)
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
			r = freezer_set(tt, true);
		if (r == 0)
			r = freezer_is(tt, true);
		if (r != 0)
			break;
		if (now_ns() > end)
			return trace_fail(tt, -ETIMEDOUT,
					  "freezer cgroup %s: not frozen after %u ms; a task hangs in the kernel",
					  tt->freezer_path, timeout_ms);
		if (tt->freezer == FREEZER_V1 && n % 32 == 0)
			r = freezer_set(tt, false);
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

static struct tracee *tracee_find(struct trace_table *tt, pid_t tid)
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
	r = do_ptrace(PTRACE_SEIZE, tid, NULL, (void *)(opts | PTRACE_O_SUSPEND_SECCOMP));
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
		r = do_ptrace(PTRACE_SEIZE, tid, NULL, (void *)opts);
	}
	if (r == -ESRCH || (r == -EPERM && trace_is_worker(tid)))
		return 0;
	if (r < 0)
		return seize_refused(tt, tid, r);
	if (!tt->stop_ns)
		tt->stop_ns = now_ns();
	t->state = TRACEE_SEIZED;
	trace_keep(tt, t);
	r = do_ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	if (r == -ESRCH)
		t->state = TRACEE_GONE;
	return 1;
}

static bool zombie_known(struct trace_table *tt, pid_t pid)
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

		if (tid <= 0 || tid == pid || tracee_find(tt, tid))
			continue;
		r = trace_take(tt, tid, pid, ppid);
		if (r < 0)
			return r;
		*found += r;
	}
	if (tracee_find(tt, pid) || zombie_known(tt, pid))
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

	if (c->group_stop || do_ptrace(PTRACE_SETOPTIONS, c->tid, NULL, (void *)opts) < 0)
		return;
	if (do_ptrace(PTRACE_CONT, c->tid, NULL, NULL) < 0)
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
		if (stop_event(status)) /* stopped by job control: so it stays */
			do_ptrace(PTRACE_LISTEN, c->tid, NULL, NULL);
		else
			do_ptrace(PTRACE_CONT, c->tid, NULL, (void *)(long)sig);
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
		c = tracee_find(tt, kid);
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
		if (t->state == TRACEE_SEIZED && do_ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) == -ESRCH)
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

static int note_regset(struct tracee *t, int type, void *buf, size_t *n)
{
	struct iovec iov = { .iov_base = buf, .iov_len = *n };
	int r = do_ptrace(PTRACE_GETREGSET, t->tid, (void *)(long)type, &iov);

	*n = iov.iov_len;
	return r;
}

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

	if (do_ptrace(PTRACE_GET_RSEQ_CONFIGURATION, t->tid, (void *)sizeof(c), &c) < 0 ||
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
	int r = do_ptrace(PTRACE_PEEKSIGINFO, t->tid, &args, t->pending[shared]);

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
	int r = note_regset(t, NT_PRSTATUS, &t->regs, &n);

	if (r == 0 && n != sizeof(t->regs))
		return trace_fail(tt, -ENOTSUP, "task %d: thread %d runs 32-bit code, which cannot be checkpointed", t->tgid,
				  t->tid);
	if (r == 0) {
		n = sizeof(t->xstate);
		r = note_regset(t, NT_X86_XSTATE, t->xstate, &n);
		t->xstate_size = n;
	}
	if (r == 0)
		r = do_ptrace(PTRACE_GETSIGMASK, t->tid, (void *)8, &t->sigmask);
	if (r == 0)
		r = note_pending(t, 0);
	if (r == 0 && (t->tid == t->tgid || zombie_known(tt, t->tgid)))
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
	if (do_ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, t->tid, (void *)sizeof(sud), &sud) ==
	    0) {
		t->sud_mode = sud.mode;
		t->sud_selector = sud.selector;
		t->sud_offset = sud.offset;
		t->sud_len = sud.len;
	}
	return 0;
}

static void on_alarm(int sig)
{
}

/* again_ms: how long after the first ring it rings again, should that have been between two waits */
static void alarm_every(unsigned ms, unsigned again_ms)
{
	struct itimerval it = {
		.it_value = { ms / 1000, ms % 1000 * 1000 },
		.it_interval = { again_ms / 1000, again_ms % 1000 * 1000 },
	};
	struct sigaction sa = { .sa_handler = on_alarm }; /* no SA_RESTART */

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
}

static void alarm_set(unsigned ms)
{
	alarm_every(ms, ms ? 1000 : 0);
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
		r = freezer_set(tt, false);
		if (r < 0)
			return trace_fail(tt, r, "freezer cgroup %s: thaw: %s", tt->freezer_path,
					  strerror(-r));
	}
	end = now_ns() + timeout_ms * 1000000ULL;
	alarm_every(STOP_TICK_MS, STOP_TICK_MS);
	do {
		found = 0;
		r = trace_walk(tt, root, ppid, &found, 0);
		if (r == 0)
			r = trace_wait_all(tt, end, timeout_ms);
	} while (r == 1 || (r == 0 && found));
	alarm_set(0);
	tt->stopped_ns = now_ns();
	for (uint32_t i = 0; r == 0 && i < tt->n; i++)
		if (tt->t[i].state == TRACEE_STOPPED)
			r = trace_note(tt, &tt->t[i]);
	if (r == 0 && !tracee_find(tt, root) && !(zombie_known(tt, root) && threads_left(root)))
		r = trace_fail(tt, -ESRCH, "task %d: ended while it was being stopped", root);
	return r;
}

/* ---- borrowing threads ---- */

static int set_regs(struct tracee *t, const struct user_regs_struct *regs)
{
	struct iovec iov = { (void *)regs, sizeof(*regs) };

	return do_ptrace(PTRACE_SETREGSET, t->tid, (void *)NT_PRSTATUS, &iov);
}

static int block_all(struct tracee *t)
{
	uint64_t all = ~0ULL;
	struct sud_config off = { 0 };

	if (t->sud_mode)
		do_ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, t->tid, (void *)sizeof(off), &off);
	t->blocked = true;
	return do_ptrace(PTRACE_SETSIGMASK, t->tid, (void *)8, &all);
}

/* Continue to the next system call stop; stop signals that come in between are kept for later. */
static int to_syscall_stop(struct tracee *t)
{
	int status, r;

	for (;;) {
		r = do_ptrace(PTRACE_SYSCALL, t->tid, NULL, NULL);
		if (r < 0)
			return r;
		r = trace_wait(t->tid, &status);
		if (r <= 0) {
			t->state = TRACEE_GONE;
			return -ESRCH;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			return 0;
		if (stop_event(status) == 0)
			t->late_stop = WSTOPSIG(status);
	}
}

/* One system call in a stopped thread, with an instruction of its own; ends at its exit stop. */
static int remote_call(struct tracee *t, uint64_t insn, long nr, const uint64_t args[6],
		       int64_t *ret)
{
	struct user_regs_struct regs = t->regs;
	size_t n = sizeof(regs);
	int r;

	arch_call(&regs, insn, nr, args);
	t->at_call = true;
	r = set_regs(t, &regs);
	if (r == 0)
		r = to_syscall_stop(t);
	if (r == 0)
		r = to_syscall_stop(t);
	if (r == 0)
		r = note_regset(t, NT_PRSTATUS, &regs, &n);
	if (r == 0)
		*ret = arch_call_ret(&regs);
	return r;
}

/* Back to where it was found, should we end now. */
static void call_done(struct tracee *t)
{
	struct user_regs_struct regs = t->regs;

	arch_rewind(&regs); /* the kernel does it only at a stop of its own choice */
	set_regs(t, &regs);
	do_ptrace(PTRACE_SETSIGMASK, t->tid, (void *)8, &t->sigmask);
}

/* The words in an area are ours too. Without them its threads wait for a cure that may not come. */
static void area_map(struct tracee *t)
{
	const uint64_t mapped[] = { t->area_len, AREA_HEAD }; /* in one piece, or see map_area() */
	char path[80];
	int fd = -1;

	for (int i = 0; fd < 0 && i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, t->tgid, t->area,
			 t->area + mapped[i]);
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	t->local = fd < 0 ? MAP_FAILED : mmap(NULL, t->area_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (t->local == MAP_FAILED)
		t->local = NULL;
	fd_close(fd);
}

/* From now on the thread goes on as found when supervisor and warden are gone both. */
static void agent_guard(struct trace_table *tt, const struct tracee *t)
{
	const struct tracee *leader = &tt->t[t->area_row];
	struct agent_slot *slot;

	if (!leader->local || t->sud_mode)
		return;
	slot = (struct agent_slot *)(leader->local + (t->slot - leader->area));
	if (arch_frame((char *)slot + SLOT_FRAME, SLOT_FRAME_SIZE, t->slot + SLOT_FRAME, &t->regs, t->xstate,
		       t->xstate_size, t->sigmask) < 0)
		return;
	slot->frame = t->slot + SLOT_FRAME;
	slot->orphan = ORPHAN_CURE;
	life_hang(&tt->lives[1], &slot->life[1]);
}

/* The agent's area. Who may have nothing writable and executable (PR_SET_MDWE) gets a page of each sort. */
static int map_area(struct tracee *t)
{
	const uint64_t parts[2][2] = { { 0, AREA_HEAD }, { AREA_HEAD + AREA_CODE, t->area_len - AREA_HEAD - AREA_CODE } };
	uint64_t args[6] = { 0, t->area_len, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1UL, 0 };
	int64_t at = 0, ret = 0;
	int r = remote_call(t, t->insn, SYS_mmap, args, &at);
	bool apart = r == 0 && at == -EACCES;

	if (apart) {
		args[2] = PROT_READ | PROT_EXEC;
		r = remote_call(t, t->insn, SYS_mmap, args, &at);
	}
	if (r == 0 && at < 0 && at > -4096)
		return at;
	if (r == 0)
		t->area = at;
	for (int i = 0; r == 0 && apart && i < 2; i++) {
		const uint64_t part[6] = { at + parts[i][0], parts[i][1], PROT_READ | PROT_WRITE };

		r = remote_call(t, t->insn, SYS_mprotect, part, &ret);
		r = r == 0 ? ret : r;
	}
	return r;
}

int trace_inject(struct trace_table *tt)
{
	lives_begin(&tt->lives[1]);
	for (uint32_t i = 0; i < tt->n; i++) {
		struct tracee *t = &tt->t[i];
		int r;

		if (t->state != TRACEE_STOPPED || !t->area_len)
			continue;
		r = block_all(t);
		if (r == 0)
			r = map_area(t);
		if (r == 0) {
			call_done(t);
			area_map(t);
		}
		if (r < 0)
			return trace_fail(tt, r, "task %d: thread %d: %s", t->tgid, t->tid,
					  r == -ESRCH ? "was killed while it was being dumped"
						      : "cannot map the agent");
	}
	return 0;
}

int trace_run(struct trace_table *tt)
{
	for (uint32_t i = 0; i < tt->n; i++) {
		struct tracee *t = &tt->t[i];
		struct user_regs_struct regs = t->regs;
		int r;

		if (t->state != TRACEE_STOPPED || !t->slot)
			continue;
		agent_guard(tt, t);
		arch_enter(&regs, t->entry, t->slot);
		r = set_regs(t, &regs);
		if (r == 0)
			r = block_all(t);
		if (r == 0)
			r = do_ptrace(PTRACE_CONT, t->tid, NULL, NULL);
		if (r < 0)
			return trace_fail(tt, r, "task %d: thread %d: start the agent: %s", t->tgid,
					  t->tid, strerror(-r));
		t->state = TRACEE_AGENT;
		t->at_call = false;
	}
	return 0;
}

int trace_pump(struct trace_table *tt)
{
	for (uint32_t i = 0; i < tt->n; i++) {
		struct tracee *t = &tt->t[i];
		int status;

		if (t->state != TRACEE_AGENT || waitpid(t->tid, &status, __WALL | WNOHANG) != t->tid)
			continue;
		if (!WIFSTOPPED(status)) {
			t->state = TRACEE_GONE;
			return trace_fail(tt, -ESRCH, "task %d: thread %d was killed meanwhile",
					  t->tgid, t->tid);
		}
		if (stop_event(status) == 0 && WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			int sig = WSTOPSIG(status);

			if (!is_stop_signal(sig))
				return trace_fail(tt, -EFAULT,
						  "task %d: thread %d: the agent got signal %d",
						  t->tgid, t->tid, sig);
			t->late_stop = sig;
		}
		do_ptrace(PTRACE_CONT, t->tid, NULL, NULL);
	}
	return 0;
}

/* ---- letting go ---- */

/* Bring a thread to PTRACE_EVENT_STOP, from wherever our borrowing left it. */
static int park(struct tracee *t, bool running)
{
	int r = do_ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);

	if (r == 0 && !running)
		r = do_ptrace(PTRACE_CONT, t->tid, NULL, NULL);
	if (r < 0)
		return r;
	r = trace_wait_stop(t, false);
	t->at_call = false;
	return r == 1 ? 0 : -ESRCH;
}

static uint64_t area_insn(const struct tracee *t)
{
	return t->entry + AGENT_SYSCALL_AT;
}

/* Unmap the area from a parked leader and park it again. */
static void unmap_area(struct tracee *t)
{
	const uint64_t args[6] = { t->area, t->area_len };
	int64_t ret;

	/* the instruction may be unmapped by its own call: the thread never goes back to it */
	if (block_all(t) == 0 &&
	    remote_call(t, t->entry ? area_insn(t) : t->insn, SYS_munmap, args, &ret) == 0) {
		park(t, false);
		t->area = 0;
	}
}

static void put_back(struct tracee *t)
{
	struct sud_config sud = { t->sud_mode, t->sud_selector, t->sud_offset, t->sud_len };

	do_ptrace(PTRACE_SETSIGMASK, t->tid, (void *)8, &t->sigmask);
	set_regs(t, &t->regs);
	if (t->sud_mode)
		do_ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, t->tid, (void *)sizeof(sud), &sud);
}

static void detach(struct tracee *t)
{
	if (t->state == TRACEE_GONE || t->state == TRACEE_FREE || t->state == TRACEE_NONE)
		return;
	do_ptrace(PTRACE_DETACH, t->tid, NULL, NULL);
	t->state = TRACEE_FREE;
	if (t->late_stop)
		syscall(SYS_tgkill, t->tgid, t->tid, t->late_stop);
}

static void cure_park(struct tracee *t)
{
	if (t->state == TRACEE_AGENT)
		park(t, true);
	else if (t->state == TRACEE_STOPPED && t->at_call)
		park(t, false);
}

/* All are parked: put back, unmap, let go. */
static int trace_cure_stopped(struct trace_table *tt, enum trace_how how)
{
	uint32_t i;

	/* those first that need no area: should we end meanwhile, they are as they were */
	for (i = 0; i < tt->n; i++)
		if (tt->t[i].noted && tt->t[i].state != TRACEE_GONE && !tt->t[i].area)
			put_back(&tt->t[i]);
	for (i = 0; i < tt->n; i++) {
		struct tracee *t = &tt->t[i];

		if (!t->area || (t->state != TRACEE_AGENT && t->state != TRACEE_STOPPED))
			continue;
		unmap_area(t);
		put_back(t);
	}
	alarm_set(0);
	for (i = 0; how == TRACE_STOP && i < tt->n; i++)
		if (tt->t[i].tid == tt->t[i].tgid ? !tt->t[i].zombie : zombie_known(tt, tt->t[i].tgid))
			kill(tt->t[i].tgid, SIGSTOP);
	if (tt->was_frozen)
		freezer_set(tt, true);
	/* leaders first: see the head */
	for (i = 0; i < tt->n; i++)
		if (tt->t[i].tid == tt->t[i].tgid)
			detach(&tt->t[i]);
	for (i = 0; i < tt->n; i++)
		detach(&tt->t[i]);
	if (tt->froze && !tt->was_frozen)
		freezer_set(tt, false);
	tt->let_go = true;
	return 0;
}

int trace_cure(struct trace_table *tt, enum trace_how how)
{
	if (tt->let_go)
		return 0;
	/* seized, but not stopped in time, maybe: nothing to put back. Who hangs is let go by our end */
	alarm_every(100, 100);
	for (uint32_t i = 0; i < tt->n; i++)
		if (tt->t[i].state == TRACEE_SEIZED)
			trace_wait_stop(&tt->t[i], true);
	alarm_set(5000);
	for (uint32_t i = 0; i < tt->n; i++)
		cure_park(&tt->t[i]);
	return trace_cure_stopped(tt, how);
}

int trace_recover(struct trace_table *tt)
{
	if (tt->let_go)
		return 0;
	alarm_set(5000);
	for (uint32_t i = 0; i < tt->n; i++) {
		struct tracee *t = &tt->t[i];
		bool agent = t->state == TRACEE_AGENT;

		/* those that were not touched run on by themselves */
		if (t->state == TRACEE_GONE || t->state == TRACEE_FREE || !t->blocked)
			t->state = TRACEE_FREE;
		else if (do_ptrace(PTRACE_SEIZE, t->tid, NULL,
				   (void *)(long)PTRACE_O_TRACESYSGOOD) < 0 ||
			 park(t, true) < 0)
			t->state = TRACEE_GONE;
		else if (!agent) /* it has gone on from where it was: only its mask is ours */
			note_regset(t, NT_PRSTATUS, &t->regs, &(size_t){ sizeof(t->regs) });
	}
	return trace_cure_stopped(tt, TRACE_RUN);
}

static bool held(const struct tracee *t)
{
	return t->state != TRACEE_NONE && t->state != TRACEE_GONE && t->state != TRACEE_FREE;
}

/*
 * In whatever order they end: a leader reports its end only after its threads, and in the first task of
 * a pid namespace the thread that is left waits until all others of the namespace were waited for.
 */
static void await_all(struct trace_table *tt)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < tt->n; i++)
		left += held(&tt->t[i]);
	while (left) {
		int status;
		pid_t p = waitpid(-1, &status, __WALL);
		struct tracee *t = p > 0 ? tracee_find(tt, p) : NULL;

		if (p < 0 && errno != EINTR)
			break;
		if (p > 0 && WIFSTOPPED(status)) {
			do_ptrace(PTRACE_CONT, p, NULL, NULL);
		} else if (t && held(t)) {
			t->state = TRACEE_GONE;
			left--;
		}
	}
	for (uint32_t i = 0; i < tt->n; i++)
		if (held(&tt->t[i]))
			tt->t[i].state = TRACEE_GONE;
}

int trace_kill(struct trace_table *tt)
{
	for (uint32_t i = 0; i < tt->n; i++) {
		const struct tracee *t = &tt->t[i];

		if ((t->tid == t->tgid || zombie_known(tt, t->tgid)) && t->state != TRACEE_GONE &&
		    t->state != TRACEE_FREE)
			kill(t->tgid, SIGKILL);
	}
	await_all(tt);
	if (tt->froze || tt->was_frozen)
		freezer_set(tt, false);
	tt->let_go = true;
	return 0;
}

/* ---- restore ---- */

int trace_seize(struct trace_table *tt)
{
	const long opts = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;

	for (uint32_t i = 0; i < tt->n; i++) {
		struct tracee *t = &tt->t[i];
		int r;

		if (t->state != TRACEE_NONE)
			continue;
		r = do_ptrace(PTRACE_SEIZE, t->tid, NULL, (void *)(opts | PTRACE_O_SUSPEND_SECCOMP));
		if (r == -EPERM)
			r = do_ptrace(PTRACE_SEIZE, t->tid, NULL, (void *)opts);
		if (r < 0)
			return trace_fail(tt, r, "task %d: restored thread %d cannot be seized: %s",
					  t->tgid, t->tid, strerror(-r));
		t->state = TRACEE_AGENT;
	}
	return 0;
}

static int load_state(struct trace_table *tt, struct tracee *t)
{
	struct sud_config sud = { t->sud_mode, t->sud_selector, t->sud_offset, t->sud_len };
	struct iovec iov = { t->xstate, t->xstate_size };
	int r = 0;

	if (t->xstate_size)
		r = do_ptrace(PTRACE_SETREGSET, t->tid, (void *)NT_X86_XSTATE, &iov);
	if (r == 0)
		r = set_regs(t, &t->regs);
	if (r == 0)
		r = do_ptrace(PTRACE_SETSIGMASK, t->tid, (void *)8, &t->sigmask);
	if (r == 0 && t->sud_mode)
		r = do_ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, t->tid, (void *)sizeof(sud), &sud);
	if (r < 0)
		return trace_fail(tt, r, "task %d: thread %d: load registers: %s", t->tgid, t->tid,
				  strerror(-r));
	return 0;
}

/* The agent sleeps on behalf of the thread; when it has woken meanwhile, the sleep is over. */
static void check_sleep(struct tracee *t)
{
	struct user_regs_struct now;

	if (arch_resumes(&t->regs) &&
	    (note_regset(t, NT_PRSTATUS, &now, &(size_t){ sizeof(now) }) < 0 || !arch_resumes(&now)))
		arch_end_call(&t->regs);
}

static int release_prepare(struct trace_table *tt)
{
	int r = 0;

	alarm_set(10000);
	for (uint32_t i = 0; r == 0 && i < tt->n; i++)
		r = do_ptrace(PTRACE_INTERRUPT, tt->t[i].tid, NULL, NULL);
	for (uint32_t i = 0; r == 0 && i < tt->n; i++)
		r = trace_wait_stop(&tt->t[i], false) == 1 ? 0 : -ESRCH;
	if (r < 0)
		return trace_fail(tt, r, "a restored task died before it could run");
	for (uint32_t i = 0; i < tt->n; i++)
		check_sleep(&tt->t[i]);
	for (uint32_t i = 0; i < tt->n; i++)
		if (tt->t[i].area)
			unmap_area(&tt->t[i]);
	for (uint32_t i = 0; r == 0 && i < tt->n; i++)
		r = load_state(tt, &tt->t[i]);
	alarm_set(0);
	return r;
}

int trace_release(struct trace_table *tt, enum trace_how how)
{
	int r = release_prepare(tt);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < tt->n; i++) {
		struct tracee *t = &tt->t[i];
		int sig = t->stop_signo ? t->stop_signo : how == TRACE_STOP ? SIGSTOP : 0;

		if (t->tid == t->tgid && sig)
			kill(t->tgid, sig);
	}
	if (tt->was_frozen)
		freezer_set(tt, true);
	/* the first entries are the root's: a pid namespace's init keeps the others from running on
	   should we die here; a process' threads stand behind it */
	for (uint32_t i = tt->n; i-- > 0;)
		for (uint32_t k = i; tt->t[i].tid == tt->t[i].tgid && k < tt->n &&
				     tt->t[k].tgid == tt->t[i].tgid; k++)
			detach(&tt->t[k]);
	tt->let_go = true;
	return 0;
}
