/* SPDX-License-Identifier: Apache-2.0 */
/* mem kinds: sorts of mappings. One file per sort in kind/mem/, found by its name. */
#ifndef KIND_MEM_H
#define KIND_MEM_H

#include "images/vma.pb-c.h"
#include "task/batch.h"

#include <sys/stat.h>

/* wire: vma_entry.status */
enum vma_status {
	VMA_REGULAR = 0x1,
	VMA_VSYSCALL = 0x4,
	VMA_VDSO = 0x8,
	VMA_HEAP = 0x20,
	VMA_FILE_PRIVATE = 0x40,
	VMA_FILE_SHARED = 0x80,
	VMA_ANON_SHARED = 0x100,
	VMA_ANON_PRIVATE = 0x200,
	VMA_SYSVIPC = 0x400,
	VMA_SOCKET = 0x800,
	VMA_VVAR = 0x1000,
	VMA_AIORING = 0x2000,
	VMA_MEMFD = 0x4000,
	VMA_SHSTK = 0x8000,
	VMA_GUARD = 0x10000,
	VMA_UPROBES = 0x20000,
};

struct mem_kind {
	const char *name;
};

extern const struct mem_kind *const mem_kinds[];

#endif
