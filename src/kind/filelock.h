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
/**
 * filelock_note - write the locks behind a descriptor, each once, however many share it
 * @v: complete, with its file id
 */
int filelock_note(struct session *s, const struct fd_view *v);
/** filelock_queued - a file that is in no table (in a socket's queue): its locks need a holder elsewhere */
int filelock_queued(struct session *s, const struct fd_view *v);
/** filelock_dump_end - all descriptors were noted: what has no descriptor is refused */
int filelock_dump_end(struct session *s);

/** filelock_read - the locks of the image, checked; refused without opts->file_locks */
int filelock_read(struct session *s);
/** filelock_restore - set them; after this nobody in the tree may close a descriptor */
int filelock_restore(struct session *s);

#endif
