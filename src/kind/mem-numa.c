// SPDX-License-Identifier: Apache-2.0
/*
 * mem-numa: memory policies of mappings (mbind(2)).
 *
 * Kept:   mode, its flags, the nodes of each mapping.
 * Lost:   a policy none of whose nodes is here (reported).
 * Kernel: get_mempolicy(2) MPOL_F_ADDR by the task itself: numa_maps would count every page.
 */
#include "kind/mem-numa.h"

#include "base/res.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define NODES 1024 /* bits */
#define MPOL_F_ADDR 2
#define MPOL_MF_MOVE 2
#define PIECE 150u /* mappings asked for at once */

static bool may_have(const VmaEntry *e)
{
	return !(e->status & (VMA_VDSO | VMA_VVAR | VMA_VSYSCALL | VMA_GUARD | VMA_AIORING));
}

static int piece_ask(struct batch *b, VmaEntry **v, size_t n)
{
	int r;

	batch_clear(b);
	for (size_t i = 0; i < n; i++)
		call5(b, NULL, SYS_get_mempolicy, batch_mem(b, NULL, 4, NULL), batch_mem(b, NULL, NODES / 8, NULL), NODES,
		      may_have(v[i]) ? v[i]->start : 0, MPOL_F_ADDR);
	r = batch_run(b);
	for (size_t i = 0; r == 0 && i < n; i++) {
		uint32_t mode = batch_ret(b, i) == 0 ? *(uint32_t *)batch_local(b, b->calls[i].args[0]) : 0;

		if (!mode)
			continue;
		v[i]->has_policy = v[i]->has_policy_nodes = true;
		v[i]->policy = mode;
		v[i]->policy_nodes = (ProtobufCBinaryData){
			NODES / 8, xmemdup(batch_local(b, b->calls[i].args[1]), NODES / 8)
		};
	}
	return r;
}

int mem_numa_ask(struct session *s, struct task *k, struct batch *b)
{
	MmEntry *mm = k->mm;
	int r = 0;

	for (size_t at = 0; r == 0 && at < mm->n_vmas; at += PIECE)
		r = piece_ask(b, mm->vmas + at, mm->n_vmas - at < PIECE ? mm->n_vmas - at : PIECE);
	return r;
}

int mem_numa_restore(struct session *s, struct task *k, struct batch *b)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < k->mm->n_vmas; i++) {
		const VmaEntry *e = k->mm->vmas[i];
		unsigned char nodes[NODES / 8] = { 0 };

		if (!e->has_policy || !may_have(e))
			continue;
		if (e->policy_nodes.len)
			memcpy(nodes, e->policy_nodes.data,
			       e->policy_nodes.len < sizeof(nodes) ? e->policy_nodes.len : sizeof(nodes));
		batch_clear(b);
		batch_call(b, NULL, SYS_mbind, e->start, e->end - e->start, e->policy, batch_mem(b, nodes, sizeof(nodes), NULL),
			   NODES, MPOL_MF_MOVE);
		r = batch_run(b);
		if (r == 0 && batch_ret(b, 0) < 0)
			session_warn(s, "task %d: the memory policy of mapping %llx (mbind) cannot be had with the nodes that are here",
				     k->vpid, (unsigned long long)e->start);
	}
	batch_clear(b);
	return r;
}
