// SPDX-License-Identifier: Apache-2.0
/*
 * trace: borrow threads that stand (trace-stop.c), cure them, load restored ones. Rules that hold here (measured;
 * docs/design.md):
 *
 * - A thread is only ever at PTRACE_EVENT_STOP when its registers are put back, so that the kernel
 *   itself restarts an interrupted system call when the thread goes on.
 * - Nothing is written to a thread's stack. While it is ours all its signals are blocked; its own
 *   mask is put back together with its registers.
 * - The leader is let go first, so that process-wide signals reach the thread they would have.
 */
#include "task/trace-own.h"

#include "agent/batch.h"
#include "arch/arch.h"
#include "base/res.h"

#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>

int trace_fail(struct trace_table *tt, int r, const char *fmt, ...)
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

long trace_ptrace(long req, pid_t tid, void *addr, void *data)
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

int trace_event(int status)
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
int trace_wait_stop(struct tracee *t, bool pass)
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
		if (trace_event(status) == PTRACE_EVENT_STOP) {
			if (is_stop_signal(sig) && pass) {
				t->group_stop = true;
				t->stop_signo = sig;
			}
			return 1;
		}
		if (trace_event(status) == 0 && sig != (SIGTRAP | 0x80)) {
			if (pass)
				deliver = sig;
			else
				t->late_stop = sig;
		}
		if (trace_ptrace(PTRACE_CONT, t->tid, NULL, (void *)(long)deliver) == -ESRCH)
			t->state = TRACEE_GONE;
	}
}

int trace_regset(struct tracee *t, int type, void *buf, size_t *n)
{
	struct iovec iov = { .iov_base = buf, .iov_len = *n };
	int r = trace_ptrace(PTRACE_GETREGSET, t->tid, (void *)(long)type, &iov);

	*n = iov.iov_len;
	return r;
}

static void on_alarm(int sig)
{
}

/* again_ms: how long after the first ring it rings again, should that have been between two waits */
void trace_alarm_every(unsigned ms, unsigned again_ms)
{
	struct itimerval it = {
		.it_value = { ms / 1000, ms % 1000 * 1000 },
		.it_interval = { again_ms / 1000, again_ms % 1000 * 1000 },
	};
	struct sigaction sa = { .sa_handler = on_alarm }; /* no SA_RESTART */

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
}

void trace_alarm(unsigned ms)
{
	trace_alarm_every(ms, ms ? 1000 : 0);
}

/* ---- borrowing threads ---- */

static int set_regs(struct tracee *t, const struct user_regs_struct *regs)
{
	struct iovec iov = { (void *)regs, sizeof(*regs) };

	return trace_ptrace(PTRACE_SETREGSET, t->tid, (void *)NT_PRSTATUS, &iov);
}

static int block_all(struct tracee *t)
{
	uint64_t all = ~0ULL;
	struct sud_config off = { 0 };

	if (t->sud_mode)
		trace_ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, t->tid, (void *)sizeof(off), &off);
	t->blocked = true;
	return trace_ptrace(PTRACE_SETSIGMASK, t->tid, (void *)8, &all);
}

/* Continue to the next system call stop; stop signals that come in between are kept for later. */
static int to_syscall_stop(struct tracee *t)
{
	int status, r;

	for (;;) {
		r = trace_ptrace(PTRACE_SYSCALL, t->tid, NULL, NULL);
		if (r < 0)
			return r;
		r = trace_wait(t->tid, &status);
		if (r <= 0) {
			t->state = TRACEE_GONE;
			return -ESRCH;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			return 0;
		if (trace_event(status) == 0)
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
		r = trace_regset(t, NT_PRSTATUS, &regs, &n);
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
	trace_ptrace(PTRACE_SETSIGMASK, t->tid, (void *)8, &t->sigmask);
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

/* After mlockall(MCL_FUTURE) all that is mapped counts below RLIMIT_MEMLOCK: for this call it may be more. */
static int map_beyond(struct tracee *t, const uint64_t args[6], int64_t *at)
{
	const struct rlimit any = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit was, all;
	int r;

	if (prlimit(t->tgid, RLIMIT_MEMLOCK, NULL, &was) < 0)
		return 0;
	all = (struct rlimit){ was.rlim_max, was.rlim_max };
	if (prlimit(t->tgid, RLIMIT_MEMLOCK, &any, NULL) < 0 && prlimit(t->tgid, RLIMIT_MEMLOCK, &all, NULL) < 0)
		return 0;
	r = remote_call(t, t->insn, SYS_mmap, args, at);
	prlimit(t->tgid, RLIMIT_MEMLOCK, &was, NULL);
	return r;
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
	if (r == 0 && at == -EAGAIN)
		r = map_beyond(t, args, &at);
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
					  : r == -EAGAIN
						? "cannot map the agent: all of its memory is locked (mlockall), and RLIMIT_MEMLOCK allows no more; raise that"
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
			r = trace_ptrace(PTRACE_CONT, t->tid, NULL, NULL);
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
		if (trace_event(status) == 0 && WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			int sig = WSTOPSIG(status);

			if (!is_stop_signal(sig))
				return trace_fail(tt, -EFAULT,
						  "task %d: thread %d: the agent got signal %d",
						  t->tgid, t->tid, sig);
			t->late_stop = sig;
		}
		trace_ptrace(PTRACE_CONT, t->tid, NULL, NULL);
	}
	return 0;
}

/* ---- letting go ---- */

/* Bring a thread to PTRACE_EVENT_STOP, from wherever our borrowing left it. */
static int park(struct tracee *t, bool running)
{
	int r = trace_ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);

	if (r == 0 && !running)
		r = trace_ptrace(PTRACE_CONT, t->tid, NULL, NULL);
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

	trace_ptrace(PTRACE_SETSIGMASK, t->tid, (void *)8, &t->sigmask);
	set_regs(t, &t->regs);
	if (t->sud_mode)
		trace_ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, t->tid, (void *)sizeof(sud), &sud);
}

