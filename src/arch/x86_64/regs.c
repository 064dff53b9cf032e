// SPDX-License-Identifier: Apache-2.0
/* Registers between ptrace's layout and the images'. Source: Intel SDM vol. 1, 13.4 (XSAVE area). */
#include "arch/arch.h"

#include "base/res.h"

#include <cpuid.h>
#include <string.h>
#include <sys/syscall.h>

#define XSAVE_HDR 512 /* xstate_bv; the legacy area stands before it */
#define XSAVE_EXT 576
#define XF_LEGACY 3ULL /* x87 and SSE, in the legacy area */

/* kernel-internal return values of an interrupted call */
enum { ERESTARTSYS = 512, ERESTARTNOINTR = 513, ERESTARTNOHAND = 514, ERESTART_RESTARTBLOCK = 516 };

#define REGS(X)                                                                                    \
	X(r15, r15) X(r14, r14) X(r13, r13) X(r12, r12) X(bp, rbp) X(bx, rbx) X(r11, r11)          \
	X(r10, r10) X(r9, r9) X(r8, r8) X(ax, rax) X(cx, rcx) X(dx, rdx) X(si, rsi) X(di, rdi)     \
	X(orig_ax, orig_rax) X(ip, rip) X(cs, cs) X(flags, eflags) X(sp, rsp) X(ss, ss)            \
	X(fs_base, fs_base) X(gs_base, gs_base) X(ds, ds) X(es, es) X(fs, fs) X(gs, gs)

void arch_again(struct user_regs_struct *r)
{
	if ((int64_t)r->rax != -EINTR || (int64_t)r->orig_rax < 0)
		return;
	switch (r->orig_rax) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_msgrcv:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	/* those of sockets with SO_RCVTIMEO or SO_SNDTIMEO */
	case SYS_read:
	case SYS_readv:
	case SYS_write:
	case SYS_writev:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
		r->rax = r->orig_rax;
		r->rip -= 2;
		r->orig_rax = -1UL;
	}
}

/* "mov $nr,%eax" somewhere before the syscall instruction, the nearest */
static long code_number(const unsigned char code[ARCH_CALL_CODE])
{
	for (int i = ARCH_CALL_CODE - 7; i >= 0; i--) {
		uint32_t nr;

		if (code[i] != 0xb8)
			continue;
		memcpy(&nr, code + i + 1, sizeof(nr));
		if (nr < 1000)
			return nr;
	}
	return -1;
}

long arch_restarting(const struct user_regs_struct *r, const unsigned char code[ARCH_CALL_CODE])
{
	if ((int64_t)r->orig_rax < 0 || (int64_t)r->rax != -ERESTART_RESTARTBLOCK)
		return -1;
	/* it has been resumed once: its own number is gone */
	return r->orig_rax == SYS_restart_syscall ? code_number(code) : (long)r->orig_rax;
}

uint64_t arch_call_arg(const struct user_regs_struct *r, unsigned n)
{
	const uint64_t args[] = { r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9 };

	return args[n];
}

void arch_resume_call(struct user_regs_struct *r, long nr)
{
	r->rax = -ERESTART_RESTARTBLOCK;
	r->orig_rax = nr;
}

bool arch_resumes(const struct user_regs_struct *r)
{
	return (int64_t)r->orig_rax >= 0 && (int64_t)r->rax == -ERESTART_RESTARTBLOCK;
}

void arch_end_call(struct user_regs_struct *r)
{
	bool sleep = r->orig_rax == SYS_nanosleep || r->orig_rax == SYS_clock_nanosleep;

	r->rip -= sleep ? 0 : 2;
	r->rax = sleep ? 0 : r->orig_rax;
	r->orig_rax = -1UL;
}

void arch_enter_again(struct user_regs_struct *r)
{
	r->rip += 2;
}

void arch_save_regs(ThreadInfoX86 *ti, const struct user_regs_struct *r, long again)
{
	UserX86RegsEntry *g = xalloc(sizeof(*g));

	user_x86_regs_entry__init(g);
#define SAVE(image, ptrace) g->image = r->ptrace;
	REGS(SAVE)
#undef SAVE
	g->has_mode = true;
	g->mode = USER_X86_REGS_MODE__NATIVE;
	if ((int64_t)r->orig_rax >= 0) {
		switch (-(int64_t)r->rax) {
		case ERESTARTSYS:
		case ERESTARTNOINTR:
		case ERESTARTNOHAND:
			g->ax = r->orig_rax;
			g->ip -= 2;
			break;
		case ERESTART_RESTARTBLOCK:
			g->ax = again >= 0 ? again : -EINTR;
			g->ip -= again >= 0 ? 2 : 0;
			break;
		}
	}
	ti->gpregs = g;
}

void arch_rewind(struct user_regs_struct *r)
{
	if ((int64_t)r->orig_rax < 0)
		return;
	switch (-(int64_t)r->rax) {
	case ERESTART_RESTARTBLOCK:
		if (r->orig_rax == SYS_restart_syscall) {
			r->rax = -EINTR;
			r->orig_rax = -1UL;
			break;
		}
		/* fallthrough */
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
		r->rax = r->orig_rax;
		r->rip -= 2;
		r->orig_rax = -1UL;
	}
}

void arch_save_exit(ThreadInfoX86 *ti, uint64_t insn, int code)
{
	ti->clear_tid_addr = 0;
	ti->gpregs->ip = insn;
	ti->gpregs->ax = 60; /* exit */
	ti->gpregs->di = code;
}

