// SPDX-License-Identifier: Apache-2.0
/*
 * prctl: small attributes of threads and processes that the kernel keeps in task_struct.
 *
 * Kept:   name, child subreaper, personality, OOM score, robust futex list,
 *         address cleared at thread exit, restartable sequences registration, membarrier registrations,
 *         timer slack, login uid, coredump_filter, MDWE, memory merge, I/O flusher.
 * Kernel: prctl(2), get_robust_list(2), PTRACE_GET_RSEQ_CONFIGURATION, membarrier(2).
 */
#include "kind/task.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/ids.h"

#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define MEMBARRIER_GET_REGISTRATIONS (1 << 9)
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif

static int prctl_ask(struct session *s, struct thread *t, struct batch *b)
{
	call5(b, "tid address: read", SYS_prctl, PR_GET_TID_ADDRESS, batch_mem(b, NULL, 8, NULL), 0, 0, 0);
	call3(b, "robust list: read", SYS_get_robust_list, 0, batch_mem(b, NULL, 8, NULL),
	      batch_mem(b, NULL, 8, NULL));
	call5(b, "subreaper: read", SYS_prctl, PR_GET_CHILD_SUBREAPER, batch_mem(b, NULL, 4, NULL), 0, 0,
	      0);
	call3(b, NULL, SYS_membarrier, MEMBARRIER_GET_REGISTRATIONS, 0, 0);
	call5(b, NULL, SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
	call5(b, NULL, SYS_prctl, PR_GET_IO_FLUSHER, 0, 0, 0, 0);
	call5(b, NULL, SYS_prctl, PR_GET_MDWE, 0, 0, 0, 0);
	call5(b, NULL, SYS_prctl, PR_GET_MEMORY_MERGE, 0, 0, 0, 0);
	return 0;
}

static int leader_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	TaskCoreEntry *tc = t->core->tc;
	own_mem char *text = NULL;
	int r = text_read(t->task->proc, "personality", &text, NULL);

	if (r < 0)
		return session_fail(s, r, "task %d: read its personality", t->task->vpid);
	tc->personality = atoi(text); /* the format takes the hexadecimal digits as decimal ones */
	if (*(uint32_t *)batch_local(b, b->calls[first + 2].args[1]))
		tc->has_child_subreaper = tc->child_subreaper = true;
	if (batch_ret(b, first + 3) > 0) {
		tc->has_membarrier_registration_mask = true;
		tc->membarrier_registration_mask = batch_ret(b, first + 3);
	}
	if (batch_ret(b, first + 6) > 0) {
		tc->has_mdwe = true;
		tc->mdwe = batch_ret(b, first + 6);
	}
	if (batch_ret(b, first + 7) > 0)
		tc->has_memory_merge = tc->memory_merge = true;
	free(take_mem(text));
	if (text_read(t->task->proc, "oom_score_adj", &text, NULL) == 0) {
		tc->has_oom_score_adj = true;
		tc->oom_score_adj = atoi(text);
	}
	free(take_mem(text));
	if (text_read(t->task->proc, "coredump_filter", &text, NULL) == 0) {
		t->task->mm->has_coredump_filter = true;
		t->task->mm->coredump_filter = strtoul(text, NULL, 16);
	}
	free(take_mem(text));
	if (text_read(t->task->proc, "loginuid", &text, NULL) == 0 && strtoul(text, NULL, 10) != UINT32_MAX) {
		tc->loginuid = uid_in(s, strtoul(text, NULL, 10));
		tc->has_loginuid = tc->loginuid != ID_NONE;
	}
	if (t->tr->stop_signo && t->task->state == TASK_STOPPED) {
		tc->has_stop_signo = true;
		tc->stop_signo = t->tr->stop_signo;
	}
	return 0;
}

static int prctl_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	ThreadCoreEntry *tc = t->core->thread_core;
	own_mem char *comm = NULL, *persona_text = NULL;

	if (text_readf(AT_FDCWD, &persona_text, "/proc/%d/task/%d/personality", t->task->pid, t->tid) == 0) {
		tc->has_personality = true;
		tc->personality = strtoul(persona_text, NULL, 16);
	}
	t->core->thread_info->clear_tid_addr = *(uint64_t *)batch_local(b, b->calls[first].args[1]);
	tc->futex_rla = *(uint64_t *)batch_local(b, b->calls[first + 1].args[1]);
	tc->futex_rla_len = *(uint64_t *)batch_local(b, b->calls[first + 1].args[2]);
	if (text_readf(AT_FDCWD, &comm, "/proc/%d/task/%d/comm", t->task->pid, t->tid) == 0) {
		if (*comm) /* it may have lines itself */
			comm[strlen(comm) - 1] = 0;
		tc->comm = xstrdup(comm);
	}
	if (batch_ret(b, first + 4) > 0) { /* 0: a real-time thread, which has none */
		tc->has_timer_slack = true;
		tc->timer_slack = batch_ret(b, first + 4);
	}
	if (batch_ret(b, first + 5) > 0)
		tc->has_io_flusher = tc->io_flusher = true;
	if (t->tr->rseq_ptr) {
		RseqEntry *e = xalloc(sizeof(*e));

		rseq_entry__init(e);
		e->rseq_abi_pointer = t->tr->rseq_ptr;
		e->rseq_abi_size = t->tr->rseq_size;
		e->signature = t->tr->rseq_sig;
		tc->rseq_entry = e;
	}
	return t->core->tc ? leader_dump(s, t, b, first) : 0;
}

