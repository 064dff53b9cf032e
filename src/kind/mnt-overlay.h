/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-overlay: overlays and where their layers are. */
#ifndef KIND_MNT_OVERLAY_H
#define KIND_MNT_OVERLAY_H

#include "kind/mnt-list.h"

/**
 * mnt_overlay_note - dump: which mounts came after an overlay and are over its layers: e->covers
 * @root: "/" of a task in the namespace
 * @ns: the namespace
 * @main: the list of the root task's namespace, for another's: overlays that it shows are not made anew; or NULL
 */
void mnt_overlay_note(int root, int ns, struct mnt_list *l, const struct mnt_list *main);
/** mnt_overlay_check - preflight: mounted anew, are its layers to be found by their names? */
int mnt_overlay_check(struct session *s, int root, const struct mnt_list *l, const struct mnt *m);

/** mnt_overlay_lacks - restore: is a layer on a mount which is not made yet, another overlay maybe? */
bool mnt_overlay_lacks(const struct mnt_list *l, const struct mnt *m);
/** mnt_overlay_covers - restore: would m hide a layer that o, an overlay, has to find before? */
bool mnt_overlay_covers(const struct mnt *o, const struct mnt *m);

#endif
