/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem kinds: sorts of mappings. One file per sort in kind/mem/, found by its name; nobody includes a
 * kind. Exactly one claims a mapping; the family reads /proc, copies pages and fills them in again.
 */
#ifndef KIND_MEM_H
#define KIND_MEM_H

#include "image/page.h"
#include "images/vma.pb-c.h"
#include "task/batch.h"

#include <sys/stat.h>

#define PKEYS_MAX 16 /* protection keys; 0 is what all memory has */

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
	VMA_URING = 0x40000000, /* ours: memory of an io_uring, shmid is its file id */
};

/* One mapping of a stopped task; borrowed. */
struct mem_view {
	struct task *task;
	VmaEntry *e;	   /* start, end, pgoff, prot, flags, madv are filled in */
	const char *name;  /* last column of /proc/PID/maps, "" if none */
	const char *flags; /* VmFlags line: two letters each */
	bool shared;	   /* "s" in the permissions */
	uint64_t dev, ino; /* of the mapped file; ino 0: none */
	uint64_t anon_huge; /* bytes mapped by huge pages */
	uint64_t page;	    /* bytes of a page, as mappings of hugetlbfs have others */
};

/* One mapping being restored. */
struct mem_map {
	const VmaEntry *e;
	const struct mem_kind *kind;
	int fd;	 /* file it maps: ours, borrowed from the family; -1 none */
	int num; /* the same in the task while mappings are made; -1 */
	bool filled; /* private: pages are read into it */
};

struct mem_kind {
	const char *name;
	/** claims a mapping at dump */
	bool (*is)(const struct mem_view *v);
	/** fill v->e's status and shmid. 0; 1: the mapping is not recorded; -errno */
	int (*dump)(struct session *s, const struct mem_view *v);
	/** claims a mapping at restore, by its status */
	bool (*owns)(const VmaEntry *e);
	/** ours to open: *ret_fd is what is to be mapped, -1 none; owned by the family */
	int (*open)(struct session *s, struct task *task, const VmaEntry *e, int *ret_fd);
	/** add the calls that make the mapping; private ones that are filled later writable */
	int (*map)(struct session *s, struct mem_map *m, struct batch *b);
	bool pages; /* private contents are stored */
};

extern const struct mem_kind *const mem_kinds[]; /* NULL at the end */

/** mem_mmap - the plain mmap() of a mapping, as most kinds need it */
int mem_mmap(struct session *s, struct mem_map *m, struct batch *b);
/** mem_same_program - born by fork() without exec() since: the same random addresses */
bool mem_same_program(const MmEntry *a, const MmEntry *b);
/* mmap() flags of mappings of huge pages of one size: MAP_HUGETLB and the size's logarithm */
#define VMA_HUGE (0x40000u | 0x3fu << 26)
static inline bool vma_private(const VmaEntry *e)
{
	return e->status & (VMA_FILE_PRIVATE | VMA_ANON_PRIVATE);
}

/* ---- for flow: dump ---- */

/** mem_shared_with - the first task before task number n of the tree that has the same memory, or NULL */
struct task *mem_shared_with(const struct tree *tree, size_t n);
/** mem_note - task number n of the tree, from /proc: mappings, mm fields, auxv; fills mm, the leader's insn */
int mem_note(struct session *s, struct tree *tree, size_t n);
/** mem_exit_insn - address of a system call instruction in the task's code */
int mem_exit_insn(struct session *s, struct task *task, uint64_t *ret);
/** mem_ask - add the calls whose answers mem_tell() puts into task->mm: brk, dumpable, THP */
void mem_ask(struct session *s, struct task *task, struct batch *b);
int mem_tell(struct session *s, struct task *task, struct batch *b);
/** mem_dump - pages of every task, mm-P.img */
int mem_dump(struct session *s, struct tree *tree);

/* ---- for flow: restore ---- */

/** mem_read - mm-P.img and pagemap of every live task, checked */
int mem_read(struct session *s, struct tree *tree);
/** mem_hole - an address where len bytes are free in every task and in the supervisor */
int mem_hole(struct session *s, struct tree *tree, size_t len, uint64_t *ret);
/**
 * mem_build - in a new task, whose memory is its parent's or the supervisor's: mappings and pages
 * What parent and child share by copy-on-write stays shared.
 */
int mem_build(struct session *s, struct task *task);
/** mem_finish - after its children were born: protections, advice, locks, exe link, mm fields */
int mem_finish(struct session *s, struct task *task);
void mem_end(struct session *s, struct tree *tree);

#endif
