// SPDX-License-Identifier: Apache-2.0
/*
 * The frame of a signal handler, made for a thread that was in none: rt_sigreturn(2) takes it as its whole state.
 * Source: sigreturn(2), <asm/sigcontext.h>, Intel SDM vol. 1, 13.4.
 */
#include "arch/arch.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <ucontext.h>

#define UC_FP_XSTATE 1
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4
#define FRAME_MASK 296 /* offset of the kernel's uc_sigmask */
#define FRAME_FP 320
#define SW_BYTES 464 /* in the legacy area: what follows is extended */
#define XSTATE_BV 512
#define XSTATE_LEAST 576
#define AMX (3ULL << 17)
#define NO_STACK 0x7fff0000 /* no ss_flags: the alternate stack stays as it is */

_Static_assert(offsetof(ucontext_t, uc_sigmask) == FRAME_MASK, "glibc's layout is the kernel's that far");

struct sw_bytes { /* struct _fpx_sw_bytes */
	uint32_t magic1, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size, pad[7];
};

static size_t xstate_used(uint64_t bv)
{
	size_t used = XSTATE_LEAST;

	for (unsigned i = 2; i < 63; i++) {
		unsigned size = 0, offset = 0, c, d;

		if ((bv >> i & 1) && __get_cpuid_count(0xd, i, &size, &offset, &c, &d) && offset + size > used)
			used = offset + size;
	}
	return used;
}

/* Floating point state: XSAVE's area with two magic numbers. */
static int frame_fp(unsigned char *fp, size_t max, const unsigned char *xstate, size_t n)
{
	struct sw_bytes sw = { .magic1 = 0x46505853 };
	uint32_t magic2 = 0x46505845;
	uint64_t bv;

	if (n < XSTATE_LEAST)
		return -ENOTSUP;
	memcpy(&bv, xstate + XSTATE_BV, sizeof(bv));
	memcpy(&sw.xfeatures, xstate + SW_BYTES, sizeof(sw.xfeatures)); /* ptrace puts XCR0 there */
	sw.xfeatures &= ~AMX;
	sw.xstate_size = xstate_used(bv);
	sw.extended_size = sw.xstate_size + sizeof(magic2);
	if ((bv & AMX) || sw.xstate_size > n || sw.extended_size > max)
		return -ENOTSUP;
	memcpy(fp, xstate, sw.xstate_size);
	memcpy(fp + SW_BYTES, &sw, sizeof(sw));
	memcpy(fp + sw.xstate_size, &magic2, sizeof(magic2));
	return 0;
}

int arch_frame(void *frame, size_t max, uint64_t at, const struct user_regs_struct *regs, const void *xstate,
	       size_t xstate_n, uint64_t sigmask)
{
	struct user_regs_struct r = *regs;
	ucontext_t uc;

	if (r.cs != 0x33 || max < FRAME_FP ||
	    frame_fp((unsigned char *)frame + FRAME_FP, max - FRAME_FP, xstate, xstate_n) < 0)
		return -ENOTSUP;
	arch_rewind(&r);
	memset(&uc, 0, sizeof(uc));
	uc.uc_flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	uc.uc_stack.ss_flags = NO_STACK;
	uc.uc_mcontext = (mcontext_t){
		.gregs = {
			[REG_R8] = r.r8, [REG_R9] = r.r9, [REG_R10] = r.r10, [REG_R11] = r.r11, [REG_R12] = r.r12,
			[REG_R13] = r.r13, [REG_R14] = r.r14, [REG_R15] = r.r15, [REG_RDI] = r.rdi,
			[REG_RSI] = r.rsi, [REG_RBP] = r.rbp, [REG_RBX] = r.rbx, [REG_RDX] = r.rdx,
			[REG_RAX] = r.rax, [REG_RCX] = r.rcx, [REG_RSP] = r.rsp, [REG_RIP] = r.rip,
			[REG_EFL] = r.eflags, [REG_CSGSFS] = r.cs | r.ss << 48,
		},
		.fpregs = (void *)(uintptr_t)(at + FRAME_FP),
	};
	memcpy(frame, &uc, FRAME_MASK);
	memcpy((char *)frame + FRAME_MASK, &sigmask, sizeof(sigmask));
	return 0;
}
