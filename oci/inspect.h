/* SPDX-License-Identifier: Apache-2.0 */
/* inspect: a checkpoint as it lies in a directory or an archive, read into memory; nothing is restored. */
#ifndef OCI_INSPECT_H
#define OCI_INSPECT_H

#include "image/record.h"
#include "images/core.pb-c.h"
#include "images/fdinfo.pb-c.h"
#include "images/inventory.pb-c.h"
#include "images/mm.pb-c.h"
#include "images/mnt.pb-c.h"
#include "images/pagemap.pb-c.h"
#include "images/pstree.pb-c.h"
#include "images/stats.pb-c.h"
#include "oci/json.h"
#include "task/tree.h"


/* a growing list of messages of one type, owned */
struct messages {
	ProtobufCMessage **v;
	size_t n, max;
};

struct look_task {
	const PstreeEntry *e;
	CoreEntry *core;	/* of its first thread; NULL: missing */
	TaskKobjIdsEntry *ids;	/* NULL: a dead task, or missing */
	MmEntry *mm;
	struct messages fds;	/* FdinfoEntry */
	uint64_t pages, parent_pages; /* of its private memory in this checkpoint, and in earlier ones */
	char *args;		/* its command line, if its pages are at hand; owned */
	bool shown;		/* of use to a printer */
};

struct look {
	struct session s;
	CriuOpts opts;
	char *tmp;	/* directory made for an archive */
	int top, dir;	/* archive's contents or -1; the images */
	yajl_val config, spec, network, note; /* NULL if there is none */
	InventoryEntry *inv;
	struct messages pstree, files, mounts;
	struct map file_by_id;
	struct {
		struct look_task *v;
		size_t n, max;
	} tasks;
	struct look_ns {
		const char *name;
		uint32_t id;
	} ns[8]; /* of the first task */
	size_t n_ns;
	StatsEntry *stats;
	uint64_t pages_bytes, diff_bytes, deleted;
};

/**
 * look_open - find the images in a directory, or unpack an archive
 * @contents: an archive's pages too
 * Return: 0 or -errno with the reason in why; look_close() in any case.
 */
int look_open(struct look *l, const char *path, bool contents, char *why, size_t n);
void look_close(struct look *l);
/** look_read - read the images that say what there is. A missing one is passed over: see verify.c */
int look_read(struct look *l, char *why, size_t n);
/** look_list - all records of an image; 0, 1 no such image, or -errno with l->s.why */
int look_list(struct look *l, struct messages *list, uint32_t magic, const ProtobufCMessageDescriptor *d,
	      const char *name);
void messages_free(struct messages *list);
const FileEntry *look_file(const struct look *l, uint32_t id);
/** look_comm - name of a task, "?" if not known */
const char *look_comm(const struct look_task *t);

#endif
