// SPDX-License-Identifier: Apache-2.0
/* Vector registers as wide as this processor has them, full of numbers while the program computes and calls nobody. */
#include "judge.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

#define REGS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define MORE(X) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
#define MASKS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* all is loaded: DIR/ready is made, and then it spins until SIGTERM */
#define SPIN "syscall\n1: pause\n cmpl $0, (%[flag])\n je 1b\n"
#define OPEN "a"(SYS_openat), "D"(AT_FDCWD), "S"("ready"), "d"(O_CREAT | O_WRONLY), "r"(r10)

#define ROUND_UP 0x5f80 /* mxcsr */

static uint8_t was[32][64], now[32][64];
static uint64_t masks[8], masks_now[8];

#define IN(n, reg) "vmovups " #n "*64(%[was]), %%" reg #n "\n"
#define OUT(n, reg) "vmovups %%" reg #n ", " #n "*64(%[now])\n"
#define YMM_IN(n) IN(n, "ymm")
#define YMM_OUT(n) OUT(n, "ymm")
#define ZMM_IN(n) IN(n, "zmm")
#define ZMM_OUT(n) OUT(n, "zmm")
#define MASK_IN(n) "kmovw " #n "*8(%[masks]), %%k" #n "\n"
#define MASK_OUT(n) "kmovw %%k" #n ", " #n "*8(%[masks_now])\n"

static void spin_avx(void)
{
	register long r10 __asm__("r10") = 0600;
	long ret;

	__asm__ volatile(REGS(YMM_IN) SPIN REGS(YMM_OUT) "vzeroupper\n"
			 : "=a"(ret)
			 : [was] "r"(was), [now] "r"(now), [flag] "r"(&got_term), OPEN
			 : "rcx", "r11", "memory");
	CHECK(ret >= 0);
}

static void spin_avx512(void)
{
	register long r10 __asm__("r10") = 0600;
	long ret;

	__asm__ volatile(REGS(ZMM_IN) MORE(ZMM_IN) MASKS(MASK_IN) SPIN REGS(ZMM_OUT) MORE(ZMM_OUT) MASKS(MASK_OUT) "vzeroupper\n"
			 : "=a"(ret)
			 : [was] "r"(was), [now] "r"(now), [masks] "r"(masks), [masks_now] "r"(masks_now),
			   [flag] "r"(&got_term), OPEN
			 : "rcx", "r11", "memory");
	CHECK(ret >= 0);
}

int main(int argc, char **argv)
{
	bool wide = __builtin_cpu_supports("avx512f");
	sigset_t none;

	if (judge_begin(argc, argv) < 0)
		return 2;
	if (!wide && !__builtin_cpu_supports("avx"))
		return 3;
	for (unsigned i = 0; i < sizeof(was); i++)
		((uint8_t *)was)[i] = i * 37 + i / 256 + 11;
	for (unsigned i = 1; i < 8; i++)
		masks[i] = 0xa5c3 + i;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	__builtin_ia32_ldmxcsr(ROUND_UP);
	if (wide)
		spin_avx512();
	else
		spin_avx();
	CHECK((__builtin_ia32_stmxcsr() & ~0x3fU) == ROUND_UP);
	for (unsigned i = 0; i < (wide ? 32 : 16); i++)
		CHECK(!memcmp(was[i], now[i], wide ? 64 : 32));
	for (unsigned i = 1; wide && i < 8; i++)
		CHECK(masks_now[i] == masks[i]);
	finish();
	return 0;
}
