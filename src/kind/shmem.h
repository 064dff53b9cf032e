/* SPDX-License-Identifier: Apache-2.0 */
/* shmem: contents of shared memory objects, stored once each in pagemap-shmem-ID. */
#ifndef KIND_SHMEM_H
#define KIND_SHMEM_H

#include "session/session.h"

/** shmem_id - id of the object with that inode number; those below 2^31 are System V's */
static inline uint32_t shmem_id(uint64_t ino)
{
	return ino | 0x80000000u;
}
/** shmem_huge - bytes of a page of the object, if it is of huge pages; else 0 */
uint64_t shmem_huge(int fd);
/** shmem_secret - is it secret memory (memfd_secret), which can only be mapped? No other open file of it can be made */
bool shmem_secret(int fd);
/** shmem_again - another open file of the object; of secret memory the same one. -errno */
int shmem_again(int fd, int flags);
/**
 * shmem_dump - store the contents of a shared memory object, once per shmid
 * @fd: readable descriptor of it, borrowed
 * @size: bytes; need not be a multiple of the page size
 */
int shmem_dump(struct session *s, uint64_t shmid, int fd, uint64_t size);
/** shmem_keep_zeroes - from now on shmem_dump() stores pages of zeroes, too: somebody tells them from missing ones */
void shmem_keep_zeroes(struct session *s);
/** shmem_restore - write what was stored into fd, a fresh object of at least that size */
int shmem_restore(struct session *s, uint64_t shmid, int fd, uint64_t size);
/**
 * shmem_anon - the object behind mappings that are MAP_SHARED|MAP_ANONYMOUS, made and filled at the
 * first call
 * @size: bytes, of all mappings together
 * @huge: mmap() flags for pages of hugetlbfs, or 0
 * Return: a descriptor that belongs to the session, or -errno with the reason.
 */
int shmem_anon(struct session *s, uint64_t shmid, uint64_t size, int huge);
/** shmem_anon_size - note how far a mapping of shmid reaches, before shmem_anon() */
void shmem_anon_size(struct session *s, uint64_t shmid, uint64_t end);

#endif
