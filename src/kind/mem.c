// SPDX-License-Identifier: Apache-2.0
/*
 * mem: what a stopped task's address space looks like, from /proc.
 *
 * Source: /proc/PID/smaps (maps alone hides flags such as MAP_NORESERVE, and areas would merge when
 * restored), /proc/PID/stat (the PR_SET_MM_* fields), /proc/PID/auxv.
 */
#include "kind/mem.h"

#include "arch/arch.h"
#include "base/res.h"
#include "base/text.h"
#include "kind/fd.h"
#include "kind/mem-numa.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define ASKED 4 /* calls of mem_ask() before those about protection keys */
#define VMAS_MAX 1000000
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#define USER_END 0x7ffffffff000 /* above all that is mapped without being asked for */

/* VmFlags letters that become mmap() flags or advice */
struct vm_letter {
	char at[4];
	uint32_t flag;
	int advice; /* MADV_*, -1 none */
};
static const struct vm_letter vm_letters[] = {
	{ " gd", MAP_GROWSDOWN, -1 },	 { " lo", MAP_LOCKED, -1 },	{ " nr", MAP_NORESERVE, -1 },
	{ " ht", MAP_HUGETLB, -1 },	 { " sr", 0, MADV_SEQUENTIAL }, { " rr", 0, MADV_RANDOM },
	{ " dc", 0, MADV_DONTFORK },	 { " dd", 0, MADV_DONTDUMP },	{ " mg", 0, MADV_MERGEABLE },
	{ " hg", 0, MADV_HUGEPAGE },	 { " nh", 0, MADV_NOHUGEPAGE }, { " wf", 0, MADV_WIPEONFORK },
};

/* Flag "lf" is shown since Linux 6.18; what was locked without MLOCK_ONFAULT has all its pages, as a rule. */
static bool vma_onfault(const char *flags, uint64_t size, uint64_t rss)
{
	return strstr(flags, " lf") || (strstr(flags, " lo") && rss < size);
}

static VmaEntry *mm_add_vma(MmEntry *mm)
{
	VmaEntry *e = xalloc(sizeof(*e));

	vma_entry__init(e);
	e->fd = -1;
	if ((mm->n_vmas & (mm->n_vmas - 1)) == 0)
		mm->vmas = xgrow(mm->vmas, (mm->n_vmas ? mm->n_vmas * 2 : 1) * sizeof(*mm->vmas));
	mm->vmas[mm->n_vmas++] = e;
	return e;
}

static int vma_classify(struct session *s, struct mem_view *v)
{
	const struct mem_kind *kind = NULL;
	int r;

	for (size_t i = 0; i < sizeof(vm_letters) / sizeof(vm_letters[0]); i++) {
		if (!strstr(v->flags, vm_letters[i].at))
			continue;
		v->e->flags |= vm_letters[i].flag;
		if (vm_letters[i].advice >= 0) {
			v->e->has_madv = true;
			v->e->madv |= 1ULL << vm_letters[i].advice;
		}
	}
	for (size_t i = 0; mem_kinds[i]; i++)
		if (mem_kinds[i]->is && mem_kinds[i]->is(v))
			kind = mem_kinds[i];
	if (!kind)
		return session_fail(s, -ENOTSUP,
				    "task %d: mapping %llx-%llx of %s is of a sort that cannot be checkpointed",
				    v->task->vpid, (unsigned long long)v->e->start,
				    (unsigned long long)v->e->end, v->name[0] ? v->name : "memory");
	if (v->e->flags & MAP_HUGETLB)
		v->e->flags |= (uint32_t)__builtin_ctzll(v->page ? v->page : PAGE) << MAP_HUGE_SHIFT;
	r = kind->dump(s, v);
	session_debug(s, "vma %llx-%llx %s status %x flags %x prot %x %s",
		      (unsigned long long)v->e->start, (unsigned long long)v->e->end, kind->name,
		      v->e->status, v->e->flags, v->e->prot, v->name);
	return r;
}

