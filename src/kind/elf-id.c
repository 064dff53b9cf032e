// SPDX-License-Identifier: Apache-2.0
#include "kind/elf-id.h"

#include "base/res.h"

#include <elf.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define SEGMENTS_MAX 128
#define NOTES_MAX 65536 /* bytes of one segment of notes */

/* Where the bytes of an ELF file are. */
struct source {
	int fd; /* -1: in memory */
	pid_t pid;
	uint64_t start, n;
};

static bool source_read(const struct source *f, void *buf, size_t n, uint64_t at)
{
	struct iovec l = { buf, n }, m = { (void *)(uintptr_t)(f->start + at), n };

	if (f->fd >= 0)
		return at <= INT64_MAX && pread(f->fd, buf, n, at) == (ssize_t)n;
	return at <= f->n && n <= f->n - at && process_vm_readv(f->pid, &l, 1, &m, 1, 0) == (ssize_t)n;
}

static size_t padded(uint64_t n, uint64_t align)
{
	uint64_t unit = align == 8 ? 8 : 4;

	return (n + unit - 1) & ~(unit - 1);
}

/* The note of GNU's type 3 among n bytes of notes. */
static bool note_find(const uint8_t *notes, size_t n, uint64_t align, struct elf_id *ret)
{
	Elf64_Nhdr h;

	for (size_t at = 0; n - at >= sizeof(h);) {
		const uint8_t *name = notes + at + sizeof(h);
		size_t left = n - at - sizeof(h), name_size;

		memcpy(&h, notes + at, sizeof(h));
		name_size = padded(h.n_namesz, align);
		if (name_size > left || h.n_descsz > left - name_size)
			return false;
		if (h.n_type == NT_GNU_BUILD_ID && h.n_namesz == 4 && !memcmp(name, "GNU", 4)) {
			if (!h.n_descsz || h.n_descsz > sizeof(ret->words))
				return false;
			memcpy(ret->words, name + name_size, h.n_descsz);
			ret->n = (h.n_descsz + 3) / 4;
			return true;
		}
		left -= name_size;
		if (padded(h.n_descsz, align) >= left)
			return false;
		at = n - left + padded(h.n_descsz, align);
	}
	return false;
}

static void elf_id(const struct source *f, struct elf_id *ret)
{
	own_mem uint8_t *notes = NULL;
	Elf64_Phdr p;
	Elf64_Ehdr e;

	memset(ret, 0, sizeof(*ret));
	if (!source_read(f, &e, sizeof(e), 0) || memcmp(e.e_ident, ELFMAG, SELFMAG) ||
	    e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_phentsize != sizeof(p))
		return;
	notes = xalloc(NOTES_MAX);
	for (unsigned i = 0; i < e.e_phnum && i < SEGMENTS_MAX; i++) {
		if (e.e_phoff > INT64_MAX || !source_read(f, &p, sizeof(p), e.e_phoff + i * sizeof(p)))
			return;
		if (p.p_type == PT_NOTE && p.p_filesz <= NOTES_MAX && source_read(f, notes, p.p_filesz, p.p_offset) &&
		    note_find(notes, p.p_filesz, p.p_align, ret))
			return;
	}
}

void elf_id_of_file(int fd, struct elf_id *ret)
{
	struct source f = { .fd = fd };

	elf_id(&f, ret);
}

void elf_id_of_memory(pid_t pid, uint64_t start, uint64_t end, struct elf_id *ret)
{
	struct source f = { .fd = -1, .pid = pid, .start = start, .n = end - start };

	elf_id(&f, ret);
}