static void detach(struct tracee *t)
{
	if (t->state == TRACEE_GONE || t->state == TRACEE_FREE || t->state == TRACEE_NONE)
		return;
	trace_ptrace(PTRACE_DETACH, t->tid, NULL, NULL);
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
	trace_alarm(0);
	for (i = 0; how == TRACE_STOP && i < tt->n; i++)
		if (tt->t[i].tid == tt->t[i].tgid ? !tt->t[i].zombie : trace_zombie(tt, tt->t[i].tgid))
			kill(tt->t[i].tgid, SIGSTOP);
	if (tt->was_frozen)
		trace_freeze(tt, true);
	/* leaders first: see the head */
	for (i = 0; i < tt->n; i++)
		if (tt->t[i].tid == tt->t[i].tgid)
			detach(&tt->t[i]);
	for (i = 0; i < tt->n; i++)
		detach(&tt->t[i]);
	if (tt->froze && !tt->was_frozen)
		trace_freeze(tt, false);
	tt->let_go = true;
	return 0;
}

int trace_cure(struct trace_table *tt, enum trace_how how)
{
	if (tt->let_go)
		return 0;
	/* seized, but not stopped in time, maybe: nothing to put back. Who hangs is let go by our end */
	trace_alarm_every(100, 100);
	for (uint32_t i = 0; i < tt->n; i++)
		if (tt->t[i].state == TRACEE_SEIZED)
			trace_wait_stop(&tt->t[i], true);
	trace_alarm(5000);
	for (uint32_t i = 0; i < tt->n; i++)
		cure_park(&tt->t[i]);
	return trace_cure_stopped(tt, how);
}

int trace_recover(struct trace_table *tt)
{
	if (tt->let_go)
		return 0;
	trace_alarm(5000);
	for (uint32_t i = 0; i < tt->n; i++) {
		struct tracee *t = &tt->t[i];
		bool agent = t->state == TRACEE_AGENT;

		/* those that were not touched run on by themselves */
		if (t->state == TRACEE_GONE || t->state == TRACEE_FREE || !t->blocked)
			t->state = TRACEE_FREE;
		else if (trace_ptrace(PTRACE_SEIZE, t->tid, NULL,
				   (void *)(long)PTRACE_O_TRACESYSGOOD) < 0 ||
			 park(t, true) < 0)
			t->state = TRACEE_GONE;
		else if (!agent) /* it has gone on from where it was: only its mask is ours */
			trace_regset(t, NT_PRSTATUS, &t->regs, &(size_t){ sizeof(t->regs) });
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
		struct tracee *t = p > 0 ? trace_find(tt, p) : NULL;

		if (p < 0 && errno != EINTR)
			break;
		if (p > 0 && WIFSTOPPED(status)) {
			trace_ptrace(PTRACE_CONT, p, NULL, NULL);
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

		if ((t->tid == t->tgid || trace_zombie(tt, t->tgid)) && t->state != TRACEE_GONE &&
		    t->state != TRACEE_FREE)
			kill(t->tgid, SIGKILL);
	}
	await_all(tt);
	if (tt->froze || tt->was_frozen)
		trace_freeze(tt, false);
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
		r = trace_ptrace(PTRACE_SEIZE, t->tid, NULL, (void *)(opts | PTRACE_O_SUSPEND_SECCOMP));
		if (r == -EPERM)
			r = trace_ptrace(PTRACE_SEIZE, t->tid, NULL, (void *)opts);
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
		r = trace_ptrace(PTRACE_SETREGSET, t->tid, (void *)NT_X86_XSTATE, &iov);
	if (r == 0)
		r = set_regs(t, &t->regs);
	if (r == 0)
		r = trace_ptrace(PTRACE_SETSIGMASK, t->tid, (void *)8, &t->sigmask);
	if (r == 0 && t->sud_mode)
		r = trace_ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, t->tid, (void *)sizeof(sud), &sud);
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
	    (trace_regset(t, NT_PRSTATUS, &now, &(size_t){ sizeof(now) }) < 0 || !arch_resumes(&now)))
		arch_end_call(&t->regs);
}

int trace_ready(struct trace_table *tt)
{
	int r = 0;

	trace_alarm(10000);
	for (uint32_t i = 0; r == 0 && i < tt->n; i++)
		r = trace_ptrace(PTRACE_INTERRUPT, tt->t[i].tid, NULL, NULL);
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
	trace_alarm(0);
	return r;
}

int trace_release(struct trace_table *tt, enum trace_how how)
{
	for (uint32_t i = 0; i < tt->n; i++) {
		struct tracee *t = &tt->t[i];
		int sig = t->stop_signo ? t->stop_signo : how == TRACE_STOP ? SIGSTOP : 0;

		if (t->tid == t->tgid && sig)
			kill(t->tgid, sig);
	}
	if (tt->was_frozen)
		trace_freeze(tt, true);
	/* the first entries are the root's: a pid namespace's init keeps the others from running on
	   should we die here; a process' threads stand behind it */
	for (uint32_t i = tt->n; i-- > 0;)
		for (uint32_t k = i; tt->t[i].tid == tt->t[i].tgid && k < tt->n &&
				     tt->t[k].tgid == tt->t[i].tgid; k++)
			detach(&tt->t[k]);
	tt->let_go = true;
	return 0;
}
