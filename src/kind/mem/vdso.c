// SPDX-License-Identifier: Apache-2.0
/*
 * vdso: the kernel's code and data in every task: [vdso], [vvar], [vsyscall].
 *
 * Kept:   the addresses; the code is the running kernel's. An image's differing vdso is kept as memory
 *         whose entry points jump into the running kernel's (mem-vdso.c).
 * Kernel: arch_prctl(ARCH_MAP_VDSO_64), CONFIG_CHECKPOINT_RESTORE.
 */
#include "kind/mem.h"

#include <string.h>
#include <sys/mman.h>

static bool vdso_is(const struct mem_view *v)
{
	return !v->ino && (!strcmp(v->name, "[vdso]") || !strncmp(v->name, "[vvar", 5) ||
			   !strcmp(v->name, "[vsyscall]"));
}

static int vdso_dump(struct session *s, const struct mem_view *v)
{
	v->e->flags |= MAP_PRIVATE | MAP_ANONYMOUS;
	if (!strcmp(v->name, "[vsyscall]"))
		v->e->status = VMA_VSYSCALL | VMA_ANON_PRIVATE;
	else
		v->e->status = VMA_REGULAR | VMA_ANON_PRIVATE |
			       (strcmp(v->name, "[vdso]") ? VMA_VVAR : VMA_VDSO);
	return 0;
}

static bool vdso_owns(const VmaEntry *e)
{
	return e->status & (VMA_VDSO | VMA_VVAR | VMA_VSYSCALL);
}

/* made all at once by the family, before anything else */
static int vdso_map(struct session *s, struct mem_map *m, struct batch *b)
{
	return 0;
}

const struct mem_kind mem_kind_vdso = {
	.name = "vdso",
	.is = vdso_is,
	.dump = vdso_dump,
	.owns = vdso_owns,
	.map = vdso_map,
};
