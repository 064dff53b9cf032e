/* SPDX-License-Identifier: Apache-2.0 */
/* ns-set: what the namespace family knows in one session; for ns.c, ns-dump.c and ns-restore.c only. */
#ifndef KIND_NS_SET_H
#define KIND_NS_SET_H

#include "kind/ns.h"

#include "task/guest.h"

#define NS_KINDS 8

/* one sort of namespace, in the order in which their ids are given */
struct ns_row {
	struct ns_kind bare; /* name and flag, when there is no file for it in kind/ns/ */
	size_t id, has;	     /* offsets in TaskKobjIdsEntry */
	const char *children; /* /proc/PID/ns file of where its children are born, or NULL: where it is */
};

struct ns_set {
	struct { struct ns **v; size_t n, max; } all; /* owned */
	struct ns *root[NS_KINDS]; /* of the root task, by row; NULL unknown */
	TaskKobjIdsEntry own;	   /* the dumper's */
	struct guest guest;	   /* the one that dumps */
	bool waits;   /* restore: that guest is not done yet */
	int go;	      /* eventfd, see ns_dump_go(); -1 */
	int home_net; /* our own network namespace, while we are in another; else -1 */
	int root_fd;  /* see ns_root_fd() */
	int our_root; /* while we are in the tasks' root, else -1 */
	int proc;     /* see ns_proc() */
	struct map mounts; /* dump: tasks, by the numbers of mounts of nested namespaces */
	bool mounts_read;
	bool running; /* a preflight: tasks may end under our hands */
};

extern const struct ns_row ns_rows[NS_KINDS];

/** ns_set - the session's, made at the first call */
struct ns_set *ns_set(struct session *s);
/** ns_set_clear - forget namespaces and guests */
void ns_set_clear(struct session *s);
/** ns_kind_of - the kind of a row: its file's, or the bare row */
const struct ns_kind *ns_kind_of(const struct ns_row *row);
/** ns_add - a new namespace; owned by the set */
struct ns *ns_add(struct ns_set *set, const struct ns_row *row, uint32_t id);
struct ns *ns_add_kind(struct session *s, uint64_t flag, uint32_t id);
/** ns_note_new - dump: one more, with the next id; k: a task in it, or NULL */
struct ns *ns_note_new(struct session *s, struct ns_set *set, uint64_t flag, ino_t ino, struct task *k);
uint32_t ns_id_get(const struct ns_row *row, const TaskKobjIdsEntry *ids);
void ns_id_put(const struct ns_row *row, TaskKobjIdsEntry *ids, uint32_t id);
/** ns_ino - inode of a namespace below a /proc/PID directory; 0 and 0 if the kernel has no such sort */
int ns_ino(int proc, const char *name, ino_t *ret);

#endif
