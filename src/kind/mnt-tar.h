/* SPDX-License-Identifier: Apache-2.0 */
/* mnt-tar: what is in a tmpfs, as a compressed tar; run in a guest, whose working directory moves. */
#ifndef KIND_MNT_TAR_H
#define KIND_MNT_TAR_H

#include "session/session.h"

/**
 * mnt_tar_ready - load what the conversion of names needs, while our root is still the host's: the C
 * library must not look for its tables in the container's files
 */
void mnt_tar_ready(void);
struct mnt_part {
	int fd;		  /* a clone of a mount of it, nothing mounted on that; borrowed */
	const char *root; /* what that shows */
};
/**
 * mnt_tar_write - tmpfs-dev-DEV.tar.gz.img
 * @what: its mount point, for messages
 * @parts: what is to be seen of it
 */
int mnt_tar_write(struct session *s, uint32_t dev, const char *what, size_t n, const struct mnt_part *parts);
/** mnt_tar_read - unpack it into an empty file system; nothing to do if there is no such file */
int mnt_tar_read(struct session *s, uint32_t dev, uint32_t mnt_id, int dir, const char *what);

#endif
