// SPDX-License-Identifier: Apache-2.0
/*
 * states: what prctl(2) and its like set for a thread, a process, its memory.
 * Usage: states all DIR, or states CASE DIR. DIR/ready appears when all is set up (DIR/lacks names what this kernel
 * or machine refuses); on SIGTERM every state is looked at, and "OK" or what was lost goes into DIR/verdict.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/membarrier.h>
#include <linux/mempolicy.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif

static sigjmp_buf back;
static char *page[3];
static int key[3];

static void on_fault(int sig) { siglongjmp(back, 1); }

static long raw(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return ret;
}

/* ---- system calls sent back ---- */

static volatile char selector;
static volatile int sent_back;

static void on_sys(int sig, siginfo_t *si, void *uc)
{
	selector = 0;
	sent_back = si->si_code == 2 /* SYS_USER_DISPATCH */ ? si->si_syscall : -1;
}
static bool dispatch_set(void)
{
	struct sigaction sa = { .sa_sigaction = on_sys, .sa_flags = SA_SIGINFO };

	sigaction(SIGSYS, &sa, NULL);
	return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector) == 0;
}
static bool dispatch_check(void)
{
	selector = 1;
	raw(SYS_getppid, 0, 0, 0);
	selector = 0;
	return sent_back == SYS_getppid;
}

/* ---- protection keys ---- */

static int key_of(const void *at)
{
	char line[300], want[32];
	FILE *f = fopen("/proc/self/smaps", "r");
	bool here = false;
	int k = -1;

	snprintf(want, sizeof(want), "%lx-", (unsigned long)at);
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, want, strlen(want)))
			here = true;
		if (here && sscanf(line, "ProtectionKey: %d", &k) == 1)
			break;
	}
	if (f)
		fclose(f);
	return k;
}
static bool faults(volatile char *at, bool writing)
{
	if (sigsetjmp(back, 1))
		return true;
	signal(SIGSEGV, on_fault);
	if (writing)
		*at = 1;
	else
		(void)*at;
	return false;
}
static bool pkeys_set(void)
{
	int spare = pkey_alloc(0, 0);

	for (int i = 0; i < 3; i++) /* apart from each other */
		page[i] = (char *)mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 4096;
	key[0] = pkey_alloc(0, PKEY_DISABLE_WRITE);
	key[1] = pkey_alloc(0, PKEY_DISABLE_ACCESS);
	if (spare < 0 || key[1] < 0)
		return false;
	*page[0] = 'a';
	pkey_free(spare);
	key[2] = mprotect(page[2], 4096, PROT_EXEC) == 0 ? key_of(page[2]) : -1; /* takes the spare one */
	return pkey_mprotect(page[0], 4096, PROT_READ | PROT_WRITE, key[0]) == 0 &&
	       pkey_mprotect(page[1], 4096, PROT_READ | PROT_WRITE, key[1]) == 0;
}
static bool pkeys_check(void)
{
	int next;

	for (int i = 0; i < 3; i++)
		if (key_of(page[i]) != key[i])
			return false;
	if (pkey_get(key[0]) != PKEY_DISABLE_WRITE || pkey_get(key[1]) != PKEY_DISABLE_ACCESS)
		return false;
	next = pkey_alloc(0, 0);
	return *page[0] == 'a' && faults(page[0], true) && faults(page[1], false) && faults(page[2], false) &&
	       next > key[1] && next == (key[2] > key[1] ? key[2] : key[1]) + 1;
}

/* ---- one call each ---- */

static bool mdwe_set(void) { return prctl(PR_SET_MDWE, 1, 0, 0, 0) == 0; }
static bool mdwe_check(void)
{
	return prctl(PR_GET_MDWE, 0, 0, 0, 0) == 1 &&
	       mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}
