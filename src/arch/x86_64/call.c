// SPDX-License-Identifier: Apache-2.0
/* Borrowing a thread's registers for one system call or for the agent. */
#include "arch/arch.h"

#include <errno.h>

long arch_find_syscall(const void *code, size_t n)
{
	const unsigned char *p = code;

	for (size_t i = 0; i + 1 < n; i++)
		if (p[i] == 0x0f && p[i + 1] == 0x05)
			return i;
	return -ENOENT;
}

void arch_call(struct user_regs_struct *r, uint64_t insn, long nr, const uint64_t args[6])
{
	r->rip = insn;
	r->rax = nr;
	r->orig_rax = -1UL; /* not in a system call: nothing to restart on the way */
	r->rdi = args[0];
	r->rsi = args[1];
	r->rdx = args[2];
	r->r10 = args[3];
	r->r8 = args[4];
	r->r9 = args[5];
	r->cs = 0x33; /* the 64-bit entry, whatever the thread was doing */
}

int64_t arch_call_ret(const struct user_regs_struct *r)
{
	return r->rax;
}

void arch_enter(struct user_regs_struct *r, uint64_t entry, uint64_t arg)
{
	r->rip = entry;
	r->rdi = arg;
	r->rax = 0;
	r->orig_rax = -1UL;
	r->cs = 0x33;
	r->ss = 0x2b;
	r->eflags &= ~0x400UL; /* DF */
}

uint64_t arch_ip(const struct user_regs_struct *r)
{
	return r->rip;
}

void arch_set_ip(struct user_regs_struct *r, uint64_t ip)
{
	r->rip = ip;
}
