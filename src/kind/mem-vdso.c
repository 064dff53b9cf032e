// SPDX-License-Identifier: Apache-2.0
#include "kind/mem-vdso.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/mem.h"

#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

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

/* Is the image's code the same as this kernel's? */
static int same_code(struct session *s, const struct pages *pages, const VmaEntry *vdso, uint64_t own,
		     size_t own_len, bool *ret)
{
	char buf[PAGE];

	*ret = vdso->end - vdso->start == own_len;
	for (uint64_t off = 0; *ret && off < own_len; off += PAGE) {
		size_t i = pages_find(pages, vdso->start + off);
		const struct page_run *run = i < pages->n ? &pages->v[i] : NULL;

		if (!run || run->vaddr > vdso->start + off) {
			*ret = false;
			break;
		}
		if (pread(pages->files.v[run->file], buf, PAGE,
			  run->off + (vdso->start + off - run->vaddr)) != (ssize_t)PAGE)
			return session_fail(s, -EBADMSG, "vdso: read its pages");
		*ret = !memcmp(buf, (const void *)(uintptr_t)(own + off), PAGE);
	}
	return 0;
}

int vdso_build(struct session *s, struct task *k, const struct pages *pages, bool inherits,
	       struct batch *b)
{
	const VmaEntry *vdso = NULL, *vvar = NULL;
	uint64_t start, code, end;
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
		r = same_code(s, pages, vdso, code, end - code, &same);
	if (r < 0)
		return r;
	if (!same || !vvar || vvar->end != vdso->start || vvar->end - vvar->start != code - start)
		return session_fail(s, -ENOTSUP,
				    "task %d: was dumped under a kernel with another vdso; restore it under that kernel",
				    k->vpid);
	call2(b, "vdso: map", SYS_arch_prctl, ARCH_MAP_VDSO_64, vvar->start);
	r = batch_run(b);
	batch_clear(b);
	return r;
}
