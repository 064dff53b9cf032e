// SPDX-License-Identifier: Apache-2.0
/* preflight: attributes of tasks that cannot be kept yet, found without stopping anybody. */
#include "kind/task.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/asleep.h"
#include "kind/fd.h"

#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/*
 * A call that was restarted once (after another dump, or SIGSTOP and SIGCONT) shows as restart_syscall(). While
 * the thread sleeps the kernel tells in which function: kind/task/sleep.c wants to know.
 */
static void note_restarted(struct session *s, const struct thread *t)
{
	own_mem char *call = NULL, *stack = NULL;
	unsigned long long clock = 0, flags = 0, request = 0;
	long nr = -1, was = 0;

	if (text_readf(AT_FDCWD, &call, "/proc/%d/task/%d/syscall", t->task->tgid, t->tid) < 0 ||
	    sscanf(call, "%ld %llx %llx %llx", &nr, &clock, &flags, &request) != 4)
		return;
	if (nr == SYS_poll || nr == SYS_futex || nr == SYS_nanosleep || nr == SYS_clock_nanosleep)
		asleep_note(s, t, nr);
	if (nr != SYS_restart_syscall ||
	    text_readf(AT_FDCWD, &stack, "/proc/%d/task/%d/stack", t->task->tgid, t->tid) < 0)
		return;
	if (strstr(stack, "poll"))
		was = SYS_poll;
	else if (strstr(stack, "futex"))
		was = SYS_futex;
	else if (clock < 64 && !flags && request >> 31) /* sleeping functions do not show in the stack */
		was = SYS_clock_nanosleep;
	if (was)
		asleep_note(s, t, was);
	if (was)
		map_put(session_map(s, "restarted call"), t->tid, (void *)was);
	else
		session_debug(s, "thread %d: goes on with a call that %s does not tell", t->vtid, stack);
}

static int thread_preflight(struct session *s, const struct thread *t)
{
	own_mem char *status = NULL;
	uint64_t v = 0;

	note_restarted(s, t);
	if (text_readf(AT_FDCWD, &status, "/proc/%d/task/%d/status", t->task->pid, t->tid) < 0)
		return 0; /* ended meanwhile */
	if (text_u64(status, "TracerPid:", 10, &v) == 0 && v)
		return session_fail(s, -EBUSY, "task %d: is traced by %d; detach that debugger or tracer first",
				    t->task->vpid, (int)v);
	if (text_u64(status, "Seccomp:", 10, &v) == 0 && v && prctl(PR_GET_SECCOMP) != 0)
		return session_fail(s, -ENOTSUP,
				    "task %d: thread %d has a seccomp filter, which we cannot read as we have one ourselves; run stasis without",
				    t->task->vpid, t->vtid);
	return 0;
}

/* Segments of the host's: mem/sysv.c refuses them, this says so before anything is stopped. */
static int segments_preflight(struct session *s, const struct task *k)
{
	own_mem char *maps = NULL;
	struct stat its, ours;

	if (fstatat(k->proc, "ns/ipc", &its, 0) < 0 || stat("/proc/self/ns/ipc", &ours) < 0 ||
	    its.st_ino != ours.st_ino || text_read(k->proc, "maps", &maps, NULL) < 0 ||
	    !strstr(maps, " /SYSV"))
		return 0;
	return session_fail(s, -ENOTSUP,
			    "task %d: has a System V segment of the host attached, which cannot be carried away; run it in an ipc namespace of its own",
			    k->vpid);
}

/* Mappings that the mem kinds would refuse when all is stopped already. */
static int mappings_preflight(struct session *s, const struct task *k)
{
	static const struct {
		const char *name, *what;
	} no[] = {
		{ " anon_inode:bpf-map", "a BPF map mapped, which cannot be restored yet; let the program unmap it" },
		{ " anon_inode:[perf_event]", "a performance event mapped, which cannot be restored; end the measurement first" },
	};
	own_mem char *maps = NULL;

	if (text_read(k->proc, "maps", &maps, NULL) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (strstr(maps, no[i].name))
			return session_fail(s, -ENOTSUP, "task %d: has %s", k->vpid, no[i].what);
	return 0;
}

/*
 * Programs for i386, or with 32-bit addresses (x32): their registers, calls and structures are others. A program
 * of 64 bits whose thread is in 32-bit code just now is found when it is stopped.
 */
static int machine_preflight(struct session *s, const struct task *k)
{
	own_fd int fd = fd_high(openat(k->proc, "exe", O_RDONLY | O_CLOEXEC));
	Elf64_Ehdr e = { 0 };

	if (fd < 0 || pread(fd, &e, offsetof(Elf64_Ehdr, e_version), 0) < 0 || memcmp(e.e_ident, ELFMAG, SELFMAG) ||
	    e.e_ident[EI_CLASS] == ELFCLASS64)
		return 0;
	return session_fail(s, -ENOTSUP, "task %d: runs a program for %s, which cannot be checkpointed; use one for x86_64",
			    k->vpid, e.e_machine == EM_X86_64 ? "x32 (x86_64 with 32-bit addresses)" : "32-bit machines");
}

/* A shadow stack is written by calls and returns only. */
static int shadow_preflight(struct session *s, const struct thread *t)
{
	own_mem char *status = NULL;
	const char *on;

	if (text_readf(AT_FDCWD, &status, "/proc/%d/task/%d/status", t->task->pid, t->tid) < 0 ||
	    !(on = text_after(status, "x86_Thread_features:")) || !memmem(on, strcspn(on, "\n"), "shstk", 5))
		return 0;
	return session_fail(s, -ENOTSUP,
			    "task %d: thread %d has a shadow stack, which cannot be restored yet; run it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off",
			    t->task->vpid, t->vtid);
}

/* Secret memory can be read by its descriptor only. */
static int secret_preflight(struct session *s, const struct tree *tree, const struct task *k)
{
	own_mem char *maps = NULL;
	uint64_t ino;
	unsigned maj, min;

	if (text_read(k->proc, "maps", &maps, NULL) < 0)
		return 0;
	for (char *save = NULL, *l = strtok_r(maps, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		struct task *holder;
		struct stat st;
		int num;

		if (strstr(l, " /secretmem (deleted)") && sscanf(l, "%*s %*s %*s %x:%x %" SCNu64, &maj, &min, &ino) == 3 &&
		    !fd_find(tree, maj << 20 | min, ino, &holder, &num, &st))
			return session_fail(s, -ENOTSUP,
					    "task %d: has secret memory (memfd_secret) mapped, of which no task has a descriptor, so that it cannot be read; let the program unmap it first, or keep its descriptor",
					    k->vpid);
	}
	return 0;
}

int task_preflight_all(struct session *s, struct tree *tree)
{
	int all = 0;

	for (size_t i = 0; i < tree->n; i++) {
		struct task *k = tree->all[i];
		int r = 0;

		if (k->state == TASK_DEAD)
			continue;
		r = machine_preflight(s, k);
		if (r == 0)
			r = segments_preflight(s, k);
		if (r == 0)
			r = mappings_preflight(s, k);
		if (r == 0)
			r = secret_preflight(s, tree, k);
		for (unsigned n = 0; r == 0 && n < k->n_threads; n++)
			r = thread_preflight(s, &k->threads[n]);
		if (r == 0)
			r = shadow_preflight(s, task_leader(k));
		all = all ? all : r;
	}
	return all;
}
