/* SPDX-License-Identifier: Apache-2.0 */
/* mounts: lines of a mountinfo. */
#ifndef OCI_MOUNTS_H
#define OCI_MOUNTS_H

#include <stddef.h>
#include <sys/types.h>

struct mount_line {
	unsigned id;
	char dev[24]; /* "MAJOR:MINOR" */
	char *root, *at, *fs, *source, *options; /* owned, without escapes; options of the super block */
};
struct mounts {
	struct mount_line *v;
	size_t n, max;
};

/** mounts_read - of a task; 0 or -errno */
int mounts_read(struct mounts *m, pid_t pid);
void mounts_free(struct mounts *m);
/** mounts_outside - where in m the directory or file root of dev is seen; owned, NULL if nowhere */
char *mounts_outside(const struct mounts *m, const char *dev, const char *root);

#endif
