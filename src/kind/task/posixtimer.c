// SPDX-License-Identifier: Apache-2.0
/*
 * posixtimer: timers made by timer_create(2).
 *
 * Kept:   id, clock, notification, remaining time, interval. A timer on the CPU time of the thread that made it
 *         (CLOCK_THREAD_CPUTIME_ID) is made by the thread that it notifies.
 * Lost:   what timer_getoverrun() said last; which thread's CPU time is meant, where there are several and none is
 *         notified: the main thread's then (reported). CPU time used so far: its clocks begin anew.
 * Kernel: /proc/PID/timers, timer_gettime(2); ids are reproduced with PR_TIMER_CREATE_RESTORE_IDS
 *         (Linux 6.15), without which a task that has timers is refused at restore.
 */
#include "kind/task.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77
#endif
#define TIMERS_MAX 64

struct timer_text { /* one record of /proc/PID/timers */
	long id, signo, clock, tid;
	unsigned long long sival;
	int notify;
};

/* CPU time of the thread that made it; the kernel shows ~0 << 3 | 4 | what is counted, ~0 for "this one". */
static bool of_its_maker(long clock)
{
	return clock == CLOCK_THREAD_CPUTIME_ID || (clock < 0 && clock >> 3 == -1 && clock & 4);
}

/* The next record at *p; 1 there is one, 0 the end, -EBADMSG. */
static int timer_next(const char **p, struct timer_text *t)
{
	char how[32] = "", whom[8] = "";
	int n = 0;

	if (!**p)
		return 0;
	if (sscanf(*p, "ID: %ld signal: %ld/%llx notify: %31[a-z]/%7[a-z].%ld ClockID: %ld %n", &t->id,
		   &t->signo, &t->sival, how, whom, &t->tid, &t->clock, &n) != 7 ||
	    !n)
		return -EBADMSG;
	t->notify = !strcmp(how, "signal") ? SIGEV_SIGNAL : !strcmp(how, "none") ? SIGEV_NONE : SIGEV_THREAD;
	if (!strcmp(whom, "tid"))
		t->notify |= SIGEV_THREAD_ID;
	*p += n;
	return 1;
}

static int timers_text(struct session *s, struct thread *t, char **ret)
{
	int r = text_read(t->task->proc, "timers", ret, NULL);

	return r < 0 ? session_fail(s, r, "task %d: read its timers", t->task->vpid) : 0;
}

static int posixtimer_ask(struct session *s, struct thread *t, struct batch *b)
{
	own_mem char *text = NULL;
	struct timer_text tt;
	unsigned n = 0;
	int r = timers_text(s, t, &text);
	const char *p = text;

	while (r == 0 && (r = timer_next(&p, &tt)) == 1) {
		if (++n > TIMERS_MAX)
			return session_fail(s, -ENOTSUP, "task %d: more than %u POSIX timers",
					    t->task->vpid, TIMERS_MAX);
		call2(b, "POSIX timer: read", SYS_timer_gettime, tt.id,
		      batch_mem(b, NULL, sizeof(struct itimerspec), NULL));
		call1(b, "POSIX timer: read its overrun", SYS_timer_getoverrun, tt.id);
		r = 0;
	}
	return r < 0 ? session_fail(s, r, "task %d: its timers are not understood", t->task->vpid) : 0;
}

static pid_t vtid_of(const struct task *k, long tid)
{
	for (unsigned i = 0; i < k->n_threads; i++)
		if (k->threads[i].tid == tid || k->threads[i].vtid == tid)
			return k->threads[i].vtid;
	return 0;
}

