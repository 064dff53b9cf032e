/* SPDX-License-Identifier: Apache-2.0 */
/* uring: the memory of an io_uring, as whoever has a descriptor of it can map it (io_uring(7)). */
#ifndef KIND_URING_H
#define KIND_URING_H

#include "images/vma.pb-c.h"
#include "task/batch.h"

#include <linux/io_uring.h>

#define URING_SQ_MAX 32768u /* the kernel's IORING_MAX_ENTRIES */
#define URING_CQ_MAX 65536u

/* One that is mapped into us. */
struct uring {
	int fd; /* borrowed */
	struct io_uring_params p; /* sizes, flags, offsets */
	char *rings;
	size_t rings_len, sqes_len; /* what its kernel's layout takes, in whole pages */
	struct io_uring_sqe *sqes;
};

/** uring_setup - io_uring_setup(2) with the sizes and flags that p has; descriptor, or -errno */
int uring_setup(struct io_uring_params *p);
/** uring_map - map the ring behind u->fd, whose layout is u->p; 0 or -errno */
int uring_map(struct uring *u);
void uring_unmap(struct uring *u);
/** uring_word - one of the numbers in the rings' memory, at one of the offsets in p */
static inline uint32_t *uring_word(const struct uring *u, uint32_t offset)
{
	return (uint32_t *)(u->rings + offset);
}
/** uring_readable - how much of len bytes of such a mapping there really is: the kernel maps no more */
size_t uring_readable(const void *at, size_t len);
/** uring_place - restore: map the ring behind num where e says, for which memory keeps the place */
int uring_place(struct session *s, struct task *k, int num, const VmaEntry *e);
/** uring_note - dump: the ring with that inode number has this file id */
void uring_note(struct session *s, uint64_t ino, uint32_t id);
/** uring_noted - its file id, or 0: no task has a descriptor */
uint32_t uring_noted(struct session *s, uint64_t ino);

/** uring_noted_only - how many rings there are, and the file id of the last */
unsigned uring_noted_only(struct session *s, uint32_t *ret_id);

#define URING_REGISTERED_MAX 16u /* rings that a thread can have registered */

#endif
