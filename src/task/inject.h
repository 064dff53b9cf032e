/* SPDX-License-Identifier: Apache-2.0 */
/* inject: the agent's memory: in running tasks (dump) and for new ones (restore). */
#ifndef TASK_INJECT_H
#define TASK_INJECT_H

#include "task/batch.h"

/**
 * inject_all - put an agent into every stopped thread of the tree and let it wait for batches
 * Every task's leader row has insn set (address of a syscall instruction).
 */
int inject_all(struct session *s, struct tree *tree);
/**
 * area_new - memory for n_slots agents, mapped shared at a fixed address in the supervisor; new
 * tasks inherit it
 * @at: address, free in the supervisor
 */
int area_new(struct session *s, uint64_t at, unsigned n_slots, struct area **ret);
/** area_size - bytes of an area with that many slots */
size_t area_size(unsigned n_slots);
/** area_slot - address of a slot as the task sees it */
uint64_t area_slot(const struct area *a, unsigned slot);
uint64_t area_entry(const struct area *a);
void area_free(struct area *a);
/** area_own - the supervisor's death is to end all agents of the area */
void area_own(struct area *a);
/** area_keep - not any more: all are seized, and the warden ends them when it has seen to their connections */
void area_keep(struct area *a);

#endif