static bool merge_set(void) { return prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) == 0; }
static bool merge_check(void) { return prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) == 1; }
static bool flusher_set(void) { return prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0; }
static bool flusher_check(void) { return prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) == 1; }
static bool thp_set(void) { return prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0; }
static bool thp_check(void) { return prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1; }
static bool bypass_set(void) { return prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE, 0, 0) == 0; }
static bool bypass_check(void)
{
	return prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0) == (PR_SPEC_PRCTL | PR_SPEC_DISABLE);
}
static bool branch_set(void)
{
	return prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_FORCE_DISABLE, 0, 0) == 0;
}
static bool branch_check(void)
{
	return prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, 0, 0, 0) == (PR_SPEC_PRCTL | PR_SPEC_FORCE_DISABLE);
}
static bool tsc_set(void) { return prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0) == 0; }
static bool tsc_check(void)
{
	if (sigsetjmp(back, 1))
		return true;
	signal(SIGSEGV, on_fault);
	__builtin_ia32_rdtsc();
	return false;
}
static bool cpuid_set(void) { return syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0) == 0; }
static bool cpuid_check(void) { return syscall(SYS_arch_prctl, ARCH_GET_CPUID, 0) == 0; }
static bool mce_set(void) { return prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0) == 0; }
static bool mce_check(void) { return prctl(PR_MCE_KILL_GET, 0, 0, 0, 0) == PR_MCE_KILL_EARLY; }
static bool slack_set(void) { return prctl(PR_SET_TIMERSLACK, 123456) == 0; }
static bool slack_check(void) { return prctl(PR_GET_TIMERSLACK) == 123456; }
static bool reaper_set(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0; }
static bool reaper_check(void)
{
	int v = 0;

	return prctl(PR_GET_CHILD_SUBREAPER, &v) == 0 && v == 1;
}
static bool death_set(void) { return prctl(PR_SET_PDEATHSIG, SIGUSR2) == 0; }
static bool death_check(void)
{
	int v = 0;

	return prctl(PR_GET_PDEATHSIG, &v) == 0 && v == SIGUSR2;
}
static bool barrier_set(void) { return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0) == 0; }
static bool barrier_check(void) { return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) == 0; }
static bool policy_set(void)
{
	unsigned long nodes = 1;

	return syscall(SYS_set_mempolicy, MPOL_BIND, &nodes, 64) == 0;
}
static bool policy_check(void)
{
	unsigned long nodes[16] = { 0 };
	int mode = -1;

	return syscall(SYS_get_mempolicy, &mode, nodes, 1024, 0, 0) == 0 && mode == MPOL_BIND && nodes[0] == 1;
}
static bool bound_set(void)
{
	unsigned long nodes = 1;

	page[0] = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return syscall(SYS_mbind, page[0] + 4096, 4096, MPOL_INTERLEAVE, &nodes, 64, 0) == 0;
}
static bool bound_check(void)
{
	unsigned long nodes[16] = { 0 };
	int mode = -1;

	return syscall(SYS_get_mempolicy, &mode, nodes, 1024, page[0] + 4096, MPOL_F_ADDR) == 0 &&
	       mode == MPOL_INTERLEAVE && nodes[0] == 1;
}
static bool name_set(void)
{
	page[0] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, page[0], 4096, "a name") == 0;
}
static bool name_check(void)
{
	char line[300];
	FILE *f = fopen("/proc/self/maps", "r");

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "[anon:a name]"))
			return true;
	return false;
}
static bool persona_set(void) { return personality(ADDR_NO_RANDOMIZE) >= 0; }
static bool persona_check(void) { return personality(0xffffffff) == ADDR_NO_RANDOMIZE; }
static bool keyring_set(void) { return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "stasis states") > 0; }
static bool keyring_check(void)
{
	char text[300] = "";

	return syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, text, sizeof(text) - 1) > 0 &&
	       strstr(text, ";stasis states");
}
static char stack[3 * 8192];
static bool altstack_set(void)
{
	return sigaltstack(&(stack_t){ .ss_sp = stack + 8192, .ss_size = 8192 }, NULL) == 0;
}
static bool altstack_check(void)
{
	stack_t now;

	return sigaltstack(NULL, &now) == 0 && now.ss_sp == stack + 8192 && now.ss_size == 8192 && !now.ss_flags;
}
static bool dumpable_set(void) { return prctl(PR_SET_DUMPABLE, 0) == 0; }
static bool dumpable_check(void) { return prctl(PR_GET_DUMPABLE) == 0; }
static bool memfd_set(void)
{
	key[0] = memfd_create("a memfd", MFD_ALLOW_SEALING);
	return write(key[0], "abc", 3) == 3 && fcntl(key[0], F_ADD_SEALS, F_SEAL_GROW) == 0;
}
static bool memfd_check(void)
{
	char b[8];

	return pread(key[0], b, 8, 0) == 3 && !memcmp(b, "abc", 3) &&
	       lseek(key[0], 0, SEEK_CUR) == 3 && fcntl(key[0], F_GET_SEALS) == F_SEAL_GROW;
}
static bool nsfile_set(void) { return (key[0] = open("/proc/self/ns/uts", O_RDONLY)) >= 0; }
static bool nsfile_check(void)
{
	struct stat a, b;

	return fstat(key[0], &a) == 0 && stat("/proc/self/ns/uts", &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}
static bool map_set(void)
{
	key[0] = open("mapped", O_CREAT | O_RDWR, 0600);
	if (ftruncate(key[0], 3 * 4096) < 0)
		return false;
	page[0] = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, key[0], 0);
	page[1] = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, key[0], 4096);
	page[0][0] = 'a';
	page[1][4096] = 'b'; /* the third page of the file */
	return true;
}
static bool map_check(void)
{
	char c = 0;

	page[1][1] = 'c';
	return page[0][0] == 'a' && page[0][2 * 4096] == 'b' && page[0][4097] == 'c' && pread(key[0], &c, 1, 0) == 1 &&
	       c == 0 && pread(key[0], &c, 1, 4097) == 1 && c == 'c';
}
/* Of the mapping at an address, from smaps: bytes that are there; its flags. */
static size_t rss_of(const void *at, char *flags, size_t size)
{
	char line[300], want[32];
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long kb = 0;
	bool here = false;

	snprintf(want, sizeof(want), "%lx-", (unsigned long)at);
	while (f && fgets(line, sizeof(line), f)) {
		here |= !strncmp(line, want, strlen(want));
		if (here)
			sscanf(line, "Rss: %lu", &kb);
		if (here && !strncmp(line, "VmFlags:", 8)) {
			snprintf(flags, size, "%s", line);
			break;
		}
	}
	if (f)
		fclose(f);
	return kb << 10;
}
#define SPARSE (512 * 4096)
static char *apart(size_t size, int flags) /* with nothing beside it to grow together with */
{
	char *p = mmap(NULL, size + 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mmap(p + 4096, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}
/* locked page by page: its holes stay holes, what is touched later is locked */
static bool onfault_set(void)
{
	page[0] = apart(SPARSE, MAP_PRIVATE);
	*page[0] = 'a';
	return mlock2(page[0], SPARSE, MLOCK_ONFAULT) == 0;
}
static bool onfault_check(void)
{
	char flags[300] = "";
	bool ok = rss_of(page[0], flags, sizeof(flags)) == 4096 && strstr(flags, " lo") && *page[0] == 'a';

	page[0][8192] = 'b';
	return ok && rss_of(page[0], flags, sizeof(flags)) == 8192;
}
static bool locked(const char *at) { return msync((void *)at, 4096, MS_INVALIDATE) < 0 && errno == EBUSY; }
static bool future_set(void)
{
	page[0] = apart(SPARSE, MAP_PRIVATE);
	return mlockall(MCL_FUTURE) == 0;
}
static bool future_check(void)
{
	char flags[300] = "", *fresh = apart(SPARSE, MAP_PRIVATE);

	return !locked(page[0]) && rss_of(page[0], flags, sizeof(flags)) == 0 && locked(fresh) &&
	       rss_of(fresh, flags, sizeof(flags)) == SPARSE;
}
static bool touched_set(void) { return mlockall(MCL_FUTURE | MCL_ONFAULT) == 0; }
static bool touched_check(void)
{
	char flags[300] = "", *fresh = apart(SPARSE, MAP_PRIVATE);

	return locked(fresh) && rss_of(fresh, flags, sizeof(flags)) == 0;
}
/* each advice alone, in private and in shared memory: what the kernel shows of it stays the same */
static const int advices[] = { MADV_DONTFORK, MADV_WIPEONFORK, MADV_DONTDUMP, MADV_MERGEABLE, MADV_HUGEPAGE,
			       MADV_NOHUGEPAGE, MADV_SEQUENTIAL, MADV_RANDOM };
#define ADVICES (sizeof(advices) / sizeof(advices[0]))
static struct { char *at, flags[300]; } advised[2 * ADVICES];
static bool advice_set(void)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < 2 * ADVICES; i++) {
		advised[i].at = apart(4096, i < ADVICES ? MAP_PRIVATE : MAP_SHARED);
		*advised[i].at = 'a' + i;
		taken += madvise(advised[i].at, 4096, advices[i % ADVICES]) == 0;
		rss_of(advised[i].at, advised[i].flags, sizeof(advised[i].flags));
	}
	return taken > ADVICES;
}
static bool advice_check(void)
{
	char flags[300] = "";

	for (unsigned i = 0; i < 2 * ADVICES; i++) {
		rss_of(advised[i].at, flags, sizeof(flags));
		if (strcmp(flags, advised[i].flags) || *advised[i].at != (char)('a' + i)) {
			fprintf(stderr, "advice %d of mapping %u: %s not %s", advices[i % ADVICES], i, flags, advised[i].flags);
			return false;
		}
	}
	return true;
}
/* nothing more may be mapped; the main thread has no right to more either, see main() */
static bool full_set(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_MEMLOCK, &l) < 0)
		return false;
	l.rlim_cur = 4096;
	return setrlimit(RLIMIT_MEMLOCK, &l) == 0 && mlockall(MCL_FUTURE | MCL_ONFAULT) == 0;
}
static bool full_check(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_MEMLOCK, &l) == 0 && l.rlim_cur == 4096 &&
	       mmap(NULL, SPARSE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EAGAIN;
}
static void no_lock_right(void)
{
	struct { uint32_t version; int pid; } h = { 0x20080522, 0 };
	struct { uint32_t effective, permitted, inheritable; } c[2];

	syscall(SYS_capget, &h, c);
	c[0].effective &= ~(1u << 14); /* CAP_IPC_LOCK */
	c[0].permitted &= ~(1u << 14);
	syscall(SYS_capset, &h, c);
}
static bool sealed_set(void)
{
	page[0] = apart(4 * 4096, MAP_PRIVATE);
	page[0][4096] = 'a';
	return mprotect(page[0] + 4096, 8192, PROT_READ) == 0 && syscall(462 /* mseal */, page[0] + 4096, 8192, 0) == 0;
}
static bool sealed_check(void)
{
	return page[0][4096] == 'a' && mprotect(page[0] + 4096, 4096, PROT_READ | PROT_WRITE) < 0 && errno == EPERM &&
	       munmap(page[0] + 8192, 4096) < 0 && faults(page[0] + 4096, true) && munmap(page[0], 4096) == 0 &&
	       munmap(page[0] + 3 * 4096, 4096) == 0;
}
static bool droppable_set(void)
{
	page[0] = apart(2 * 4096, 0x08 /* MAP_DROPPABLE */);
	if (page[0] == MAP_FAILED)
		return false;
	*page[0] = 'a';
	return true;
}
static bool droppable_check(void)
{
	char flags[300] = "";

	mlock(page[0], 2 * 4096); /* nobody may */
	rss_of(page[0], flags, sizeof(flags));
	return strstr(flags, " dp") && strstr(flags, " wf") && !strstr(flags, " lo") && (*page[0] == 'a' || *page[0] == 0);
}
static bool filter_is(const char *want)
{
	char text[32] = "";
	FILE *f = fopen("/proc/self/coredump_filter", "r");

	return f && fgets(text, sizeof(text), f) && fclose(f) == 0 && strtoul(text, NULL, 16) == strtoul(want, NULL, 16);
}
static bool core_set(void)
{
	FILE *f = fopen("/proc/self/coredump_filter", "w");

	return f && fputs("0x7f", f) >= 0 && fclose(f) == 0 && filter_is("0x7f");
}
static bool core_check(void) { return filter_is("0x7f"); }
static bool advised_set(void) { return prctl(PR_SET_THP_DISABLE, 1, 2 /* PR_THP_DISABLE_EXCEPT_ADVISED */, 0, 0) == 0; }
static bool advised_check(void) { return prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 3; }

struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};
static bool deadline_set(void)
{
	struct attr a = { .size = sizeof(a), .policy = 6, .runtime = 2000000, .deadline = 90000000, .period = 100000000 };

	return syscall(SYS_sched_setattr, 0, &a, 0) == 0;
}
static bool deadline_check(void)
{
	struct attr a = { 0 };

	return syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) == 0 && a.policy == 6 && a.runtime == 2000000 &&
	       a.deadline == 90000000 && a.period == 100000000;
}

/* ---- of one thread only ---- */

static bool ids_set(void)
{
	gid_t g[] = { 7, 9 };

	return syscall(SYS_setgroups, 2, g) == 0 && syscall(SYS_setresgid, 11, 12, 13) == 0 &&
	       syscall(SYS_setresuid, 21, 22, 23) == 0;
}
static bool ids_check(void)
{
	gid_t a, b, c, g[4];
	uid_t x, y, z;

	return syscall(SYS_getresgid, &a, &b, &c) == 0 && a == 11 && b == 12 && c == 13 &&
	       syscall(SYS_getresuid, &x, &y, &z) == 0 && x == 21 && y == 22 && z == 23 &&
	       syscall(SYS_getgroups, 4, g) == 2 && g[0] == 7 && g[1] == 9;
}
struct caps {
	uint32_t effective, permitted, inheritable;
};
static bool caps_set(void)
{
	struct { uint32_t version; int pid; } h = { 0x20080522, 0 };
	struct caps c[2] = { { 0x1, 0x3, 0x2 }, { 0 } }; /* CHOWN, DAC_OVERRIDE */

	return prctl(PR_CAPBSET_DROP, 20) == 0 && syscall(SYS_capset, &h, c) == 0 &&
	       prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 1, 0, 0) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}