static int posixtimer_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	TaskTimersEntry *e = task_timers(t->core);
	own_mem char *text = NULL;
	struct timer_text tt;
	int r = timers_text(s, t, &text);
	const char *p = text;

	for (unsigned n = first; r == 0 && timer_next(&p, &tt) == 1; n += 2) {
		const struct itimerspec *v = batch_local(b, b->calls[n].args[1]);
		PosixTimerEntry *pe = xalloc(sizeof(*pe));

		posix_timer_entry__init(pe);
		pe->it_id = tt.id;
		pe->clock_id = tt.clock;
		pe->si_signo = tt.signo;
		pe->it_sigev_notify = tt.notify;
		pe->sival_ptr = tt.sival;
		pe->overrun = batch_ret(b, n + 1);
		pe->isec = v->it_interval.tv_sec;
		pe->insec = v->it_interval.tv_nsec;
		pe->vsec = v->it_value.tv_sec;
		pe->vnsec = v->it_value.tv_nsec;
		if (tt.notify & SIGEV_THREAD_ID) {
			pe->has_notify_thread_id = true;
			pe->notify_thread_id = vtid_of(t->task, tt.tid);
		}
		e->posix = xgrow(e->posix, (e->n_posix + 1) * sizeof(*e->posix));
		e->posix[e->n_posix++] = pe;
		session_debug(s, "posix timer %ld clock %ld", tt.id, tt.clock);
		if (of_its_maker(tt.clock) && !(tt.notify & SIGEV_THREAD_ID) && t->task->n_threads > 1)
			session_warn(s, "task %d: POSIX timer %ld counts the CPU time of one of several threads, the kernel does not tell which; after a restore it is the main thread's",
				     t->task->vpid, tt.id);
	}
	return r;
}

/* Images number threads as the root task's pid namespace does. */
static pid_t self_of(const struct task *k, pid_t vtid)
{
	for (unsigned i = 0; i < k->n_threads; i++)
		if (k->threads[i].vtid == vtid)
			return thread_self(&k->threads[i]);
	return vtid;
}

static void timer_make(struct batch *b, const struct task *k, const PosixTimerEntry *e)
{
	struct {
		uint64_t sival;
		int32_t signo, notify, tid, pad[11];
	} ev = { e->sival_ptr, e->si_signo, e->it_sigev_notify, self_of(k, e->notify_thread_id), { 0 } };
	struct itimerspec v = { .it_interval = { e->isec, e->insec }, .it_value = { e->vsec, e->vnsec } };
	int32_t id = e->it_id;

	call3(b, "make it", SYS_timer_create, (int32_t)e->clock_id, batch_mem(b, &ev, sizeof(ev), NULL),
	      batch_mem(b, &id, sizeof(id), NULL));
	if (!v.it_value.tv_sec && !v.it_value.tv_nsec && (v.it_interval.tv_sec | v.it_interval.tv_nsec))
		v.it_value.tv_nsec = 1; /* it has just run out */
	if (v.it_value.tv_sec | v.it_value.tv_nsec)
		call4(b, "arm it", SYS_timer_settime, id, 0, batch_mem(b, &v, sizeof(v), NULL), 0);
}

/* The thread whose agent makes it. */
static struct thread *maker_of(struct thread *leader, const PosixTimerEntry *e)
{
	struct task *k = leader->task;

	if (of_its_maker((int32_t)e->clock_id) && e->it_sigev_notify & SIGEV_THREAD_ID)
		for (unsigned i = 0; i < k->n_threads; i++)
			if (k->threads[i].vtid == e->notify_thread_id)
				return &k->threads[i];
	return leader;
}

static int posixtimer_restore(struct session *s, struct thread *t, struct batch *b)
{
	const TaskTimersEntry *e = t->core->tc->timers;
	unsigned n;
	int r;

	if (!e->n_posix)
		return 0;
	if (e->n_posix > TIMERS_MAX)
		return session_fail(s, -ENOTSUP, "task %d: more than %u POSIX timers", t->task->vpid,
				    TIMERS_MAX);
	n = call5(b, NULL, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS, 1, 0, 0, 0);
	r = batch_run(b);
	if (r == 0 && batch_ret(b, n) < 0)
		return session_fail(s, -ENOTSUP,
				    "task %d: has POSIX timers, whose ids this kernel cannot reproduce (Linux 6.15 can)",
				    t->task->vpid);
	batch_clear(b);
	for (size_t i = 0; r == 0 && i < e->n_posix; i++) {
		struct thread *maker = maker_of(t, e->posix[i]);
		struct batch own;

		if (maker == t) {
			timer_make(b, t->task, e->posix[i]);
			continue;
		}
		batch_start(s, &own, maker);
		timer_make(&own, t->task, e->posix[i]);
		r = batch_run(b); /* its prctl() comes first */
		batch_clear(b);
		if (r == 0)
			r = batch_run(&own);
	}
	call5(b, NULL, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS, 0, 0, 0, 0);
	return r;
}

const struct task_kind task_kind_posixtimer = {
	.name = "POSIX timer",
	.stage = STAGE_TIMERS,
	.ask = posixtimer_ask,
	.dump = posixtimer_dump,
	.restore = posixtimer_restore,
};
