/* SPDX-License-Identifier: Apache-2.0 */
/* trace-own: what the two halves of the tracer have in common: trace-stop.c, up to where all stand, and trace.c. */
#ifndef TASK_TRACE_OWN_H
#define TASK_TRACE_OWN_H

#include "task/trace.h"

#include <sys/ptrace.h>

#ifndef PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG
#define PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG 0x4210
#define PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211
#endif
#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif

struct sud_config {
	uint64_t mode, selector, offset, len;
};

/** trace_fail - say why, once; returns r */
int trace_fail(struct trace_table *tt, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/** trace_ptrace - ptrace(); -errno */
long trace_ptrace(long req, pid_t tid, void *addr, void *data);
/** trace_event - which PTRACE_EVENT_ a status of waitpid() tells of, 0 none */
int trace_event(int status);
/** trace_wait_stop - see there; 1 stopped, 0 gone, -ETIMEDOUT when the alarm rang */
int trace_wait_stop(struct tracee *t, bool pass);
/** trace_regset - read a set of registers; *n: room, then length */
int trace_regset(struct tracee *t, int type, void *buf, size_t *n);
/** trace_alarm_every - waits end after ms, and again after again_ms, should the first ring have come between two waits */
void trace_alarm_every(unsigned ms, unsigned again_ms);
/** trace_alarm - the same, again after a second; 0: none any more */
void trace_alarm(unsigned ms);

/** trace_find - the row of a thread that is not gone, or NULL */
struct tracee *trace_find(struct trace_table *tt, pid_t tid);
/** trace_zombie - is that process known to be a zombie */
bool trace_zombie(struct trace_table *tt, pid_t pid);
/** trace_freeze - freeze or thaw the tasks' cgroup */
int trace_freeze(struct trace_table *tt, bool frozen);

#endif
