/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tracee: a seized thread as the tracer sees it. These live in memory that the supervisor and the
 * warden share, so that either can let the thread go when the other is gone.
 */
#ifndef TASK_TRACEE_H
#define TASK_TRACEE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#define XSTATE_MAX 11264 /* bytes; AVX-512 with AMX needs 11008 */
#define TRACEE_PENDING 64 /* pending signals kept here of each queue; the rest is asked for */

enum tracee_state {
	TRACEE_NONE = 0,
	TRACEE_SEIZED,	/* ours, running */
	TRACEE_STOPPED, /* at PTRACE_EVENT_STOP, registers noted */
	TRACEE_AGENT,	/* running the agent */
	TRACEE_GONE,	/* died */
	TRACEE_FREE,	/* detached */
};

struct tracee {
	pid_t tid, tgid, ppid; /* as we see them */
	enum tracee_state state;
	bool zombie;	     /* dead and not reaped; nothing else is known of it */
	bool noted;	     /* regs and sigmask hold what was found */
	bool blocked;	     /* its signals were blocked by us */
	bool at_call;	     /* at a system call stop of ours */
	bool runs_on;	     /* goes on while we stop the others, so that its parent's vfork() ends */
	bool filtered;	     /* its seccomp filters are suspended while it is ours */
	bool group_stop;     /* stopped by a job control signal before we came */
	int stop_signo;	     /* that signal */
	int late_stop;	     /* stop signal that arrived under our hands; sent again at the end */
	struct user_regs_struct regs; /* as found; rseq already looked at */
	uint64_t sigmask;
	uint64_t rseq_ptr;
	uint32_t rseq_size, rseq_sig, rseq_flags;
	uint64_t insn;	  /* leader: address of a syscall instruction in its memory */
	uint64_t area;	  /* leader: the agent's area there, 0 none */
	uint64_t area_len;
	unsigned char *local; /* leader: the area as the warden has it mapped, or NULL */
	uint32_t area_row; /* the leader's row in the table */
	uint64_t entry, slot; /* where its agent starts, and with which slot */
	uint64_t sud_mode, sud_selector, sud_offset, sud_len; /* syscall user dispatch */
	uint32_t n_pending[2]; /* private, shared (leaders only) */
	unsigned char pending[2][TRACEE_PENDING][128]; /* siginfo_t */
	uint32_t xstate_size;
	unsigned char xstate[XSTATE_MAX] __attribute__((aligned(64)));
};

#endif
