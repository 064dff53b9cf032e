/* SPDX-License-Identifier: Apache-2.0 */
/* mem-vdso: the kernel's own code in a restored task. */
#ifndef KIND_MEM_VDSO_H
#define KIND_MEM_VDSO_H

#include "image/page.h"
#include "task/batch.h"

/* behind the agent's area, where the running kernel's is put when a task brings an older one */
#define VDSO_ROOM 0x40000

/**
 * vdso_build - put [vvar] and [vdso] where the task had them
 * @inherits: its memory began as its parent's, which had them at the same place
 */
int vdso_build(struct session *s, struct task *k, const struct pages *pages, bool inherits,
	       struct batch *b);

#endif