void arch_load_regs(const ThreadInfoX86 *ti, struct user_regs_struct *r)
{
	const UserX86RegsEntry *g = ti->gpregs;

#define LOAD(image, ptrace) r->ptrace = g->image;
	REGS(LOAD)
#undef LOAD
	r->orig_rax = -1UL; /* the image is rewound already */
	r->cs = 0x33;
	r->ss = 0x2b;
}

/* the components that images have lists for, in 4 or 8 bytes an element */
static const struct component {
	unsigned number, size, width;
	size_t n, list; /* offsets in UserX86XsaveEntry */
} components[] = {
#define COMPONENT(number, size, width, field) \
	{ number, size, width, offsetof(UserX86XsaveEntry, n_##field), offsetof(UserX86XsaveEntry, field) }
	COMPONENT(2, 256, 4, ymmh_space), COMPONENT(3, 64, 8, bndreg_state), COMPONENT(4, 64, 8, bndcsr_state),
	COMPONENT(5, 64, 8, opmask_reg),  COMPONENT(6, 512, 8, zmm_upper),   COMPONENT(7, 1024, 8, hi16_zmm),
	COMPONENT(9, 8, 4, pkru),
#undef COMPONENT
};

/* The components that the kernel has enabled; only asked where there is an XSAVE area. */
static uint64_t xcr0(void)
{
	uint32_t low, high;

	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

/* Where a component stands in this machine's area; false: it has none. */
static bool xstate_place(const struct component *c, size_t n, unsigned *off)
{
	unsigned size, offset, x, y;

	if (!(xcr0() >> c->number & 1) || !__get_cpuid_count(0xd, c->number, &size, &offset, &x, &y) || size != c->size)
		return false;
	*off = offset;
	return offset + size <= n;
}

static void component_save(const struct component *c, UserX86XsaveEntry *e, const unsigned char *x, size_t n)
{
	unsigned off;

	if (!xstate_place(c, n, &off))
		return;
	*(size_t *)((char *)e + c->n) = c->size / c->width;
	*(void **)((char *)e + c->list) = xmemdup(x + off, c->size);
}

/* 1: loaded, 0: it is as after a start */
static int component_load(const struct component *c, const UserX86XsaveEntry *e, unsigned char *x, size_t n)
{
	size_t count = *(const size_t *)((const char *)e + c->n);
	unsigned off;

	if (!(e->xstate_bv >> c->number & 1) || !count)
		return 0;
	if (count != c->size / c->width)
		return -EINVAL;
	if (!xstate_place(c, n, &off))
		return -ENODEV;
	memcpy(x + off, *(void *const *)((const char *)e + c->list), c->size);
	return 1;
}

uint64_t arch_save_xstate(ThreadInfoX86 *ti, const void *xstate, size_t n)
{
	const unsigned char *x = xstate;
	UserX86FpregsEntry *f = xalloc(sizeof(*f));
	uint64_t bv = 0, kept = XF_LEGACY;

	user_x86_fpregs_entry__init(f);
	ti->fpregs = f;
	f->cwd = *(const uint16_t *)(x + 0);
	f->swd = *(const uint16_t *)(x + 2);
	f->twd = *(const uint16_t *)(x + 4);
	f->fop = *(const uint16_t *)(x + 6);
	memcpy(&f->rip, x + 8, 8);
	memcpy(&f->rdp, x + 16, 8);
	memcpy(&f->mxcsr, x + 24, 4);
	memcpy(&f->mxcsr_mask, x + 28, 4);
	f->n_st_space = 32;
	f->st_space = xmemdup(x + 32, 128);
	f->n_xmm_space = 64;
	f->xmm_space = xmemdup(x + 160, 256);
	if (n < XSAVE_EXT)
		return 0;
	memcpy(&bv, x + XSAVE_HDR, 8);
	f->xsave = xalloc(sizeof(*f->xsave));
	user_x86_xsave_entry__init(f->xsave);
	for (size_t i = 0; i < ARRAY_SIZE(components); i++) {
		component_save(&components[i], f->xsave, x, n);
		kept |= 1ULL << components[i].number;
	}
	f->xsave->xstate_bv = bv & kept;
	return bv & ~kept;
}

int arch_load_xstate(const ThreadInfoX86 *ti, void *xstate, size_t max)
{
	const UserX86FpregsEntry *f = ti->fpregs;
	unsigned char *x = xstate;
	unsigned a = 0, size = 0, c, d;
	uint64_t bv = XF_LEGACY;

	if (!f)
		return 0;
	if (f->n_st_space < 32 || f->n_xmm_space < 64 || (f->mxcsr & ~0xffffU))
		return -EINVAL;
	__get_cpuid_count(0xd, 0, &a, &size, &c, &d); /* what XCR0 enables now */
	if (size < XSAVE_EXT || size > max)
		size = XSAVE_EXT;
	memset(x, 0, size);
	*(uint16_t *)(x + 0) = f->cwd;
	*(uint16_t *)(x + 2) = f->swd;
	*(uint16_t *)(x + 4) = f->twd;
	*(uint16_t *)(x + 6) = f->fop;
	memcpy(x + 8, &f->rip, 8);
	memcpy(x + 16, &f->rdp, 8);
	memcpy(x + 24, &f->mxcsr, 4);
	memcpy(x + 28, &f->mxcsr_mask, 4);
	memcpy(x + 32, f->st_space, 128);
	memcpy(x + 160, f->xmm_space, 256);
	for (size_t i = 0; f->xsave && i < ARRAY_SIZE(components); i++) {
		int r = component_load(&components[i], f->xsave, x, size);

		if (r < 0)
			return r;
		bv |= (uint64_t)r << components[i].number;
	}
	memcpy(x + XSAVE_HDR, &bv, 8);
	return size;
}
