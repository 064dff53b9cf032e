/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ns kinds: one file per kind of namespace in kind/ns/. Contents are dumped and restored by a guest:
 * a child of the supervisor that has entered the namespaces and runs these hooks as ordinary C.
 * A guest has the session as it was at the fork; what it writes into memory is lost when it ends,
 * except the reason of a failure and descriptors it gives with guest_give_fd().
 */
#ifndef KIND_NS_H
#define KIND_NS_H

#include "task/tree.h"

struct batch;

struct ns {
	const struct ns_kind *kind;
	uint32_t id;	/* ns id in the image */
	ino_t ino;	/* dump: inode of /proc/PID/ns/NAME */
	int fd;		/* descriptor of the namespace, -1 before it exists */
	bool own;	/* not the dumper's: it is dumped and made anew, or joined */
	/* label of the caller's --external net[..]:LABEL, or file of --join-ns: joined at restore and
	 * not made, so restore() is not called; dump() is, and writes the label only. NULL */
	const char *external;
	char *label;	   /* owned: external as read from an image, or NULL */
	struct task *task; /* a task in it; dump: its proc can be used */
};

struct ns_kind {
	const char *name;  /* as in /proc/PID/ns: pid, net, ipc, uts, time, mnt, user, cgroup */
	uint64_t flag;	   /* CLONE_NEW* */
	unsigned order;	   /* unused: the orders stand in ns.c and ns-restore.c */
	/** write the images of ns->id; runs in a guest inside all of ns->task's namespaces */
	int (*dump)(struct session *s, const struct ns *ns);
	/** fill the fresh namespace; runs in a guest inside all of the root task's namespaces */
	int (*restore)(struct session *s, const struct ns *ns);
	/** supervisor, before any namespace exists: open what must be found from outside (sources of
	 * external mounts...), check the images. May be NULL */
	int (*prepare)(struct session *s, const struct ns *ns);
	/** supervisor, before anything is stopped: list obstacles. May be NULL */
	int (*preflight)(struct session *s, const struct ns *ns);
};

extern const struct ns_kind *const ns_kinds[]; /* NULL at the end */

/** ns_find - by image id */
struct ns *ns_find(struct session *s, uint32_t id);
/** ns_of - the root task's namespace of that kind; NULL if the kernel has none or nothing is known */
struct ns *ns_of(struct session *s, uint64_t flag);
/** ns_proc - directory /proc of the supervisor, that guests can use as well; borrowed, or -errno */
int ns_proc(struct session *s);
/** ns_end - end guests that still run and forget everything; also after failures */
void ns_end(struct session *s);

/* dump */
/** ns_note - give every task's namespaces their ids (task->ids) and find out which are external */
int ns_note(struct session *s, struct tree *tree);
/** ns_dump_start - contents of all own namespaces, by guests that run while we go on */
int ns_dump_start(struct session *s);
int ns_dump_wait(struct session *s);
int ns_preflight_all(struct session *s, struct tree *tree);
/** ns_own_ids - the dumper's own ids, for the inventory */
const TaskKobjIdsEntry *ns_own_ids(struct session *s);

/* restore */
/** ns_plan - from ids: which are to be made, which joined; runs prepare() */
int ns_plan(struct session *s, struct tree *tree);
/** ns_clone_flags - CLONE_NEW* that the root task must be cloned with (user, pid) */
uint64_t ns_clone_flags(struct session *s);
/**
 * ns_make - with the root task existing in its agent: make the other namespaces in a guest, fill
 * them, and keep descriptors (ns->fd)
 */
int ns_make(struct session *s, struct task *root);
/** ns_spawn_root - spawn_root() in the right pid namespace (an external one is entered and left) */
int ns_spawn_root(struct session *s, struct tree *tree, uint64_t flags);
/** ns_join - the root task, idle in its agent, enters the namespaces made */
int ns_join(struct session *s, struct task *root);
/** ns_any - is any namespace restored? */
bool ns_any(struct session *s);
/** ns_root_fd - directory "/" of the root task's mount namespace, for opening files; borrowed */
int ns_root_fd(struct session *s);
/** ns_enter_net - the supervisor enters a network namespace to make sockets; id 0: back to its own */
int ns_enter_net(struct session *s, uint32_t id);

#endif
