/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace: what the tracer does, by ptrace and the freezer, on a table of threads in shared memory.
 * These functions run in the warden; the supervisor calls them through warden.h.
 */
#ifndef TASK_TRACE_H
#define TASK_TRACE_H

#include "task/life.h"
#include "task/tracee.h"

#include <stddef.h>

#define TRACE_MAX 65536u      /* threads; the memory is only reserved */
#define TRACE_TIDS 4194304u   /* the kernel's PID_MAX_LIMIT; the memory is only reserved */
#define TRACE_CONNS 65536u /* connections of a restore */
#define TRACE_SCRATCH 65536u /* bytes for one request's data */

enum freezer_kind { FREEZER_NONE, FREEZER_V1, FREEZER_V2 };
enum trace_how { TRACE_KILL, TRACE_RUN, TRACE_STOP };

struct trace_table {
	struct robust_list_head lives[2]; /* the supervisor's and the warden's, see agent_life */
	pid_t supervisor;
	bool restoring; /* the tasks are ours: kill them when the supervisor dies */
	bool done;	/* the supervisor has nothing more to ask for: if it goes now, it was not killed */
	bool let_go;	/* all was released: nothing is undone any more */
	bool disowned;	/* ... but the caller cannot be told of it: the tasks are ended */
	bool repairing; /* dump: TCP sockets may be locked or in repair mode, see sock-lock.h.
			   restore: connections may live already, and must end without a word if it fails */
	enum freezer_kind freezer;
	char freezer_path[4096];
	bool was_frozen, froze;
	uint64_t stop_ns;      /* when the first thread was stopped (CLOCK_MONOTONIC) */
	uint64_t stopped_ns;   /* when the last was */
	int why_r;
	char why[1000];
	uint32_t n;
	unsigned char scratch[TRACE_SCRATCH] __attribute__((aligned(64)));
	uint32_t n_conns;
	ino_t conns[TRACE_CONNS]; /* restored connections that live already; not what the caller has passed in */
	uint32_t by_tid[TRACE_TIDS]; /* 1 + the last row of that thread; 0 none */
	struct tracee t[TRACE_MAX];
};

/** trace_row - the next row, for that thread; NULL: the table is full. It counts after trace_keep() */
struct tracee *trace_row(struct trace_table *tt, pid_t tid);
void trace_keep(struct trace_table *tt, const struct tracee *t);

/** trace_is_worker - a thread that the kernel made and that never runs the program, as io_uring has them */
bool trace_is_worker(pid_t tid);
/** trace_stop - stop the tree of root until it is closed; notes registers. -errno, reason in why */
int trace_stop(struct trace_table *tt, pid_t root, unsigned timeout_ms);
/** trace_inject - make the agent's area in every leader's memory that has area_len: t->area */
int trace_inject(struct trace_table *tt);
/** trace_run - let every thread that has a slot run its agent */
int trace_run(struct trace_table *tt);
/** trace_pump - look at events of running agents; -ESRCH if a thread died */
int trace_pump(struct trace_table *tt);
/** trace_cure - take the agents out again and let everything go as it was found */
int trace_cure(struct trace_table *tt, enum trace_how how);
/** trace_recover - the tracer was killed: another process takes its threads and cures them */
int trace_recover(struct trace_table *tt);
/** trace_kill - SIGKILL and wait until all are gone */
int trace_kill(struct trace_table *tt);
/** trace_seize - restore: seize the threads that are TRACEE_NONE; they die with the tracer */
int trace_seize(struct trace_table *tt);
/** trace_ready - restore: stop all agents, load registers and masks from the table, unmap the areas */
int trace_ready(struct trace_table *tt);
/** trace_release - restore, all are ready: let go; the root's process comes last */
int trace_release(struct trace_table *tt, enum trace_how how);

#endif