/* Header line of one area: "start-end perms offset maj:min inode   name". */
static int vma_header(struct mem_view *v, char *line)
{
	unsigned long long start, end, off, ino;
	unsigned maj, min;
	char perms[8];
	int at = 0;

	if (sscanf(line, "%llx-%llx %7s %llx %x:%x %llu %n", &start, &end, perms, &off, &maj, &min,
		   &ino, &at) < 7)
		return -EBADMSG;
	v->e->start = start;
	v->e->end = end;
	v->e->pgoff = ino ? off : 0;
	v->e->prot = (perms[0] == 'r' ? PROT_READ : 0) | (perms[1] == 'w' ? PROT_WRITE : 0) |
		     (perms[2] == 'x' ? PROT_EXEC : 0);
	v->shared = perms[3] == 's';
	v->dev = (uint64_t)maj << 20 | min;
	v->ino = ino;
	v->name = at ? line + at : "";
	return 0;
}

/* [vvar] and [vvar_vclock] are one area in images */
static bool vvar_merged(MmEntry *mm, VmaEntry *e)
{
	VmaEntry *last = mm->n_vmas > 1 ? mm->vmas[mm->n_vmas - 2] : NULL;

	if (!(e->status & VMA_VVAR) || !last || !(last->status & VMA_VVAR) || last->end != e->start)
		return false;
	last->end = e->end;
	return true;
}

/* What a userfaultfd is told of. */
static void vma_watched(const struct mem_view *v)
{
	v->e->uffd = (strstr(v->flags, " um") ? UFFDIO_REGISTER_MODE_MISSING : 0) |
		     (strstr(v->flags, " uw") ? UFFDIO_REGISTER_MODE_WP : 0) |
		     (strstr(v->flags, " ui") ? UFFDIO_REGISTER_MODE_MINOR : 0);
	v->e->has_uffd = v->e->uffd != 0;
}

/* "[anon:NAME]", or "[anon_shmem:NAME]" */
static void vma_name(const struct mem_view *v)
{
	const char *at = !strncmp(v->name, "[anon", 5) ? strchr(v->name, ':') : NULL;

	if (!at || !at[1] || at[strlen(at) - 1] != ']')
		return;
	v->e->name = xstrdup(at + 1);
	v->e->name[strlen(at) - 2] = 0;
}

static int note_vma(struct session *s, struct task *task, MmEntry *mm, char *head, char *body)
{
	struct mem_view v = { .task = task, .e = mm_add_vma(mm) };
	char *eol = strchr(head, '\n'), *flags, *flags_end;
	uint64_t huge = 0, page = 0, pkey = 0, size = 0, rss = 0;
	int r;

	*eol = 0;
	flags = strstr(body, "VmFlags:");
	if (!flags)
		return session_fail(s, -EBADMSG, "task %d: smaps shows no VmFlags", task->vpid);
	flags_end = strchr(flags, '\n');
	if (flags_end)
		*flags_end = 0;
	v.flags = flags;
	text_u64(body, "AnonHugePages:", 10, &huge);
	v.anon_huge = huge << 10;
	text_u64(body, "KernelPageSize:", 10, &page);
	v.page = page << 10;
	text_u64(body, "ProtectionKey:", 10, &pkey);
	v.e->has_pkey = pkey != 0;
	v.e->pkey = pkey;
	text_u64(body, "Size:", 10, &size);
	text_u64(body, "Rss:", 10, &rss);
	v.e->has_lock_onfault = v.e->lock_onfault = vma_onfault(flags, size, rss);
	v.e->has_sealed = v.e->sealed = strstr(flags, " sl") != NULL;
	v.e->has_droppable = v.e->droppable = strstr(flags, " dp") != NULL;
	vma_watched(&v);
	r = vma_header(&v, head);
	if (r == 0)
		vma_name(&v);
	if (r < 0)
		return session_fail(s, r, "task %d: smaps line \"%s\"", task->vpid, head);
	r = vma_classify(s, &v);
	if (r == 1 || (r == 0 && vvar_merged(mm, v.e))) {
		free(mm->vmas[--mm->n_vmas]);
		r = 0;
	}
	return r;
}

