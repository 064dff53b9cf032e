/* SPDX-License-Identifier: Apache-2.0 */
/*
 * life: words in the agents' memory that the kernel marks when one of our processes ends, however it ends
 * (struct agent_life, a robust futex). It follows a process's list for 2048 entries, so the agents of more
 * threads than that are on their own when supervisor and warden are killed together.
 */
#ifndef TASK_LIFE_H
#define TASK_LIFE_H

#include "agent/batch.h"

#include <linux/futex.h>

/** lives_begin - the calling process's list from now on, empty; NULL: none. It has to stay mapped */
void lives_begin(struct robust_list_head *list);
/** life_hang - the calling process is the one that the word stands for */
void life_hang(struct robust_list_head *list, struct agent_life *life);

#endif
