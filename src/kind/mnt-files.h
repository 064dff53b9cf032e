/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-files: the files of file systems that live in memory, from wherever in the tree they show. */
#ifndef KIND_MNT_FILES_H
#define KIND_MNT_FILES_H

#include "kind/mnt-list.h"
#include "kind/ns.h"

/**
 * mnt_files - write the contents of each such superblock, in a guest, which ends up in the last namespace
 * @all: mounts of all namespaces; borrowed
 */
int mnt_files(struct session *s, size_t n, const struct ns *const *ns, struct mnt_list *lists);

#endif
