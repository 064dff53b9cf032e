// SPDX-License-Identifier: Apache-2.0
#include "task/life.h"

#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(offsetof(struct agent_life, word) - offsetof(struct agent_life, node) == LIFE_WORD, "the kernel adds it");

void lives_begin(struct robust_list_head *list)
{
	if (list) {
		list->list.next = &list->list;
		list->futex_offset = LIFE_WORD;
		list->list_op_pending = NULL;
	}
	syscall(SYS_set_robust_list, list, sizeof(*list));
}

void life_hang(struct robust_list_head *list, struct agent_life *life)
{
	life->word = (uint32_t)syscall(SYS_gettid) | FUTEX_WAITERS;
	life->node = (uint64_t)(uintptr_t)list->list.next;
	list->list.next = (struct robust_list *)&life->node;
}
