/* SPDX-License-Identifier: Apache-2.0 */
/* fd-legacy: images from before files.img, which had a file per type. */
#ifndef KIND_FD_LEGACY_H
#define KIND_FD_LEGACY_H

#include "kind/fd.h"

/**
 * fd_legacy_read - every entry of those files, as one of files.img; each goes to add(), which owns it
 * Return: how many there were, or -errno with the reason.
 */
int fd_legacy_read(struct session *s, int (*add)(struct session *s, FileEntry *e));

#endif
