/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sock-lock: what is done to TCP sockets of stopped tasks while they are read, and how it is undone by
 * whoever finds them: the supervisor, or the warden when the supervisor is gone.
 */
#ifndef TASK_SOCK_LOCK_H
#define TASK_SOCK_LOCK_H

#include "task/trace.h"

#define SOCK_LOCK_MARK 0xC114 /* packets with this mark pass: those that a restore makes itself */

/**
 * sock_lock - let nothing in from the network: a filter on the socket drops it, the peer sends again
 * @reuse: SO_REUSEADDR, kept with the lock for sock_mend_all()
 * Return: 0, -EBUSY if the socket has a filter of its own (it stays unlocked), -errno.
 */
int sock_lock(int fd, bool reuse);
/** sock_unlock - take that filter off again; another one is left alone */
void sock_unlock(int fd);
/** sock_repair_end - repair mode off, nothing is sent; reuse: SO_REUSEADDR, which the mode forgets */
int sock_repair_end(int fd, int reuse);
/** sock_mend_all - undo all that for every socket of the table's tasks */
void sock_mend_all(const struct trace_table *tt);

/**
 * sock_hold_all - the table's tasks of a restore are about to be killed: their connections, which live already,
 * go back to repair mode and end without a word, as if the restore had never been
 */
void sock_hold_all(const struct trace_table *tt);

#endif
