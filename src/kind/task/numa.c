// SPDX-License-Identifier: Apache-2.0
/*
 * numa: the memory policy of a thread (set_mempolicy(2)).
 *
 * Kept:   mode, its flags, the nodes.
 * Lost:   the policy, where none of its nodes is here (reported).
 * Kernel: get_mempolicy(2), by the thread itself.
 */
#include "kind/task.h"

#include "base/res.h"

#include <sys/syscall.h>

#define NODES 1024 /* bits */

static int numa_ask(struct session *s, struct thread *t, struct batch *b)
{
	call5(b, NULL, SYS_get_mempolicy, batch_mem(b, NULL, 4, NULL), batch_mem(b, NULL, NODES / 8, NULL), NODES, 0, 0);
	return 0;
}

static int numa_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	ThreadCoreEntry *tc = t->core->thread_core;
	const uint32_t *mode = batch_local(b, b->calls[first].args[0]);

	if (batch_ret(b, first) < 0 || !*mode)
		return 0;
	tc->has_mempolicy = tc->has_mempolicy_nodes = true;
	tc->mempolicy = *mode;
	tc->mempolicy_nodes = (ProtobufCBinaryData){ NODES / 8, xmemdup(batch_local(b, b->calls[first].args[1]), NODES / 8) };
	return 0;
}

static int numa_restore(struct session *s, struct thread *t, struct batch *b)
{
	const ThreadCoreEntry *tc = t->core->thread_core;
	char nodes[NODES / 8] = { 0 };
	int r;

	if (!tc->has_mempolicy)
		return 0;
	for (size_t i = 0; i < tc->mempolicy_nodes.len && i < sizeof(nodes); i++)
		nodes[i] = tc->mempolicy_nodes.data[i];
	call3(b, NULL, SYS_set_mempolicy, tc->mempolicy, batch_mem(b, nodes, sizeof(nodes), NULL), NODES);
	r = batch_run(b);
	if (r == 0 && batch_ret(b, 0) < 0)
		session_warn(s, "thread %d: its memory policy (set_mempolicy) cannot be had with the nodes that are here", t->vtid);
	return r;
}

const struct task_kind task_kind_numa = {
	.name = "memory policy",
	.stage = STAGE_SECCOMP, /* the agent takes its own memory by the policy of the restorer */
	.per_thread = true,
	.ask = numa_ask,
	.dump = numa_dump,
	.restore = numa_restore,
};
