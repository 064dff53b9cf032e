/* SPDX-License-Identifier: Apache-2.0 */
/* elf-id: which build of a program or library a file is, by the note that linkers leave in it. */
#ifndef KIND_ELF_ID_H
#define KIND_ELF_ID_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ELF_ID_MAX 16 /* words; usual are 5 */

/* wire: reg_file_entry.build_id, four bytes a word, the last filled up with zeros */
struct elf_id {
	uint32_t words[ELF_ID_MAX];
	size_t n; /* 0: it has none */
};

/** elf_id_of_file - of a descriptor that can be read */
void elf_id_of_file(int fd, struct elf_id *ret);
/** elf_id_of_memory - of a file that pid has mapped from its beginning at [start, end) */
void elf_id_of_memory(pid_t pid, uint64_t start, uint64_t end, struct elf_id *ret);

#endif
