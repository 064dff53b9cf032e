/* SPDX-License-Identifier: Apache-2.0 */
/* lsm: labels of security modules: AppArmor's profiles, SELinux' contexts. See --lsm-profile. */
#ifndef KIND_LSM_H
#define KIND_LSM_H

#include "images/creds.pb-c.h"
#include "images/inventory.pb-c.h"
#include "task/batch.h"

/** lsm_here - the module of this host that labels tasks */
Lsmtype lsm_here(void);
/** lsm_name - as in messages and --lsm-profile */
const char *lsm_name(Lsmtype type);
/** lsm_dump - the label of a thread into its credentials */
int lsm_dump(struct session *s, const struct thread *t, CredsEntry *e);
/** lsm_check - restore: can labels from a host with that module be given here? */
int lsm_check(struct session *s, Lsmtype dumped);
/** lsm_restore - calls by which a thread takes its label, the image's or --lsm-profile's; b may be run */
int lsm_restore(struct session *s, struct thread *t, struct batch *b, const CredsEntry *e);
/**
 * lsm_before_threads - restore: is the task to change its context before it has its other threads?
 * With them SELinux lets it change to one that is bounded only. lsm_threads() does it, when what takes rights is done.
 */
bool lsm_before_threads(struct session *s, const struct task *k);
int lsm_threads(struct session *s, struct task *k);
/** lsm_socket_label - dump: a socket's context of SELinux; owned by the caller, or NULL */
char *lsm_socket_label(int fd);
/**
 * lsm_sockets - what sockets are labelled with that we make from now on, or the agent of t, unless that is NULL
 * @label: an image's; NULL: as ever
 */
int lsm_sockets(struct session *s, struct thread *t, const char *label);
/**
 * lsm_mount_options - a mount's options without those of labels; owned by the caller
 * @context: the context that all its files have, the image's or --lsm-mount-context's; owned by the caller or NULL
 */
char *lsm_mount_options(struct session *s, const char *options, char **context);

#endif
