// SPDX-License-Identifier: Apache-2.0
/*
 * posixtimer: timers made by timer_create(2).
 *
 * Kept:   id, clock, notification, remaining time, interval. A timer on the CPU time of the thread that made it
 *         (CLOCK_THREAD_CPUTIME_ID) is made by the thread that it notifies.
 * Lost:   what timer_getoverrun() said last; which thread's CPU time is meant, where there are several and none is
 *         notified: the main thread's then (reported). CPU time used so far: its clocks begin anew.
 * Kernel: /proc/PID/timers, timer_gettime(2); ids are reproduced with PR_TIMER_CREATE_RESTORE_IDS (Linux 6.15).
 *         Before it a process counts them up from 0, and those between are made and deleted, 4 million at most.
 */
#include "kind/task.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77
#endif
#define ROUND 64	      /* timers asked for in one batch */
#define COUNT_MAX (4 << 20) /* ids counted up to: a few seconds */

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

static pid_t vtid_of(const struct task *k, long tid)
{
	for (unsigned i = 0; i < k->n_threads; i++)
		if (k->threads[i].tid == tid || k->threads[i].vtid == tid)
			return k->threads[i].vtid;
	return 0;
}

static void timer_keep(struct session *s, struct thread *t, const struct timer_text *tt, const struct itimerspec *v,
		       int overrun)
{
	TaskTimersEntry *e = task_timers(t->core);
	PosixTimerEntry *pe = xalloc(sizeof(*pe));

	posix_timer_entry__init(pe);
	pe->it_id = tt->id;
	pe->clock_id = tt->clock;
	pe->si_signo = tt->signo;
	pe->it_sigev_notify = tt->notify;
	pe->sival_ptr = tt->sival;
	pe->overrun = overrun;
	pe->isec = v->it_interval.tv_sec;
	pe->insec = v->it_interval.tv_nsec;
	pe->vsec = v->it_value.tv_sec;
	pe->vnsec = v->it_value.tv_nsec;
	if (tt->notify & SIGEV_THREAD_ID) {
		pe->has_notify_thread_id = true;
		pe->notify_thread_id = vtid_of(t->task, tt->tid);
	}
	e->posix = xgrow(e->posix, (e->n_posix + 1) * sizeof(*e->posix));
	e->posix[e->n_posix++] = pe;
	session_debug(s, "posix timer %ld clock %ld", tt->id, tt->clock);
	if (of_its_maker(tt->clock) && !(tt->notify & SIGEV_THREAD_ID) && t->task->n_threads > 1)
		session_warn(s, "task %d: POSIX timer %ld counts the CPU time of one of several threads, the kernel does not tell which; after a restore it is the main thread's",
			     t->task->vpid, tt->id);
}

/* Asks for what is left of n timers. */
static int timers_ask(struct session *s, struct thread *t, const struct timer_text *tt, unsigned n)
{
	struct itimerspec *v[ROUND];
	struct batch b;
	int r;

	batch_start(s, &b, t);
	for (unsigned i = 0; i < n; i++) {
		call2(&b, "POSIX timer: read", SYS_timer_gettime, tt[i].id,
		      batch_mem(&b, NULL, sizeof(struct itimerspec), &v[i]));
		call1(&b, "POSIX timer: read its overrun", SYS_timer_getoverrun, tt[i].id);
	}
	r = batch_run(&b);
	for (unsigned i = 0; r == 0 && i < n; i++)
		timer_keep(s, t, &tt[i], v[i], batch_ret(&b, 2 * i + 1));
	return r;
}

