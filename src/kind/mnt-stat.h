/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-stat: what statmount(2) tells of the mounts of a namespace, and mountinfo does not. */
#ifndef KIND_MNT_STAT_H
#define KIND_MNT_STAT_H

#include <stdint.h>

#define MNT_STAT_BASIC 0x2
#define MNT_STAT_UIDMAP 0x2000
#define MNT_STAT_GIDMAP 0x4000

/** struct mnt_stat - struct statmount of Linux 6.15 */
struct mnt_stat {
	uint32_t size, opts;
	uint64_t mask;
	uint32_t other1[6];
	uint64_t id, parent; /* never used twice; grow with each new mount */
	uint32_t id_old, parent_old; /* those of mountinfo */
	uint64_t other2[5];
	uint32_t root, point;
	uint64_t ns;
	uint32_t other3[6];
	uint64_t supported;
	uint32_t n_uid, uid, n_gid, gid;
	uint64_t spare[43];
	char text[8192];
};

/**
 * mnt_stat_each - calls fn for each mount of a namespace of which the kernel tells all that is wanted
 * @ns: a descriptor of the namespace
 * @wanted: MNT_STAT_*
 *
 * Does nothing on kernels that cannot list the mounts of another namespace (Linux 6.11).
 */
void mnt_stat_each(int ns, uint64_t wanted, void (*fn)(void *arg, const struct mnt_stat *m), void *arg);

#endif
