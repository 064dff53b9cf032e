/* SPDX-License-Identifier: Apache-2.0 */
/* creds: who a task is while it is on its way. */
#ifndef KIND_CREDS_H
#define KIND_CREDS_H

#include "task/tree.h"

/**
 * creds_before - restore: a task is about to enter its user namespace: it takes what cannot be had there, users
 * and groups that it does not map
 */
int creds_before(struct session *s, struct task *k);
/**
 * creds_inside - restore: it has entered that. If there is no root there it becomes a user that it maps, with all
 * capabilities: nobody can go back to one that is not mapped, and what is the task's own may be barred to others
 */
int creds_inside(struct session *s, struct task *k);

#endif
