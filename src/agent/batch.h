/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page layout that the supervisor and the agent share. Fixed widths; nothing here is a pointer
 * that must mean the same on both sides, except what a system call takes.
 *
 * area:  [head, 4 KiB] [agent code, 4 KiB] [slot 0] [slot 1] ...
 * slot:  [header] [calls] [arena] ... [stack, 4 KiB]
 *
 * One slot per thread. The supervisor writes calls, raises cmd and wakes; the agent executes them,
 * stores the results, sets done = cmd and wakes.
 */
#ifndef AGENT_BATCH_H
#define AGENT_BATCH_H

#include <linux/futex.h>
#include <stdint.h>

#define AREA_HEAD 4096u
#define AREA_CODE 4096u
#define SLOT_SIZE 65536u
#define SLOT_CALLS 256u   /* offset of the calls in a slot */
#define SLOT_CALLS_MAX 400u
#define SLOT_FRAME 29056u /* offset of the frame that cures the thread when all who could are dead */
#define SLOT_FRAME_SIZE 3712u
#define SLOT_ARENA 32768u /* offset of the arena: memory that arguments point to */
#define SLOT_ARENA_SIZE 28672u
#define SLOT_STACK (SLOT_SIZE) /* the stack grows down from the end of the slot */

enum agent_nr {
	AGENT_MEMCPY = -1, /* args: to, from, n (n <= arena) */
	AGENT_STORE32 = -2, /* args: to, value: put a result into a struct */
	AGENT_STORE64 = -3,
};
enum agent_flag {
	AGENT_STOP = 1, /* an error ends the batch: later calls are not made */
	AGENT_CLONE = 2, /* clone3(): args[2] is the slot the child works in */
};

struct agent_call {
	int32_t nr;	/* system call number or enum agent_nr */
	uint8_t retref; /* bit i: args[i] is the number of an earlier call whose result is meant */
	uint8_t flags;
	uint8_t done; /* 1: executed */
	uint8_t pad;
	int64_t args[6];
	int64_t ret;
	int64_t pad2;
};
_Static_assert(sizeof(struct agent_call) == 72, "the agent walks these");
_Static_assert(SLOT_CALLS + SLOT_CALLS_MAX * sizeof(struct agent_call) <= SLOT_FRAME, "calls fit");
_Static_assert(SLOT_FRAME % 64 == 0 && SLOT_FRAME + SLOT_FRAME_SIZE <= SLOT_ARENA, "the frame fits");
_Static_assert(SLOT_ARENA + SLOT_ARENA_SIZE + 4096 == SLOT_SIZE, "the stack has 4 KiB");

/* A robust futex: when the process that has it on its list ends, the kernel sets FUTEX_OWNER_DIED. */
struct agent_life {
	uint64_t node; /* of that process's list; the word stands right behind it */
	uint32_t word;
	uint32_t pad;
};
#define LIFE_WORD 8 /* offset of word */

struct agent_slot {
	uint32_t cmd;  /* futex: number of the batch to execute */
	uint32_t done; /* futex: number of the last batch executed */
	uint32_t n;    /* calls of this batch */
	uint32_t executed;
	uint32_t tid;  /* set by the agent at its first breath: gettid() as the task sees it */
	uint32_t pad;
	uint64_t owner;   /* address of the supervisor's word in the task */
	uint64_t tracer;  /* address of the warden's; restore: the same as owner */
	uint64_t orphan;  /* what to do when both died, enum agent_orphan */
	uint64_t frame;   /* ORPHAN_CURE: address of the frame for rt_sigreturn(2) */
	struct agent_life life[2]; /* dump: the supervisor's and the warden's */
};
_Static_assert(sizeof(struct agent_slot) <= SLOT_CALLS, "the header has room");

enum agent_orphan {
	ORPHAN_EXIT = 0, /* restore, not seized yet: leave nothing behind */
	ORPHAN_WAIT = 1, /* the warden sees to it; in a dump, if it is dead: nothing can be done */
	ORPHAN_CURE = 2, /* dump: go on as found */
};

/* First page of the area. */
struct agent_head {
	struct agent_life life; /* restore: the supervisor's, and its list */
	struct robust_list_head list;
};

#endif
