/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-build: the mounts of an image, made in a fresh mount namespace. */
#ifndef KIND_MNT_BUILD_H
#define KIND_MNT_BUILD_H

#include "kind/mnt-list.h"
#include "kind/ns.h"
#include "task/guest.h"

/**
 * mnt_sources - supervisor, before the namespace exists: take clones of the root and of externals
 * @main: nested: the root task's mounts, from which the rest will be taken; else NULL
 */
int mnt_sources(struct session *s, struct mnt_list *l, const struct mnt_list *main);
/**
 * mnt_build - in a guest inside the root task's namespace: mount everything and make it the root; make the
 * nested namespaces as well and give them to the supervisor (NS_TAG)
 */
int mnt_build(struct session *s, struct mnt_list *l);
/** mnt_late - supervisor, when all tasks exist: make what waits for them and pass it to the guest in mnt_build() */
int mnt_late(struct session *s, struct guest *g);

/** mnt_super_bare - a new superblock from m's type, source and options. Return: its detached mount, or -errno said */
int mnt_super_bare(struct session *s, const struct mnt *m);
/** mnt_super_read_only - that superblock, which fd is of */
int mnt_super_read_only(struct session *s, const struct mnt *m, int fd);
/** mnt_part - a clone of what lies at rel, without links, in a detached mount, since Linux 6.15; or -errno */
int mnt_part(int bare, const char *rel);

/* for mnt-owned.c */
/** mnt_attach - put m->fd in its place on its parent */
int mnt_attach(struct session *s, struct mnt *m);
/** mnt_set_flags - all of them, or only take away what it is not to have */
enum mnt_flags { MNT_FLAGS_ALL, MNT_FLAGS_CLEAR };
int mnt_set_flags(struct session *s, struct mnt *m, enum mnt_flags which);
/** mnt_root_turn - what is mounted on "/" becomes the root, the old one is let go */
int mnt_root_turn(struct session *s, int fd);

#endif