static int posixtimer_more(struct session *s, struct thread *t)
{
	own_mem char *text = NULL;
	struct timer_text tt[ROUND];
	unsigned n = ROUND;
	int r = text_read(t->task->proc, "timers", &text, NULL);
	const char *p = text;

	if (r < 0)
		return session_fail(s, r, "task %d: read its timers", t->task->vpid);
	while (r == 0 && n == ROUND) {
		for (n = 0; n < ROUND && (r = timer_next(&p, &tt[n])) == 1; n++)
			;
		if (r < 0)
			return session_fail(s, r, "task %d: its timers are not understood", t->task->vpid);
		r = n ? timers_ask(s, t, tt, n) : 0;
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

static int timer_make(struct session *s, struct thread *t, const PosixTimerEntry *e)
{
	struct {
		uint64_t sival;
		int32_t signo, notify, tid, pad[11];
	} ev = { e->sival_ptr, e->si_signo, e->it_sigev_notify, self_of(t->task, e->notify_thread_id), { 0 } };
	struct itimerspec v = { .it_interval = { e->isec, e->insec }, .it_value = { e->vsec, e->vnsec } };
	int32_t *id, wanted = e->it_id;
	struct batch b;
	unsigned made;
	int r;

	batch_start(s, &b, t);
	made = call3(&b, "POSIX timer: make it", SYS_timer_create, (int32_t)e->clock_id,
		     batch_mem(&b, &ev, sizeof(ev), NULL), batch_mem(&b, &wanted, sizeof(wanted), &id));
	batch_stop(&b, made);
	if (!v.it_value.tv_sec && !v.it_value.tv_nsec && (v.it_interval.tv_sec | v.it_interval.tv_nsec))
		v.it_value.tv_nsec = 1; /* it has just run out */
	if (v.it_value.tv_sec | v.it_value.tv_nsec)
		call4(&b, "POSIX timer: arm it", SYS_timer_settime, wanted, 0, batch_mem(&b, &v, sizeof(v), NULL), 0);
	r = batch_run(&b);
	if (r == 0 && *id != wanted)
		r = session_fail(s, -EBUSY, "task %d: POSIX timer %d: it got the id %d", t->task->vpid, wanted, *id);
	return r;
}

/*
 * Makes and deletes timers whose ids are before to; *next is the id that the kernel gives next.
 * Linux 6.14 posix_timer_add(): one more than the last, of the process.
 */
static int ids_count(struct session *s, struct thread *t, int32_t *next, int32_t to)
{
	struct {
		uint64_t sival;
		int32_t signo, notify, pad[12];
	} ev = { .notify = SIGEV_NONE };
	struct batch b;
	int r = 0;

	if (to > COUNT_MAX)
		return session_fail(s, -ENOTSUP,
				    "task %d: POSIX timer %d: this kernel cannot be told ids, and counting goes to %d only; restore it on Linux 6.15 or later",
				    t->task->vpid, to, COUNT_MAX);
	batch_start(s, &b, t);
	while (r == 0 && *next < to) {
		int64_t how = batch_mem(&b, &ev, sizeof(ev), NULL), id = batch_mem(&b, NULL, sizeof(int32_t), NULL);

		for (; *next < to && batch_room(&b, 2, 0); ++*next) {
			call3(&b, "POSIX timer: count ids", SYS_timer_create, CLOCK_MONOTONIC, how, id);
			call1(&b, "POSIX timer: count ids", SYS_timer_delete, *next);
		}
		r = batch_run(&b);
		batch_clear(&b);
	}
	return r;
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

static int by_id(const void *a, const void *b)
{
	uint32_t x = (*(PosixTimerEntry *const *)a)->it_id, y = (*(PosixTimerEntry *const *)b)->it_id;

	return x < y ? -1 : x > y;
}

static int posixtimer_restore(struct session *s, struct thread *t, struct batch *b)
{
	TaskTimersEntry *e = t->core->tc->timers;
	bool told;
	unsigned n;
	int32_t next = 0;
	int r;

	if (!e->n_posix)
		return 0;
	n = call5(b, NULL, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS, 1, 0, 0, 0);
	r = batch_run(b);
	told = r == 0 && batch_ret(b, n) == 0;
	batch_clear(b);
	qsort(e->posix, e->n_posix, sizeof(*e->posix), by_id);
	for (size_t i = 0; r == 0 && i < e->n_posix; i++, next++) {
		if (!told)
			r = ids_count(s, t, &next, e->posix[i]->it_id);
		if (r == 0)
			r = timer_make(s, maker_of(t, e->posix[i]), e->posix[i]);
	}
	call5(b, NULL, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS, 0, 0, 0, 0);
	return r;
}

const struct task_kind task_kind_posixtimer = {
	.name = "POSIX timer",
	.stage = STAGE_TIMERS,
	.more = posixtimer_more,
	.restore = posixtimer_restore,
};