static bool caps_check(void)
{
	struct { uint32_t version; int pid; } h = { 0x20080522, 0 };
	struct caps c[2];

	return syscall(SYS_capget, &h, c) == 0 && c[0].effective == 1 && c[0].permitted == 3 && c[0].inheritable == 2 &&
	       prctl(PR_CAPBSET_READ, 20) == 0 && prctl(PR_CAPBSET_READ, 21) == 1 &&
	       prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 1, 0, 0) == 1 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}
static bool filter_set(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { 4, f };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) == 0;
}
static bool filter_check(void) { return syscall(SYS_getppid) == -1 && errno == 77 && prctl(PR_GET_SECCOMP) == 2; }
static int strict_pipe[2], strict_back[2];
/* It may only read, write and leave: it stays in this read. */
static bool strict_set(void) { return pipe(strict_pipe) == 0 && pipe(strict_back) == 0; }
static bool strict_check(void)
{
	char c = 0;

	return write(strict_pipe[1], "x", 1) == 1 && read(strict_back[0], &c, 1) == 1 && c == 'x';
}
static void *strict_main(void *arg)
{
	char c;

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0)
		while (read(strict_pipe[0], &c, 1) == 1)
			if (write(strict_back[1], &c, 1) != 1)
				break;
	syscall(SYS_exit, 0);
	return NULL;
}
static bool rr_set(void)
{
	struct sched_param p = { .sched_priority = 3 };

	return sched_setscheduler(0, SCHED_RR, &p) == 0;
}
static bool rr_check(void)
{
	struct sched_param p;

	return sched_getscheduler(0) == SCHED_RR && sched_getparam(0, &p) == 0 && p.sched_priority == 3;
}
static bool nice_set(void)
{
	struct sched_param p = { 0 };

	return setpriority(PRIO_PROCESS, gettid(), 11) == 0 && sched_setscheduler(0, SCHED_BATCH, &p) == 0;
}
static bool nice_check(void) { return getpriority(PRIO_PROCESS, gettid()) == 11 && sched_getscheduler(0) == SCHED_BATCH; }
static bool slice_set(void)
{
	struct attr a = { .size = sizeof(a), .runtime = 7000000, .nice = 3 };

	return syscall(SYS_sched_setattr, 0, &a, 0) == 0 && syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) == 0 &&
	       a.runtime == 7000000;
}
static bool slice_check(void)
{
	struct attr a = { 0 }, other = { 0 };

	return syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) == 0 && a.runtime == 7000000 && a.nice == 3 &&
	       syscall(SYS_sched_getattr, getpid(), &other, sizeof(other), 0) == 0 && other.runtime != a.runtime;
}
static bool cpu_set_one(void)
{
	cpu_set_t c;

	CPU_ZERO(&c);
	CPU_SET(1, &c);
	return sched_setaffinity(0, sizeof(c), &c) == 0;
}
static bool cpu_check(void)
{
	cpu_set_t c;

	return sched_getaffinity(0, sizeof(c), &c) == 0 && CPU_COUNT(&c) == 1 && CPU_ISSET(1, &c);
}
static bool ioprio_set(void) { return syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6) == 0; }
static bool ioprio_check(void) { return syscall(SYS_ioprio_get, 1, 0) == (2 << 13 | 6); }
static bool own_name_set(void) { return prctl(PR_SET_NAME, "na)me 1 (\n") == 0; }
static bool own_name_check(void)
{
	char name[17] = "";

	return prctl(PR_GET_NAME, name) == 0 && !strcmp(name, "na)me 1 (\n");
}
static bool mask_set(void)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, 44);
	sigprocmask(SIG_BLOCK, &s, NULL);
	return syscall(SYS_tgkill, getpid(), gettid(), 44) == 0;
}
static bool mask_check(void)
{
	sigset_t s;

	return sigpending(&s) == 0 && sigismember(&s, 44) == 1 && sigprocmask(SIG_BLOCK, NULL, &s) == 0 &&
	       sigismember(&s, 44) == 1 && sigismember(&s, 45) == 0;
}

