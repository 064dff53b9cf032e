/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diff: what a container changed in its root file system, and putting that into another one; and what is in its
 * volumes.
 */
#ifndef OCI_DIFF_H
#define OCI_DIFF_H

#include "oci/container.h"

/**
 * diff_write - rootfs-diff.tar and deleted.files into dir, each only if there is something
 * @whole: all files, not only those that differ from the layers below
 *
 * Return: 0; 1 if the root has no layers to compare with, and nothing was written; -errno with why.
 */
int diff_write(const struct container *c, int dir, bool whole, char *why, size_t n);
/** diff_volume - all of a directory, as volumes/NAME.tar into dir */
int diff_volume(const char *source, int dir, const char *name, char *why, size_t n);
/** diff_apply - the reverse, from dir (as unpacked) into rootfs; every name stays below it */
int diff_apply(int dir, const char *rootfs, char *why, size_t n);

#endif
