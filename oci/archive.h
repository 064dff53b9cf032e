/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive: checkpoints as one file, in the layout that Podman, CRI-O and checkpointctl read: config.dump,
 * spec.dump, network.status, checkpoint/..., rootfs-diff.tar, deleted.files, dump.log, stats-dump.
 */
#ifndef OCI_ARCHIVE_H
#define OCI_ARCHIVE_H

#include "oci/container.h"

#include <archive.h>
#include <archive_entry.h>

static inline void own_reader_release(struct archive **a)
{
	if (*a)
		archive_read_free(*a);
}
static inline void own_writer_release(struct archive **a)
{
	if (*a)
		archive_write_free(*a);
}
static inline void own_entry_release(struct archive_entry **e)
{
	if (*e)
		archive_entry_free(*e);
}
#define own_reader __attribute__((cleanup(own_reader_release)))
#define own_writer __attribute__((cleanup(own_writer_release)))
#define own_entry __attribute__((cleanup(own_entry_release)))

enum archive_filter { FILTER_AUTO, FILTER_NONE, FILTER_GZIP, FILTER_ZSTD };
/** archive_filter_of - by a word (may be NULL), else by the end of the file's name; -EINVAL unknown */
int archive_filter_of(const char *word, const char *file);

/** archive_metadata - config.dump, spec.dump, network.status, bind.mounts into dir */
int archive_metadata(const struct container *c, int dir, char *why, size_t n);
/** archive_pack - all of dir into a new file below at, which appears whole or not at all */
int archive_pack(int dir, int at, const char *file, enum archive_filter filter, char *why, size_t n);

/** archive_pack_layout - the same of an OCI image layout */
int archive_pack_layout(int dir, int at, const char *file, enum archive_filter filter, char *why, size_t n);

/**
 * archive_unpack - of an archive, plain or as the layer of an OCI image layout, into an empty directory; names, number and sizes are bounded
 * @contents: false: pages-*.img and *.tar above 16 MiB become files of the right size without contents
 */
int archive_unpack(const char *file, int dir, bool contents, char *why, size_t n);

/** dir_remove - a directory below at with all that is in it, as far as that goes; never follows links */
void dir_remove(int at, const char *name);

#endif
