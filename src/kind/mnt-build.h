/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-build: the mounts of an image, made in a fresh mount namespace. */
#ifndef KIND_MNT_BUILD_H
#define KIND_MNT_BUILD_H

#include "kind/mnt-list.h"

/** mnt_sources - supervisor, before the namespace exists: take clones of the root and of externals */
int mnt_sources(struct session *s, struct mnt_list *l);
/** mnt_build - in a guest inside the namespace: mount everything and make it the root */
int mnt_build(struct session *s, struct mnt_list *l);

#endif
