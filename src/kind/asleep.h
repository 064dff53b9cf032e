/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asleep: since when a thread sleeps in a call with a timeout, which the kernel tells nobody.
 *
 * Where a thread ran last is in /proc/PID/task/TID/sched as long as nobody wakes it: it is read before the stop. That
 * it is the same sleep which the stop ends is seen by the count of its switches.
 */
#ifndef KIND_ASLEEP_H
#define KIND_ASLEEP_H

#include "task/tree.h"

/** asleep_note - preflight: the thread runs; call: what it is in */
void asleep_note(struct session *s, const struct thread *t, long call);
/** asleep_stopped - the thread is stopped, no agent has run in it yet */
void asleep_stopped(struct session *s, const struct thread *t);
/** asleep_for - ns that it had been in the call when it was stopped, or less; 0 unknown */
uint64_t asleep_for(struct session *s, const struct thread *t, long call);

#endif
