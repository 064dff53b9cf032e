// SPDX-License-Identifier: Apache-2.0
#include "kind/mem-vdso.h"

#include "arch/arch.h"
#include "base/res.h"
#include "base/text.h"
#include "kind/mem.h"

#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define VDSO_MAX (1u << 20)
#define VDSO_GAP 0x10000 /* between the agent's area and it; both lie in one hole */

#ifndef ARCH_MAP_VDSO_64
#define ARCH_MAP_VDSO_64 0x2003
#endif

/* Where the kernel put this process's own: [*start, *end) and its code [*code, *end). */
static int own_vdso(struct session *s, uint64_t *start, uint64_t *code, uint64_t *end)
{
	own_mem char *text = NULL;
	int r = text_read(AT_FDCWD, "/proc/self/maps", &text, NULL);

	*start = *code = *end = 0;
	if (r < 0)
		return session_fail(s, r, "vdso: find our own");
	for (char *p = text, *eol; *p; p = eol + 1) {
		uint64_t a, b;
		char *q;

		eol = strchr(p, '\n');
		if (!eol)
			break;
		*eol = 0;
		a = strtoull(p, &q, 16);
		b = strtoull(q + 1, NULL, 16);
		if (strstr(p, "[vvar") && !*start)
			*start = a;
		if (strstr(p, "[vdso]")) {
			*code = a;
			*end = b;
		}
	}
	return *code ? 0 : session_fail(s, -ENOENT, "vdso: this process has none");
}

/* The image's vdso, read from its pages; owned by the caller. */
static int image_vdso(struct session *s, const struct pages *pages, const VmaEntry *vdso, char **ret)
{
	size_t n = vdso->end - vdso->start;
	own_mem char *buf = NULL;

	if (n > VDSO_MAX)
		return session_fail(s, -EBADMSG, "vdso: %zu bytes are no vdso", n);
	buf = xalloc(n);
	for (uint64_t off = 0; off < n; off += PAGE) {
		size_t i = pages_find(pages, vdso->start + off);
		const struct page_run *run = i < pages->n ? &pages->v[i] : NULL;

		if (!run || run->vaddr > vdso->start + off ||
		    pread(pages->files.v[run->file], buf + off, PAGE,
			  run->off + (vdso->start + off - run->vaddr)) != (ssize_t)PAGE)
			return session_fail(s, -EBADMSG, "vdso: its pages are missing");
	}
	*ret = take_mem(buf);
	return 0;
}

/* Keep the old one as memory, its entry points leading to the running kernel's, mapped at now_at. */
static int vdso_redirect(struct session *s, struct task *k, const VmaEntry *vdso, char *old,
			 uint64_t code, size_t code_n, uint64_t now_at, struct batch *b)
{
	size_t n = vdso->end - vdso->start;
	char seen[64];
	struct iovec l = { old, n }, m = { (void *)(uintptr_t)vdso->start, n };
	struct iovec ls = { seen, sizeof(seen) }, ms = { (void *)(uintptr_t)now_at, sizeof(seen) };
	int r = arch_vdso_redirect(old, n, (const void *)(uintptr_t)code, code_n, now_at);

	if (r < 0)
		return session_fail(s, -ENOTSUP,
				    "task %d: was dumped under a kernel whose vdso this one cannot stand in for",
				    k->vpid);
	batch_call(b, "vdso: keep the old one", SYS_mmap, vdso->start, n, PROT_READ | PROT_WRITE,
	      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	r = batch_run(b);
	batch_clear(b);
	if (r < 0)
		return r;
	if (process_vm_readv(k->pid, &ls, 1, &ms, 1, 0) != sizeof(seen) ||
	    memcmp(seen, (const void *)(uintptr_t)code, sizeof(seen)))
		return session_fail(s, -EFAULT, "task %d: the kernel put its vdso elsewhere", k->vpid);
	if (process_vm_writev(k->pid, &l, 1, &m, 1, 0) != (ssize_t)n)
		return session_fail(s, -errno, "task %d: write its vdso", k->vpid);
	call3(b, "vdso: protect", SYS_mprotect, vdso->start, n, vdso->prot);
	r = batch_run(b);
	batch_clear(b);
	return r;
}

int vdso_build(struct session *s, struct task *k, const struct pages *pages, bool inherits,
	       struct batch *b)
{
	const VmaEntry *vdso = NULL, *vvar = NULL;
	const struct area *area = task_leader(k)->area;
	own_mem char *old = NULL;
	uint64_t start, code, end, at;
	bool same;
	int r;

	for (size_t i = 0; i < k->mm->n_vmas; i++) {
		if (k->mm->vmas[i]->status & VMA_VDSO)
			vdso = k->mm->vmas[i];
		if (k->mm->vmas[i]->status & VMA_VVAR)
			vvar = k->mm->vmas[i];
	}
	if (!vdso || inherits)
		return 0;
	r = own_vdso(s, &start, &code, &end);
	if (r == 0)
		r = image_vdso(s, pages, vdso, &old);
	if (r < 0)
		return r;
	same = vdso->end - vdso->start == end - code && vvar && vvar->end == vdso->start &&
	       vvar->end - vvar->start == code - start &&
	       !memcmp(old, (const void *)(uintptr_t)code, end - code);
	at = same ? vvar->start : page_up(area->remote + area->len) + VDSO_GAP;
	call2(b, "vdso: map", SYS_arch_prctl, ARCH_MAP_VDSO_64, at);
	r = batch_run(b);
	batch_clear(b);
	if (r == 0 && !same)
		r = vdso_redirect(s, k, vdso, old, code, end - code, at + (code - start), b);
	return r;
}
