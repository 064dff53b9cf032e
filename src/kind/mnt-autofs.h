/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-autofs: mounts of an automounter that is one of the tasks. */
#ifndef KIND_MNT_AUTOFS_H
#define KIND_MNT_AUTOFS_H

#include "kind/mnt-list.h"
#include "kind/ns.h"

/** autofs_root - dump: is fd the root of an autofs? its device then (as mnt_entry.root_dev), else 0 */
uint32_t autofs_root(int fd);
/** autofs_check - preflight of one mount; root: "/" of a task that sees it, borrowed */
int autofs_check(struct session *s, int root, const struct mnt *m);
/** autofs_dump - autofs-DEV.img of each in a list */
int autofs_dump(struct session *s, int root, const struct mnt_list *l);

/** autofs_prepare - restore, supervisor: read the images of a list */
int autofs_prepare(struct session *s, const struct mnt_list *l);
/** autofs_make - in the guest: a detached mount of one, not served yet; or -errno with the reason */
int autofs_make(struct session *s, const struct mnt *m);
/** autofs_open_below - in the guest: the path of one of its directories; -1 and errno */
int autofs_open_below(int root, const char *name);
#define AUTOFS_TAG 0x20000000 /* of guest_give_fd(), plus DEV: root of one */
/** autofs_take - supervisor: what the guest gave; owned from here */
void autofs_take(struct session *s, uint32_t dev, int fd);
/** autofs_open - its root once more; -errno */
int autofs_open(struct session *s, uint32_t dev, int flags);
/** autofs_connect - the tasks have their descriptors: each gets its automounter back */
int autofs_connect(struct session *s, struct tree *tree);
void autofs_end(struct session *s);

#endif
