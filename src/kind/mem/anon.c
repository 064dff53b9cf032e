// SPDX-License-Identifier: Apache-2.0
/*
 * anon: private anonymous memory: heap, stacks, arenas, MAP_PRIVATE|MAP_ANONYMOUS, also MAP_HUGETLB.
 *
 * Kept:   address, protection, growth, huge page advice, other advice, locks (MLOCK_ONFAULT, mlockall(MCL_FUTURE)), seals
 *         (mseal), whether the kernel may drop it (MAP_DROPPABLE), pages.
 * Lost:   nothing.
 * Kernel: mm/mmap.c; /proc/PID/smaps.
 */
#include "kind/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static bool anon_is(const struct mem_view *v)
{
	if (v->ino)
		return !v->shared && !strncmp(v->name, "/anon_hugepage", 14);
	return !v->shared &&
	       (!v->name[0] || !strcmp(v->name, "[heap]") || !strncmp(v->name, "[stack", 6) ||
		!strncmp(v->name, "[anon:", 6));
}

static int anon_dump(struct session *s, const struct mem_view *v)
{
	v->e->status = VMA_REGULAR | VMA_ANON_PRIVATE;
	v->e->flags |= MAP_PRIVATE | MAP_ANONYMOUS;
	v->e->pgoff = 0;
	if (!strcmp(v->name, "[heap]"))
		v->e->status |= VMA_HEAP;
	if (strstr(v->flags, " ss"))
		return session_fail(s, -ENOTSUP,
				    "task %d: mapping %llx is a shadow stack, which cannot be restored yet",
				    v->task->vpid, (unsigned long long)v->e->start);
	return 0;
}

static bool anon_owns(const VmaEntry *e)
{
	return (e->status & VMA_ANON_PRIVATE) &&
	       !(e->status & (VMA_VDSO | VMA_VVAR | VMA_AIORING | VMA_SHSTK));
}

const struct mem_kind mem_kind_anon = {
	.name = "anonymous",
	.is = anon_is,
	.dump = anon_dump,
	.owns = anon_owns,
	.map = mem_mmap,
	.pages = true,
};
