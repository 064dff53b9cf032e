/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout: a checkpoint as an OCI image, an image layout in one file ("oci-archive"): one layer that is the
 * archive's contents, and annotations by which engines and checkpointctl know it.
 */
#ifndef OCI_LAYOUT_H
#define OCI_LAYOUT_H

#include "oci/archive.h"

/** layout_pack - as archive_pack(), of dir, but an image; the layer is made beside it first */
int layout_pack(const struct container *c, int dir, int at, const char *file, enum archive_filter filter, char *why,
		size_t n);
/**
 * layout_layer - which file of an OCI image layout is the layer with the checkpoint?
 * @in: opened at the start of the archive
 * @path: "blobs/sha256/..."
 * Return: 1; 0 this is no image; -errno with the reason in why.
 */
int layout_layer(struct archive *in, const char *file, char path[128], char *why, size_t n);

#endif
