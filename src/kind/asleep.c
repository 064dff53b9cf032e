// SPDX-License-Identifier: Apache-2.0
#include "kind/asleep.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define CPUS_MAX 8192

struct asleep {
	long call;
	uint64_t began;	   /* CLOCK_MONOTONIC */
	uint64_t switches; /* when it slept */
	uint64_t slept;	   /* when it was stopped; 0: not the same sleep */
};

/* "se.exec_start   :   1234.567890" in ms, by the clock of the CPU it was on; "nr_voluntary_switches : 5" */
static bool sched_read(const char *text, uint64_t *ran, uint64_t *switches)
{
	const char *a = strstr(text, "se.exec_start"), *b = strstr(text, "nr_voluntary_switches");

	if (!a || !b || !(a = strchr(a, ':')) || !(b = strchr(b, ':')))
		return false;
	*ran = strtod(a + 1, NULL) * 1e6;
	*switches = strtoull(b + 1, NULL, 10);
	return *ran > 0;
}

/* CLOCK_MONOTONIC less the clock of a CPU, seen by running there ourselves; 0 unknown. */
static int64_t cpu_offset(struct session *s, unsigned cpu)
{
	struct map *known = session_map(s, "asleep: clocks of CPUs");
	unsigned long was[CPUS_MAX / 8 / sizeof(long)], one[CPUS_MAX / 8 / sizeof(long)] = { 0 };
	int64_t *offset = map_get(known, cpu + 1);
	own_mem char *text = NULL;
	uint64_t ran, switches, now;
	long n;

	if (offset)
		return *offset;
	offset = xalloc(sizeof(*offset));
	map_put(known, cpu + 1, offset);
	n = syscall(SYS_sched_getaffinity, 0, sizeof(was), was);
	if (n <= 0 || cpu >= CPUS_MAX)
		return 0;
	one[cpu / 64] = 1UL << cpu % 64;
	if (syscall(SYS_sched_setaffinity, 0, sizeof(one), one) == 0) {
		sched_yield(); /* notes the time */
		now = now_ns();
		if (text_readf(AT_FDCWD, &text, "/proc/thread-self/sched") == 0 && sched_read(text, &ran, &switches))
			*offset = (int64_t)(now - ran);
	}
	syscall(SYS_sched_setaffinity, 0, n, was);
	return *offset;
}

/* Field 39 of stat: the CPU it was on. */
static int cpu_of(const struct thread *t)
{
	own_mem char *stat = NULL;
	const char *p;

	if (text_readf(AT_FDCWD, &stat, "/proc/%d/task/%d/stat", t->task->tgid, t->tid) < 0 || !(p = strrchr(stat, ')')))
		return -1;
	for (int field = 2; field < 39 && p; field++)
		p = strchr(p + 1, ' ');
	return p ? atoi(p) : -1;
}

void asleep_note(struct session *s, const struct thread *t, long call)
{
	struct map *known = session_map(s, "asleep");
	own_mem char *text = NULL;
	uint64_t ran, switches;
	int64_t offset;
	struct asleep *a;
	int cpu;

	if (text_readf(AT_FDCWD, &text, "/proc/%d/task/%d/sched", t->task->tgid, t->tid) < 0 ||
	    !sched_read(text, &ran, &switches) || (cpu = cpu_of(t)) < 0 || !(offset = cpu_offset(s, cpu)))
		return;
	a = map_get(known, t->tid);
	if (!a) {
		a = xalloc(sizeof(*a));
		map_put(known, t->tid, a);
	}
	*a = (struct asleep){ .call = call, .began = ran + offset, .switches = switches };
}

void asleep_stopped(struct session *s, const struct thread *t)
{
	struct asleep *a = map_get(session_map(s, "asleep"), t->tid);
	own_mem char *text = NULL;
	uint64_t ran, switches, stopped;
	uint64_t ours = s->opts->freeze_cgroup ? 2 : 1; /* switches: into the freezer, into the tracer's hands */
	int64_t offset;
	int cpu;

	if (!a || text_readf(AT_FDCWD, &text, "/proc/%d/task/%d/sched", t->task->tgid, t->tid) < 0 ||
	    !sched_read(text, &ran, &switches) || switches - a->switches > ours || (cpu = cpu_of(t)) < 0 ||
	    !(offset = cpu_offset(s, cpu)))
		return;
	stopped = ran + offset; /* it ran for as long as it takes to stop */
	if (stopped <= a->began)
		return;
	a->slept = stopped - a->began;
	a->slept -= a->slept / 1000; /* the clocks may differ by so much: never too early */
	session_debug(s, "thread %d: slept for %llu ms", t->vtid, (unsigned long long)(a->slept / 1000000));
}

uint64_t asleep_for(struct session *s, const struct thread *t, long call)
{
	const struct asleep *a = map_get(session_map(s, "asleep"), t->tid);

	return a && a->call == call ? a->slept : 0;
}