static bool vma_line(const char *p)
{
	/* "Key:" lines begin with a capital letter, header lines with an address */
	return (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f');
}

static int note_vmas(struct session *s, struct task *task, MmEntry *mm)
{
	own_mem char *text = NULL;
	int r = text_read(task->proc, "smaps", &text, NULL);

	if (r < 0)
		return session_fail(s, r, "task %d: read its mappings", task->vpid);
	for (char *p = text; *p;) {
		char *body = strchr(p, '\n'), *next;

		if (!body || !vma_line(p) || mm->n_vmas > VMAS_MAX)
			return session_fail(s, -EBADMSG, "task %d: smaps is not understood",
					    task->vpid);
		for (next = ++body; *next && !vma_line(next);) {
			next = strchr(next, '\n');
			if (!next)
				return session_fail(s, -EBADMSG, "task %d: smaps is cut short",
						    task->vpid);
			next++;
		}
		if (*next)
			next[-1] = 0;
		r = note_vma(s, task, mm, p, body);
		if (r < 0)
			return r;
		p = next;
	}
	return 0;
}

/* fields of /proc/PID/stat, numbered as in proc(5) */
static int note_stat(struct session *s, struct task *task, MmEntry *mm)
{
	own_mem char *text = NULL;
	unsigned long long f[53] = { 0 };
	int n = 3, r = text_read(task->proc, "stat", &text, NULL);
	char *p = r == 0 ? strrchr(text, ')') : NULL;

	if (!p)
		return session_fail(s, r ? r : -EBADMSG, "task %d: read stat", task->vpid);
	p += 3; /* the state letter is field 3 */
	while ((p = strchr(p, ' ')) && n < 52)
		f[++n] = strtoull(++p, NULL, 10);
	mm->mm_start_code = f[26];
	mm->mm_end_code = f[27];
	mm->mm_start_stack = f[28];
	mm->mm_start_data = f[45];
	mm->mm_end_data = f[46];
	mm->mm_start_brk = f[47];
	mm->mm_arg_start = f[48];
	mm->mm_arg_end = f[49];
	mm->mm_env_start = f[50];
	mm->mm_env_end = f[51];
	return 0;
}

static int note_auxv(struct session *s, struct task *task, MmEntry *mm)
{
	own_mem char *text = NULL;
	size_t n = 0;
	int r = text_read(task->proc, "auxv", &text, &n);

	if (r < 0)
		return session_fail(s, r, "task %d: read auxv", task->vpid);
	mm->n_mm_saved_auxv = n / 8;
	mm->mm_saved_auxv = xmemdup(text, mm->n_mm_saved_auxv * 8);
	return 0;
}

static int note_exe(struct session *s, struct task *task, MmEntry *mm)
{
	own_mem char *link = NULL;
	own_fd int fd = fd_high(openat(task->proc, "exe", O_PATH | O_CLOEXEC));
	int r = fd < 0 ? -errno : text_readlink(task->proc, "exe", &link);

	if (r < 0)
		return session_fail(s, r, "task %d: find its executable", task->vpid);
	return fd_put_path(s, task, fd, link, NULL, &mm->exe_file_id);
}

/* A system call instruction in the task's code; vdso: the vdso's first, else it comes last. */
static int insn_find(struct session *s, struct task *task, bool vdso, uint64_t *ret)
{
	const MmEntry *mm = task->mm;
	own_mem char *buf = xalloc(65536);

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < mm->n_vmas; i++) {
			const VmaEntry *e = mm->vmas[i];
			size_t n = e->end - e->start < 65536 ? e->end - e->start : 65536;
			struct iovec l = { buf, n }, m = { (void *)(uintptr_t)e->start, n };
			ssize_t got;
			long at;

			if (!(e->prot & PROT_EXEC) || (e->status & VMA_VSYSCALL) ||
			    !!(e->status & VMA_VDSO) != (vdso ^ pass))
				continue;
			got = process_vm_readv(task->pid, &l, 1, &m, 1, 0);
			at = got > 0 ? arch_find_syscall(buf, got) : -ENOENT;
			if (at >= 0) {
				*ret = e->start + at;
				return 0;
			}
		}
	}
	return session_fail(s, -ENOTSUP,
			    "task %d: has no system call instruction in the code that is mapped; it cannot be entered",
			    task->vpid);
}

