/* SPDX-License-Identifier: Apache-2.0 */
/* arch: what differs between machines, the same names in every arch/ folder. */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

#include "images/core.pb-c.h"
#include "images/cpuinfo.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#define AGENT_SYSCALL_AT 16 /* offset in the agent's code of a syscall instruction to borrow */

/** arch_find_syscall - offset of a system call instruction in code, or -ENOENT */
long arch_find_syscall(const void *code, size_t n);
/** arch_call - registers that make a system call with the instruction at insn */
void arch_call(struct user_regs_struct *r, uint64_t insn, long nr, const uint64_t args[6]);
/** arch_call_ret - its result */
int64_t arch_call_ret(const struct user_regs_struct *r);
/** arch_enter - registers that start code at entry with one argument, as a fresh function */
void arch_enter(struct user_regs_struct *r, uint64_t entry, uint64_t arg);
uint64_t arch_ip(const struct user_regs_struct *r);
void arch_set_ip(struct user_regs_struct *r, uint64_t ip);

#define ARCH_CALL_CODE 32 /* bytes before the instruction pointer that tell which call it is */
/** arch_restarting - the system call that the kernel will resume by its own note of it; -1 none or unknown */
long arch_restarting(const struct user_regs_struct *r, const unsigned char code[ARCH_CALL_CODE]);
/** arch_call_arg - argument n of the system call a stopped thread is in */
uint64_t arch_call_arg(const struct user_regs_struct *r, unsigned n);
/** arch_resume_call - the call nr that was interrupted last in this thread goes on when it is let go */
void arch_resume_call(struct user_regs_struct *r, long nr);
/** arch_resumes - is it stopped in such a call? */
bool arch_resumes(const struct user_regs_struct *r);
/** arch_end_call - it has slept enough: a sleep returns 0, another call is made again and sees what there is */
void arch_end_call(struct user_regs_struct *r);
/** arch_enter_again - registers that are about to make a call: as if they were in it already */
void arch_enter_again(struct user_regs_struct *r);

/**
 * arch_save_regs - registers as images hold them: an interrupted system call is made again
 * @again: what arch_restarting() said, if that call can simply be made again; else -1
 */
void arch_save_regs(ThreadInfoX86 *ti, const struct user_regs_struct *r, long again);
/**
 * arch_again - a call that ended with EINTR because its thread was stopped is to be made again
 * Only calls that never restart by themselves and have done nothing when they say EINTR (signal(7)).
 */
void arch_again(struct user_regs_struct *r);
/** arch_save_exit - change saved registers: the thread makes exit(code) with the instruction at insn */
void arch_save_exit(ThreadInfoX86 *ti, uint64_t insn, int code);
void arch_load_regs(const ThreadInfoX86 *ti, struct user_regs_struct *r);
/** arch_save_xstate - floating point state. Return: what is in use and has no place in images, a bit a component */
uint64_t arch_save_xstate(ThreadInfoX86 *ti, const void *xstate, size_t n);
/** arch_load_xstate - for PTRACE_SETREGSET; bytes used, -EINVAL, or -ENODEV: this machine lacks what is in use */
int arch_load_xstate(const ThreadInfoX86 *ti, void *xstate, size_t max);

/**
 * arch_rewind - registers of a thread that stopped in a system call, such that it makes that call again
 * What the kernel does by itself where it lets an interrupted call go on. The time that is left of a sleep is
 * lost; a sleep that was resumed once already ends with EINTR.
 */
void arch_rewind(struct user_regs_struct *r);
/**
 * arch_frame - what rt_sigreturn(2) takes to put registers, floating point state and signal mask back
 * @at: address of frame in the task, 64 bytes aligned
 * Return: 0, or -ENOTSUP: too large, or of a mode that is not known here.
 */
int arch_frame(void *frame, size_t max, uint64_t at, const struct user_regs_struct *regs, const void *xstate,
	       size_t xstate_n, uint64_t sigmask);
/* what of a processor is compared: --cpu-cap, and cpu_cap of RPC */
enum { CPU_CAP_FPU = 1, CPU_CAP_CPU = 2, CPU_CAP_INS = 4 };
/** arch_cpuinfo - the processor here, into an entry without contents; arch_cpuinfo_free() */
void arch_cpuinfo(CpuinfoX86Entry *e);
void arch_cpuinfo_free(CpuinfoX86Entry *e);
/**
 * arch_cpuinfo_lacks - does the processor here lack what a program used to that of e may rely on?
 * @caps: CPU_CAP_FPU the floating point state, CPU_CAP_INS instructions; CPU_CAP_CPU: must be the same
 * @why: what it is
 */
bool arch_cpuinfo_lacks(const CpuinfoX86Entry *e, uint32_t caps, char *why, size_t max);

#define ARCH_JUMP 12 /* bytes of a jump that arch_vdso_redirect() writes */
/**
 * arch_vdso_redirect - make an old vdso's entry points jump to those of the running kernel's
 * @old: image from a checkpoint, patched in place; hostile
 * @now: the running kernel's, mapped at now_at in the task
 * Return: 0, -EBADMSG no vdso, -ENOENT an entry point that the running kernel lacks.
 */
int arch_vdso_redirect(void *old, size_t old_n, const void *now, size_t now_n, uint64_t now_at);

#endif
