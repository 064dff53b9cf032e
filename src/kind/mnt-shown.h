/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-shown: mounts that show a mnt namespace ("unshare --mount=FILE"). */
#ifndef KIND_MNT_SHOWN_H
#define KIND_MNT_SHOWN_H

#include "kind/mnt-list.h"
#include "kind/ns.h"

/** mnt_shown_mark - restore: those of a list that have to wait till the nested mnt namespaces are made */
void mnt_shown_mark(struct session *s, struct mnt_list *l);
/** mnt_shown_age - in the guest that makes them, if there are any such: they will be younger than all there are now */
int mnt_shown_age(struct session *s);

#endif
