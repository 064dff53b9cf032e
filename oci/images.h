/* SPDX-License-Identifier: Apache-2.0 */
/* images: every file that a checkpoint may have, by its name, and what is in it. */
#ifndef OCI_IMAGES_H
#define OCI_IMAGES_H

#include "oci/inspect.h"

enum image_tail { TAIL_NONE, TAIL_BYTES, TAIL_REST, TAIL_MSG, TAIL_RAW, TAIL_TAR, TAIL_MAP };

struct image_kind {
	const char *pattern; /* of fnmatch() */
	uint32_t magic;
	const ProtobufCMessageDescriptor *first, *more; /* of the first record and the others; more NULL: only one */
	enum image_tail tail;
	uint64_t (*bytes)(const ProtobufCMessage *m); /* TAIL_BYTES: raw bytes behind a record */
};

/** image_kind_of - NULL: no image at all, or none that we know */
const struct image_kind *image_kind_of(const char *name);
/** image_verify - read the whole file; 0, or -errno with l->s.why */
int image_verify(struct look *l, const struct image_kind *k, const char *name, uint64_t *records);

#endif
