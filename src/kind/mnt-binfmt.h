/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-binfmt: handlers of executable formats in a binfmt_misc of the tasks' user namespace. */
#ifndef KIND_MNT_BINFMT_H
#define KIND_MNT_BINFMT_H

#include "kind/mnt-list.h"
#include "kind/ns.h"

/** binfmt_is_own - is that mount one of binfmt_misc with handlers of its own, not the host's? */
bool binfmt_is_own(struct session *s, const MntEntry *e, bool nested_user);
/** binfmt_check - preflight of one mount; root: "/" of a task that sees it, borrowed */
int binfmt_check(struct session *s, int root, const struct mnt *m);
/** binfmt_dump - the handlers of each in a list; main: of the root task's mounts */
int binfmt_dump(struct session *s, const struct ns *ns, int root, const struct mnt_list *l, bool main);
/** binfmt_fill - restore, in the guest, in m's namespace and root: register what its image has */
int binfmt_fill(struct session *s, const struct mnt *m);

#endif
