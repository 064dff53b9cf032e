/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warden: the tracer. A child of the supervisor that does all ptrace and holds the freezer; it keeps
 * what the kernel does not undo by itself. When the supervisor dies in a dump, the warden lets every
 * thread go as it was found and thaws the cgroup; in a restore it kills what was made.
 * See docs/design.md, "Who traces".
 */
#ifndef TASK_WARDEN_H
#define TASK_WARDEN_H

#include "task/tree.h"

#include <sys/uio.h>

/** warden_start - fork it. Nothing is stopped yet */
int warden_start(struct session *s);
/** warden_end - let go or kill (see warden_kill), and reap it. Also after failures */
void warden_end(struct session *s);

/* dump */
/**
 * warden_stop - freeze and seize the tree of root, until it is closed; note registers and masks
 * @freezer: directory of the freezer cgroup (v1 or v2), or NULL
 * On return the shared table holds a tracee for every thread; s->tree is filled by tree_note().
 */
int warden_stop(struct session *s, pid_t root, const char *freezer, unsigned timeout_ms);
struct tracee *warden_tracee(struct session *s, size_t i); /* NULL behind the last */
/** warden_finish - kill all, or cure and let go; state: 0 kill, 1 run, 2 stop */
int warden_finish(struct session *s, int how);
/** warden_undo_write - text to be written to path if the supervisor dies (thaw, unlock); "" cancels */

/* for kinds: rare requests */
/** warden_ptrace - one ptrace request on a stopped thread; data is copied in and out; its result */
long warden_ptrace(struct session *s, pid_t tid, int request, unsigned long addr, void *data,
		   size_t n);
/** warden_getregset - a register set; *n in: room, out: size */
int warden_getregset(struct session *s, pid_t tid, int type, void *data, size_t *n);

/* restore */
/** warden_adopt - from now on pid dies with us (its whole tree, when it is a pid namespace's init) */
int warden_adopt(struct session *s, pid_t pid);

#endif