/* Inherited from whoever logged in: written only where it differs, as that takes a right. */
static void loginuid_restore(struct session *s, const struct task *k, uint32_t uid)
{
	own_mem char *now = NULL, *text = xprintf("%u", uid);

	if (text_read(k->proc, "loginuid", &now, NULL) == 0 && strtoul(now, NULL, 10) != uid &&
	    text_write(k->proc, "loginuid", text) < 0)
		session_warn(s, "task %d: login uid %u cannot be set", k->vpid, uid);
}

/* Inherited, too. */
static void filter_restore(struct session *s, const struct task *k)
{
	own_mem char *now = NULL, *text = xprintf("0x%x", k->mm->coredump_filter);

	if (k->mm->has_coredump_filter && text_read(k->proc, "coredump_filter", &now, NULL) == 0 &&
	    strtoul(now, NULL, 16) != k->mm->coredump_filter && text_write(k->proc, "coredump_filter", text) < 0)
		session_warn(s, "task %d: coredump_filter %s cannot be set", k->vpid, text);
}

/* Without our field, the whole process has what the digits of the leader's were. */
static uint32_t persona(const struct thread *t)
{
	const ThreadCoreEntry *tc = t->core->thread_core;
	char digits[16];

	snprintf(digits, sizeof(digits), "%u", task_leader(t->task)->core->tc->personality);
	return tc->has_personality ? tc->personality : strtoul(digits, NULL, 16);
}

static void leader_restore(struct session *s, struct thread *t, struct batch *b)
{
	const TaskCoreEntry *tc = t->core->tc;
	char text[16];

	if (tc->has_child_subreaper && tc->child_subreaper)
		call5(b, "set subreaper", SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	for (int i = 0; i < 31; i++) /* a registration command is the bit itself */
		if (tc->has_membarrier_registration_mask && tc->membarrier_registration_mask >> i & 1)
			call3(b, NULL, SYS_membarrier, 1 << i, 0, 0);
	if (tc->has_mdwe)
		call5(b, "refuse memory that is writable and executable (PR_SET_MDWE)", SYS_prctl, PR_SET_MDWE, tc->mdwe,
		      0, 0, 0);
	if (tc->has_memory_merge && tc->memory_merge)
		call5(b, "merge equal pages (PR_SET_MEMORY_MERGE)", SYS_prctl, PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
	if (tc->has_loginuid)
		loginuid_restore(s, t->task, uid_out(s, tc->loginuid));
	filter_restore(s, t->task);
	if (tc->has_oom_score_adj) {
		snprintf(text, sizeof(text), "%d", tc->oom_score_adj);
		if (text_write(t->task->proc, "oom_score_adj", text) < 0)
			session_warn(s, "task %d: oom_score_adj %s cannot be set", t->task->vpid, text);
	}
}

static int prctl_restore(struct session *s, struct thread *t, struct batch *b)
{
	const ThreadCoreEntry *tc = t->core->thread_core;
	const char *comm = tc->comm ? tc->comm : t->core->tc ? t->core->tc->comm : "";

	if (strlen(comm) > 15)
		return session_fail(s, -EBADMSG, "core-%d.img: name %.20s is too long", t->vtid, comm);
	call1(b, "set the personality", SYS_personality, persona(t));
	call2(b, "set the name", SYS_prctl, PR_SET_NAME, batch_str(b, comm));
	call1(b, NULL, SYS_set_tid_address, t->core->thread_info->clear_tid_addr);
	if (tc->futex_rla)
		call2(b, "set the robust list", SYS_set_robust_list, tc->futex_rla, tc->futex_rla_len);
	if (tc->rseq_entry && tc->rseq_entry->rseq_abi_pointer)
		call4(b, "register restartable sequences", SYS_rseq, tc->rseq_entry->rseq_abi_pointer,
		      tc->rseq_entry->rseq_abi_size, 0, tc->rseq_entry->signature);
	if (tc->has_timer_slack)
		call5(b, NULL, SYS_prctl, PR_SET_TIMERSLACK, tc->timer_slack, 0, 0, 0);
	if (tc->has_io_flusher && tc->io_flusher)
		call5(b, "be an I/O flusher (PR_SET_IO_FLUSHER)", SYS_prctl, PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	if (t->core->tc)
		leader_restore(s, t, b);
	return 0;
}

const struct task_kind task_kind_prctl = {
	.name = "attributes",
	.stage = STAGE_ATTR,
	.per_thread = true,
	.ask = prctl_ask,
	.dump = prctl_dump,
	.restore = prctl_restore,
};
