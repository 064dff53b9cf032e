/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-owned: mount namespaces that belong to a nested user namespace; for mnt-build.c only. */
#ifndef KIND_MNT_OWNED_H
#define KIND_MNT_OWNED_H

#include "kind/mnt-list.h"
#include "kind/ns.h"

/**
 * owned_stage - in the guest, in a copy of the root task's mounts: what shows mounts of more privileged namespaces
 * is put together in a directory each, and all else is left behind. Then the namespace is made of it: we are in it.
 * Return: a descriptor of it, or -errno with the reason.
 */
int owned_stage(struct session *s, const struct ns *ns, struct mnt_list *l);
/** owned_find - what came locked with its parent and is not known yet */
int owned_find(struct session *s, struct mnt_list *l);
/** owned_super - a new file system that belongs to the user namespace: a detached mount of it, or -errno */
int owned_super(struct session *s, const struct ns *ns, const struct mnt *m,
		int (*make)(struct session *s, const struct mnt *m));

#endif
