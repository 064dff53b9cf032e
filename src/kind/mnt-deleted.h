/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-deleted: mounts that show a file or directory which was deleted. */
#ifndef KIND_MNT_DELETED_H
#define KIND_MNT_DELETED_H

#include "kind/mnt-list.h"
#include "kind/ns.h"

/** mnt_deleted_begin - dump: forget what was noted of other lists */
void mnt_deleted_begin(struct session *s);
/** mnt_deleted_note - dump: tell those of a list apart; root: "/" of a task in that namespace, borrowed */
void mnt_deleted_note(struct session *s, int root, struct mnt_list *l);
/** mnt_deleted_check - preflight of one; 0, or -ENOTSUP with the reason */
int mnt_deleted_check(struct session *s, int root, const struct mnt *m);
/** mnt_deleted_dump - what they show, into ghost-file-ID.img */
int mnt_deleted_dump(struct session *s, int root, const struct mnt_list *l);

/**
 * mnt_deleted_make - restore: once more, in the file system that a mount shows; it has a name till mnt_deleted_end()
 * @dir: root of that mount, which is made already; borrowed
 * Return: a descriptor of its path, or -errno with the reason.
 */
int mnt_deleted_make(struct session *s, const struct mnt *m, const struct mnt *of, int dir);
/** mnt_deleted_end - all are mounted: their names are taken away */
int mnt_deleted_end(struct session *s);

#endif
