/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filelock: locks on open files: POSIX, flock, OFD, leases. filelocks.img, one record per lock, written
 * only with opts->file_locks.
 */
#ifndef KIND_FILELOCK_H
#define KIND_FILELOCK_H

#include "kind/fd.h"

/** filelock_check - preflight: can the locks behind a descriptor be kept? Says what to do */
int filelock_check(struct session *s, const struct fd_view *v);
/** filelock_check_end - preflight, all descriptors were checked: locks that only a mapping holds */
int filelock_check_end(struct session *s, const struct tree *tree);
/**
 * filelock_note - write the locks behind a descriptor, each once, however many share it
 * @v: complete, with its file id
 */
int filelock_note(struct session *s, const struct fd_view *v);
/** filelock_queued - a file that is in no table (in a socket's queue): its locks need a holder elsewhere */
int filelock_queued(struct session *s, const struct fd_view *v);
/** filelock_dump_end - all descriptors were noted: what only a mapping holds is written too */
int filelock_dump_end(struct session *s);

/** filelock_read - the locks of the image, checked; refused without opts->file_locks */
int filelock_read(struct session *s);
/** filelock_mapping - before a mapping is made from descriptor num: add the call for the lock it holds */
void filelock_mapping(struct session *s, const struct task *k, uint64_t start, int num, struct batch *b);
/** filelock_restore - set them; after this nobody in the tree may close a descriptor */
int filelock_restore(struct session *s);

#endif