static const struct state {
	const char *name;
	bool (*set)(void), (*check)(void);
	int alone; /* not among "all"; 2: of the group "apart" */
} states[] = {
	{ "dispatch", dispatch_set, dispatch_check, 0 },
	{ "pkeys", pkeys_set, pkeys_check, 1 },
	{ "mdwe", mdwe_set, mdwe_check, 0 },
	{ "merge", merge_set, merge_check, 0 },
	{ "flusher", flusher_set, flusher_check, 0 },
	{ "thp", thp_set, thp_check, 0 },
	{ "bypass", bypass_set, bypass_check, 0 },
	{ "branch", branch_set, branch_check, 0 },
	{ "tsc", tsc_set, tsc_check, 0 },
	{ "cpuid", cpuid_set, cpuid_check, 0 },
	{ "mce", mce_set, mce_check, 0 },
	{ "slack", slack_set, slack_check, 0 },
	{ "subreaper", reaper_set, reaper_check, 0 },
	{ "pdeathsig", death_set, death_check, 0 },
	{ "membarrier", barrier_set, barrier_check, 0 },
	{ "mempolicy", policy_set, policy_check, 0 },
	{ "mbind", bound_set, bound_check, 1 },
	{ "vma-name", name_set, name_check, 1 },
	{ "personality", persona_set, persona_check, 0 },
	{ "keyring", keyring_set, keyring_check, 0 },
	{ "altstack", altstack_set, altstack_check, 0 },
	{ "dumpable", dumpable_set, dumpable_check, 1 },
	{ "memfd", memfd_set, memfd_check, 1 },
	{ "nsfile", nsfile_set, nsfile_check, 1 },
	{ "map", map_set, map_check, 1 },
	{ "onfault", onfault_set, onfault_check, 1 },
	{ "future", future_set, future_check, 1 },
	{ "touched", touched_set, touched_check, 1 },
	{ "advice", advice_set, advice_check, 1 },
	{ "slice", slice_set, slice_check, 2 },
	{ "full", full_set, full_check, 1 },
	{ "sealed", sealed_set, sealed_check, 1 },
	{ "droppable", droppable_set, droppable_check, 1 },
	{ "core", core_set, core_check, 0 },
	{ "advised", advised_set, advised_check, 1 },
	{ "deadline", deadline_set, deadline_check, 1 },
	{ "own-ids", ids_set, ids_check, 2 },
	{ "own-caps", caps_set, caps_check, 2 },
	{ "own-filter", filter_set, filter_check, 2 },
	{ "own-strict", strict_set, strict_check, 2 },
	{ "own-policy", rr_set, rr_check, 2 },
	{ "own-nice", nice_set, nice_check, 2 },
	{ "own-cpu", cpu_set_one, cpu_check, 2 },
	{ "own-ioprio", ioprio_set, ioprio_check, 2 },
	{ "own-name", own_name_set, own_name_check, 2 },
	{ "own-mask", mask_set, mask_check, 2 },
};
#define STATES (sizeof(states) / sizeof(states[0]))

