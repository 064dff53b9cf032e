/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch: system calls to be made by the agent in one thread. Add calls, run, read the answers.
 * A batch is as long as a slot has room; batch_call() runs what is there first when it is full, so
 * results of calls added before a full slot must be fetched with batch_keep() semantics: see below.
 */
#ifndef TASK_BATCH_H
#define TASK_BATCH_H

#include "agent/batch.h"
#include "task/tree.h"

/* The memory an agent works in, seen from both sides. */
struct area {
	char *local;	 /* our mapping */
	uint64_t remote; /* its address in the task(s) */
	unsigned n_slots;
	size_t len;
};

struct batch {
	struct session *s;
	struct thread *t;
	struct agent_slot *slot; /* our view */
	struct agent_call *calls;
	unsigned n;	/* calls added */
	unsigned arena; /* bytes of the arena in use */
	const char *what[SLOT_CALLS_MAX]; /* names a call whose failure is an error, else NULL */
	bool running;
};

/** batch_start - begin an empty batch for a thread whose agent is idle */
void batch_start(struct session *s, struct batch *b, struct thread *t);
/** batch_room - is there room for that many more calls and bytes of arena */
bool batch_room(const struct batch *b, unsigned calls, size_t bytes);

/**
 * batch_call - add a system call
 * @what: NULL, the caller looks at the result itself; or a literal "rlimit: set", and an error
 *        result makes batch_run() fail with that sentence
 *
 * Return: the call's number, for batch_ret() and batch_use(). There must be room.
 */
unsigned batch_call(struct batch *b, const char *what, long nr, int64_t a0, int64_t a1, int64_t a2,
		    int64_t a3, int64_t a4, int64_t a5);
/** batch_use - argument arg of call n is to be the result of the earlier call of */
void batch_use(struct batch *b, unsigned n, unsigned arg, unsigned of);
/** batch_stop - an error of call n ends the batch */
void batch_stop(struct batch *b, unsigned n);
/**
 * batch_mem - arena memory for arguments
 * @init: copied in, or NULL for zeroes
 * @ret_local: where we can write or read it; may be NULL
 * Return: its address in the task. 16-byte aligned.
 */
int64_t batch_mem(struct batch *b, const void *init, size_t n, void *ret_local);
int64_t batch_str(struct batch *b, const char *text);
/** batch_local - our view of an address in the arena that batch_mem() gave */
void *batch_local(const struct batch *b, int64_t addr);

/** batch_send - start it without waiting */
void batch_send(struct batch *b);
/** batch_done - has a batch that was sent come to its end? */
bool batch_done(const struct batch *b);
/** batch_wait - wait for the end; checks every call that has a what. 0 or -errno with the reason */
int batch_wait(struct batch *b);
/** batch_run - send and wait, then the batch is empty for new calls but its results stay readable */
int batch_run(struct batch *b);
/** batch_clear - forget calls and arena: ready for the next round */
void batch_clear(struct batch *b);
/** batch_ret - result of call n: value or -errno; -ECANCELED if it was not reached */
int64_t batch_ret(const struct batch *b, unsigned n);

/* shorthands for few arguments */
#define call1(b, w, nr, a) batch_call(b, w, nr, (int64_t)(a), 0, 0, 0, 0, 0)
#define call2(b, w, nr, a, c) batch_call(b, w, nr, (int64_t)(a), (int64_t)(c), 0, 0, 0, 0)
#define call3(b, w, nr, a, c, d)                                                                   \
	batch_call(b, w, nr, (int64_t)(a), (int64_t)(c), (int64_t)(d), 0, 0, 0)
#define call4(b, w, nr, a, c, d, e)                                                                \
	batch_call(b, w, nr, (int64_t)(a), (int64_t)(c), (int64_t)(d), (int64_t)(e), 0, 0)
#define call5(b, w, nr, a, c, d, e, f)                                                             \
	batch_call(b, w, nr, (int64_t)(a), (int64_t)(c), (int64_t)(d), (int64_t)(e), (int64_t)(f), 0)

#endif
