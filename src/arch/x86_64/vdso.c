// SPDX-License-Identifier: Apache-2.0
/*
 * vdso: entry points of a vdso image, and the jump that leads from one to another's.
 * Source: ELF-64; vdso(7). The image may come from a file: nothing in it is trusted.
 */
#include "arch/arch.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define SYMS_MAX 256

struct vdso_syms {
	const unsigned char *image;
	size_t n;
	uint64_t sym, str, count; /* offsets in the image */
};

static bool inside(const struct vdso_syms *v, uint64_t off, uint64_t len)
{
	return off <= v->n && len <= v->n - off;
}

/* The dynamic symbols; their strings stand right behind them, as linkers place them. */
static int vdso_syms(struct vdso_syms *v, const void *image, size_t n)
{
	Elf64_Ehdr h;
	Elf64_Phdr p;
	uint64_t dyn = 0, dyn_n = 0;

	*v = (struct vdso_syms){ .image = image, .n = n };
	if (n < sizeof(h))
		return -EBADMSG;
	memcpy(&h, image, sizeof(h));
	if (memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_ident[EI_CLASS] != ELFCLASS64)
		return -EBADMSG;
	for (unsigned i = 0; i < h.e_phnum && i < 32; i++) {
		if (!inside(v, h.e_phoff + i * sizeof(p), sizeof(p)))
			return -EBADMSG;
		memcpy(&p, v->image + h.e_phoff + i * sizeof(p), sizeof(p));
		if (p.p_type == PT_DYNAMIC) {
			dyn = p.p_offset;
			dyn_n = p.p_filesz / sizeof(Elf64_Dyn);
		}
	}
	if (!inside(v, dyn, dyn_n * sizeof(Elf64_Dyn)))
		return -EBADMSG;
	for (uint64_t i = 0; i < dyn_n; i++) {
		Elf64_Dyn d;

		memcpy(&d, v->image + dyn + i * sizeof(d), sizeof(d));
		if (d.d_tag == DT_SYMTAB)
			v->sym = d.d_un.d_ptr;
		if (d.d_tag == DT_STRTAB)
			v->str = d.d_un.d_ptr;
	}
	if (!v->sym || v->str <= v->sym || !inside(v, v->sym, v->str - v->sym))
		return -EBADMSG;
	v->count = (v->str - v->sym) / sizeof(Elf64_Sym);
	return v->count <= SYMS_MAX ? 0 : -EBADMSG;
}

/* The i-th symbol's name and offset, if it is a function of the image. */
static const char *vdso_func(const struct vdso_syms *v, uint64_t i, uint64_t *off)
{
	Elf64_Sym s;
	const char *name;

	memcpy(&s, v->image + v->sym + i * sizeof(s), sizeof(s));
	if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || !s.st_shndx || !inside(v, v->str, s.st_name) ||
	    !inside(v, s.st_value, ARCH_JUMP))
		return NULL;
	name = (const char *)v->image + v->str + s.st_name;
	*off = s.st_value;
	return memchr(name, 0, v->n - v->str - s.st_name) ? name : NULL;
}

/* movabs $target, %rax; jmp *%rax: at a function's first byte rax is free */
static void put_jump(unsigned char *at, uint64_t target)
{
	at[0] = 0x48;
	at[1] = 0xb8;
	memcpy(at + 2, &target, 8);
	at[10] = 0xff;
	at[11] = 0xe0;
}

int arch_vdso_redirect(void *old, size_t old_n, const void *now, size_t now_n, uint64_t now_at)
{
	struct vdso_syms o, h;
	int r = vdso_syms(&o, old, old_n);

	if (r == 0)
		r = vdso_syms(&h, now, now_n);
	if (r < 0)
		return r;
	for (uint64_t i = 0; i < o.count; i++) {
		uint64_t from, to = 0;
		const char *name = vdso_func(&o, i, &from);
		bool found = false;

		for (uint64_t k = 0; name && !found && k < h.count; k++) {
			const char *other = vdso_func(&h, k, &to);

			found = other && !strcmp(name, other);
		}
		if (name && !found)
			return -ENOENT;
		/* the symbol table itself is not overwritten: code stands behind it */
		if (name && from > o.str)
			put_jump((unsigned char *)old + from, now_at + to);
	}
	return 0;
}
