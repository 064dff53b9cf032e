/* SPDX-License-Identifier: Apache-2.0 */
/* System calls without libc. rcx and r11 are lost to the kernel; flags and FPU are kept. */
#ifndef ARCH_SYSCALL_H
#define ARCH_SYSCALL_H

#include <stdint.h>

static inline int64_t raw_syscall(int64_t nr, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e,
				  int64_t f)
{
	register int64_t r10 __asm__("r10") = d;
	register int64_t r8 __asm__("r8") = e;
	register int64_t r9 __asm__("r9") = f;
	int64_t ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* rt_sigreturn(2) with the frame that arch_frame() wrote */
static inline void __attribute__((noreturn)) raw_sigreturn(int64_t frame)
{
	__asm__ volatile("mov %0, %%rsp\n\tmov $15, %%eax\n\tsyscall\n\tud2" : : "r"(frame) : "memory");
	__builtin_unreachable();
}

static inline void arch_relax(void)
{
	__asm__ volatile("pause" : : : "memory");
}

/* entry.S: clone3 whose child goes on as an agent in another slot */
int64_t raw_clone(int64_t nr, int64_t args, int64_t size, int64_t slot);

#endif
