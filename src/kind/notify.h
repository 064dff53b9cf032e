/* SPDX-License-Identifier: Apache-2.0 */
/* notify: listeners of seccomp filters, which fd/notify.c describes and task/seccomp.c makes. */
#ifndef KIND_NOTIFY_H
#define KIND_NOTIFY_H

#include "task/batch.h"

#define NOTIFY_LINK "anon_inode:seccomp notify" /* in /proc/PID/fd */

/** notify_note - dump: the tree has a listener */
void notify_note(struct session *s, uint32_t id);
/** notify_noted - how many, and the file id of the last */
unsigned notify_noted(struct session *s, uint32_t *ret_id);
/**
 * notify_place - restore: give a listener to all who have it
 * @t: who made it, under which number; that is closed
 */
int notify_place(struct session *s, uint32_t id, struct thread *t, int num);

#endif
