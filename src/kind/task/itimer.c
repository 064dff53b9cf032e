// SPDX-License-Identifier: Apache-2.0
/*
 * itimer: the three interval timers of a process.
 *
 * Kept:   interval and remaining time of ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF.
 * Kernel: getitimer(2). An expired timer whose signal is not yet taken shows 0 remaining with an
 *         interval: it is armed with 1 us, since 0 would switch it off.
 */
#include "kind/task.h"

#include "base/res.h"

#include <sys/syscall.h>
#include <sys/time.h>

static int itimer_ask(struct session *s, struct thread *t, struct batch *b)
{
	for (int i = 0; i < 3; i++)
		call2(b, "interval timers: read", SYS_getitimer, i,
		      batch_mem(b, NULL, sizeof(struct itimerval), NULL));
	return 0;
}

static ItimerEntry *itimer_entry(const struct itimerval *v)
{
	ItimerEntry *e = xalloc(sizeof(*e));

	itimer_entry__init(e);
	e->isec = v->it_interval.tv_sec;
	e->iusec = v->it_interval.tv_usec;
	e->vsec = v->it_value.tv_sec;
	e->vusec = v->it_value.tv_usec;
	return e;
}

static int itimer_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	TaskTimersEntry *e = task_timers(t->core);

	e->real = itimer_entry(batch_local(b, b->calls[first].args[1]));
	e->virt = itimer_entry(batch_local(b, b->calls[first + 1].args[1]));
	e->prof = itimer_entry(batch_local(b, b->calls[first + 2].args[1]));
	return 0;
}

static int itimer_restore(struct session *s, struct thread *t, struct batch *b)
{
	const TaskTimersEntry *e = t->core->tc->timers;
	const ItimerEntry *all[3] = { e->real, e->virt, e->prof };

	for (int i = 0; i < 3; i++) {
		struct itimerval v;

		if (!all[i] || !(all[i]->isec | all[i]->iusec | all[i]->vsec | all[i]->vusec))
			continue;
		v.it_interval = (struct timeval){ all[i]->isec, all[i]->iusec };
		v.it_value = (struct timeval){ all[i]->vsec, all[i]->vusec };
		if (!v.it_value.tv_sec && !v.it_value.tv_usec)
			v.it_value.tv_usec = 1;
		call3(b, "arm it", SYS_setitimer, i, batch_mem(b, &v, sizeof(v), NULL), 0);
	}
	return 0;
}

const struct task_kind task_kind_itimer = {
	.name = "interval timer",
	.stage = STAGE_TIMERS,
	.ask = itimer_ask,
	.dump = itimer_dump,
	.restore = itimer_restore,
};