/* One that the tracer can borrow for its first call. */
static int find_insn(struct session *s, struct task *task)
{
	return insn_find(s, task, true, &task_leader(task)->tr->insn);
}

/* After a restore it has to be there still, and the vdso may be another one's then. */
int mem_exit_insn(struct session *s, struct task *task, uint64_t *ret)
{
	return insn_find(s, task, false, ret);
}

struct task *mem_shared_with(const struct tree *tree, size_t n)
{
	const struct task *k = tree->all[n];

	for (size_t i = 0; k->ids && i < n; i++)
		if (tree->all[i]->ids && tree->all[i]->ids->vm_id == k->ids->vm_id)
			return tree->all[i];
	return NULL;
}

/* clone(CLONE_VM): all is known from the first who has it. */
static int mem_note_same(struct task *task, struct task *first)
{
	task->mm_of = first;
	task->mm = first->mm;
	task_leader(task)->tr->insn = task_leader(first)->tr->insn;
	return 0;
}

int mem_note(struct session *s, struct tree *tree, size_t n)
{
	struct task *task = tree->all[n], *first = mem_shared_with(tree, n);
	MmEntry *mm = first ? NULL : xalloc(sizeof(*mm));
	int r;

	if (first)
		return mem_note_same(task, first);

	mm_entry__init(mm);
	task->mm = mm;
	r = note_stat(s, task, mm);
	if (r == 0)
		r = note_vmas(s, task, mm);
	if (r == 0)
		r = note_auxv(s, task, mm);
	if (r == 0)
		r = note_exe(s, task, mm);
	if (r == 0)
		r = find_insn(s, task);
	return r;
}

/* Is memory to come locked only when it is touched? Then so is the agent's. */
static bool area_onfault(const struct task *task)
{
	own_mem char *text = NULL;
	char head[24];
	uint64_t size = 0, rss = 0;
	char *p, *end;

	snprintf(head, sizeof(head), "%llx-", (unsigned long long)task_leader(task)->area->remote);
	p = text_read(task->proc, "smaps", &text, NULL) < 0 ? NULL : strstr(text, head);
	end = p ? strstr(p, "VmFlags:") : NULL;
	if (!end)
		return false;
	end[strcspn(end, "\n")] = 0;
	text_u64(p, "Size:", 10, &size);
	text_u64(p, "Rss:", 10, &rss);
	return vma_onfault(end, size, rss);
}