static const char *which;
static pthread_barrier_t barrier;
static char lost[2000], lacks[2000];

static bool wanted(const struct state *st)
{
	if (!strcmp(which, "all"))
		return !st->alone;
	return !strcmp(which, "apart") ? st->alone == 2 : !strcmp(which, st->name);
}

/* Every state in a thread of its own, as some do not go well with others. */
static void *holder(void *arg)
{
	const struct state *st = arg;

	bool ok = st->set();

	if (st->set == strict_set && ok)
		ok = pthread_create(&(pthread_t){ 0 }, NULL, strict_main, NULL) == 0;
	if (!ok) {
		strcat(strcat(lacks, st->name), "\n");
		st = NULL;
	}
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	if (st && !st->check())
		strcat(strcat(lost, st->name), " is lost; ");
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void put(const char *name, const char *text)
{
	int fd = open("new", O_CREAT | O_WRONLY | O_TRUNC, 0600);

	if (write(fd, text, strlen(text)) < 0)
		perror("write");
	close(fd);
	rename("new", name);
}

int main(int argc, char **argv)
{
	pthread_t t[STATES];
	sigset_t set;
	unsigned n = 0;
	int sig;

	which = argv[1];
	signal(SIGUSR2, SIG_IGN); /* of the restorer, who is the parent */
	chdir(argv[2]);
	if (!strcmp(which, "full"))
		no_lock_right();
	for (size_t i = 0; i < STATES; i++)
		n += wanted(&states[i]);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pthread_barrier_init(&barrier, NULL, n + 1);
	for (size_t i = 0; i < STATES; i++)
		if (wanted(&states[i]))
			pthread_create(&t[i], NULL, holder, (void *)&states[i]);
	pthread_barrier_wait(&barrier);
	put("lacks", lacks);
	put("ready", "");
	while (sigwait(&set, &sig) != 0)
		;
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	put("verdict", lost[0] ? lost : "OK");
	return 0;
}
