/* SPDX-License-Identifier: Apache-2.0 */
/* lend: put descriptors of ours into a task whose agent is idle. */
#ifndef TASK_LEND_H
#define TASK_LEND_H

#include "task/batch.h"

#define LEND_MAX 250 /* the kernel's SCM_MAX_FD is 253 */

/**
 * lend_fds - pass n descriptors; they land on the task's lowest free numbers, in order
 * @n: any number; sent in portions
 * @nums: where they landed; close-on-exec is set on all
 */
int lend_fds(struct session *s, struct thread *t, const int *fds, size_t n, int *nums);
static inline int lend_fd(struct session *s, struct thread *t, int fd, int *num)
{
	return lend_fds(s, t, &fd, 1, num);
}

#endif