void mem_ask(struct session *s, struct task *task, struct batch *b)
{
	call1(b, NULL, SYS_brk, 0);
	call5(b, NULL, SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
	call5(b, NULL, SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
	/* refused of what is locked (EBUSY), as the agent's area is by mlockall(MCL_FUTURE) only */
	call3(b, NULL, SYS_msync, task_leader(task)->area->remote, PAGE, MS_INVALIDATE);
	for (size_t i = 0; i < task->mm->n_vmas; i++)
		if (task->mm->vmas[i]->start <= USER_END && task->mm->vmas[i]->end > USER_END)
			return; /* a program that lives above 47 bits */
	/* of a page that nothing is mapped at: EINVAL, the key is not allocated; else there is no memory */
	for (unsigned k = 1; k < PKEYS_MAX; k++)
		call4(b, NULL, SYS_pkey_mprotect, USER_END, PAGE, PROT_NONE, k);
}

int mem_tell(struct session *s, struct task *task, struct batch *b)
{
	MmEntry *mm = task->mm;

	mm->mm_brk = batch_ret(b, 0);
	if (batch_ret(b, 1) >= 0) {
		mm->has_dumpable = true;
		mm->dumpable = batch_ret(b, 1);
	}
	if (batch_ret(b, 2) > 0) {
		mm->has_thp_disabled = mm->thp_disabled = true;
		mm->thp_flags = batch_ret(b, 2) & ~1;
		mm->has_thp_flags = mm->thp_flags;
	}
	if (batch_ret(b, 3) == -EBUSY) {
		mm->has_lock_future = true;
		mm->lock_future = MCL_FUTURE | (area_onfault(task) ? MCL_ONFAULT : 0);
	}
	for (unsigned k = 1; k < PKEYS_MAX && b->n > ASKED - 1 + k; k++)
		if (batch_ret(b, ASKED - 1 + k) == -ENOMEM)
			mm->pkeys |= 1u << k;
	mm->has_pkeys = mm->pkeys;
	/* the kernel's own key, for what may be executed only, does not count as allocated */
	for (size_t i = 0; i < mm->n_vmas; i++)
		if (mm->vmas[i]->has_pkey && !(mm->pkeys >> mm->vmas[i]->pkey & 1)) {
			mm->has_exec_pkey = true;
			mm->exec_pkey = mm->vmas[i]->pkey;
		}
	return mem_numa_ask(s, task, b);
}

bool mem_same_program(const MmEntry *a, const MmEntry *b)
{
	return a->mm_start_code == b->mm_start_code && a->mm_start_brk == b->mm_start_brk &&
	       a->mm_start_stack == b->mm_start_stack && a->mm_arg_start == b->mm_arg_start;
}

static bool droppable_here(struct session *s)
{
	void *p = mmap(NULL, PAGE, PROT_NONE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
	struct map *said = session_map(s, "no droppable memory");

	if (p != MAP_FAILED) {
		munmap(p, PAGE);
		return true;
	}
	if (!map_get(said, 1))
		session_warn(s, "memory: this kernel has none that it may drop (MAP_DROPPABLE); it is made as other memory");
	map_put(said, 1, s);
	return false;
}

int mem_mmap(struct session *s, struct mem_map *m, struct batch *b)
{
	const VmaEntry *e = m->e;
	int keep = MAP_PRIVATE | MAP_SHARED | MAP_GROWSDOWN | MAP_NORESERVE;
	int flags = (e->flags & keep) | MAP_FIXED | (m->num < 0 ? MAP_ANONYMOUS : 0);
	bool huge = m->num < 0 && (e->flags & MAP_HUGETLB);
	/*
	 * Pages are filled before protections are set. What is never written must not be writable for a moment either:
	 * the kernel would count it as memory that is promised, and refuse terabytes of reserved addresses.
	 */
	int prot = vma_private(e) && m->filled ? (int)(e->prot | PROT_WRITE) : (int)e->prot;
	unsigned n;

	if (vma_private(e) && m->num >= 0 && !(e->flags & MAP_PRIVATE))
		flags = (flags & ~MAP_SHARED) | MAP_PRIVATE;
	if (huge)
		flags |= e->flags & VMA_HUGE;
	if (e->droppable && m->num < 0 && droppable_here(s))
		flags = (flags & ~MAP_PRIVATE) | MAP_DROPPABLE;
	n = batch_call(b, huge ? "memory: map huge pages (vm.nr_hugepages says how many there are)" : "memory: map an area", SYS_mmap, e->start, e->end - e->start, prot, flags,
		       m->num, m->num < 0 ? 0 : e->pgoff);
	batch_stop(b, n);
	return 0;
}
