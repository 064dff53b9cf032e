/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-idmap: the maps of users and groups that an idmapped mount shows its files by. */
#ifndef KIND_MNT_IDMAP_H
#define KIND_MNT_IDMAP_H

#include "kind/mnt-list.h"

/**
 * mnt_idmap_note - dump: the maps of the idmapped mounts of a list into their entries
 * @ns: the mount namespace, borrowed
 * Those that the kernel does not tell of stay without.
 */
void mnt_idmap_note(int ns, struct mnt_list *l);
/** mnt_idmap_prepare - restore, supervisor: user namespaces with the maps of a list's mounts, as the kernel wants them */
int mnt_idmap_prepare(struct session *s, struct mnt_list *l);
/** mnt_idmap_set - restore: detached fd (owned) is taken for mount m: with its map, or without any; the same or -errno said */
int mnt_idmap_set(struct session *s, const struct mnt_list *l, const struct mnt *m, int fd);

#endif
