/* SPDX-License-Identifier: Apache-2.0 */
/* mem-numa: memory policies of mappings (mbind(2)); those of threads are in task/numa.c. */
#ifndef KIND_MEM_NUMA_H
#define KIND_MEM_NUMA_H

#include "kind/mem.h"

/** mem_numa_ask - dump: fill policy and nodes of the task's mappings; b is empty */
int mem_numa_ask(struct session *s, struct task *k, struct batch *b);
/** mem_numa_restore - set them, and move pages that are elsewhere */
int mem_numa_restore(struct session *s, struct task *k, struct batch *b);

#endif
