/* SPDX-License-Identifier: Apache-2.0 */
/* pstree: the tree itself in images: pstree.img, ids-P.img, fs-P.img, inventory.img. */
#ifndef KIND_PSTREE_H
#define KIND_PSTREE_H

#include "images/inventory.pb-c.h"
#include "task/tree.h"

/** pstree_note_ids - vm, files, fs and sighand ids of every live task; refuses sharing we cannot redo */
int pstree_note_ids(struct session *s, struct tree *tree);
/** pstree_dump - pstree.img and ids-P.img */
int pstree_dump(struct session *s, struct tree *tree);
/** pstree_dump_fs - fs-P.img: working directory, root, umask */
int pstree_dump_fs(struct session *s, struct tree *tree);
/** inventory_dump - inventory.img, written last: a directory without it is no checkpoint */
int inventory_dump(struct session *s);

/** inventory_read - checked; owned by the caller */
int inventory_read(struct session *s, InventoryEntry **ret);
/** pstree_read - the planned tree: pstree.img, ids-P.img, fs-P.img; cores are read by task_read_cores() */
int pstree_read(struct session *s, struct tree *tree);
/** pstree_restore_fs - add the calls that set root, working directory and umask */
int pstree_restore_fs(struct session *s, struct task *task);

#endif
