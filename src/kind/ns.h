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

struct ns {
	const struct ns_kind *kind;
	uint32_t id;	/* ns id in the image */
	ino_t ino;	/* dump: inode of /proc/PID/ns/NAME */
	int fd;		/* descriptor of the namespace, -1 before it exists or is needed */
	bool own;	/* not the dumper's: it is dumped and made anew, or joined */
	/* label of the caller's --external net[..]:LABEL, or file of --join-ns: joined at restore and
	 * not made, so restore() is not called; dump() is, and writes the label only. NULL */
	const char *external;
	struct ns *owner; /* nested: the user namespace it belongs to, or that is around it; NULL: the root task's */
	bool for_children; /* no task is in it, but children of task are born there (time), who makes it */
	int root; /* restore, nested mnt: its directory "/", or -1 */
	char *label;	   /* owned: external as read from an image, or NULL */
	struct task *task; /* a task in it; its proc can be used. NULL: a user namespace around others, or none is in it */
	const TaskKobjIdsEntry *ids; /* restore, nested: that task's, or those of its thread that is in it */
};

struct ns_kind {
	const char *name; /* as in /proc/PID/ns: pid, net, ipc, uts, time, mnt, user, cgroup */
	uint64_t flag;	  /* CLONE_NEW* */
	/** dump, supervisor: it is the root task's own; what others must know of it at once. May be NULL */
	int (*note)(struct session *s, const struct ns *ns);
	/** write the images of ns->id; runs in a guest inside ns, and else inside all of the root task's
	 * namespaces. mnt: called for the root task's only, and does the nested ones as well */
	int (*dump)(struct session *s, const struct ns *ns);
	/** fill the fresh namespace; runs in a guest, likewise */
	int (*restore)(struct session *s, const struct ns *ns);
	/** guest, before a nested one is made: what is to be written into /proc/PID/timens_offsets of who makes it;
	 * owned by the caller. NULL: nothing */
	int (*offsets)(struct session *s, const struct ns *ns, char **ret);
	/** supervisor, after restore(): what must not read the tasks' files. May be NULL */
	int (*restore_home)(struct session *s, const struct ns *ns);
	/** supervisor, before any namespace exists: open what must be found from outside (sources of
	 * external mounts...), check the images. May be NULL */
	int (*prepare)(struct session *s, const struct ns *ns);
	/** supervisor, when the root task has made it and nobody has entered yet. May be NULL */
	int (*made)(struct session *s, const struct ns *ns, const struct task *root);
	/** supervisor, before anything is stopped: list obstacles. May be NULL */
	int (*preflight)(struct session *s, const struct ns *ns);
	/** supervisor, at the end of a session, also after failures: close what is open. May be NULL */
	void (*end)(struct session *s);
};

/* tags of guest_give_fd() when namespaces are filled; below: masters of terminals, by index */
#define NS_TAG 0x100000
#define NS_TAG_ID 0xfffff
#define NS_TAG_WAITS 0x2000000 /* no more for now: the guest waits for ns_fill_end() */
#define NS_TAG_DETACHED 0x4000000 /* a detached mount, see mnt-detached.h */
#define NS_TAG_ROOT 0x1000000 /* the directory "/" of a nested mnt namespace */

extern const struct ns_kind *const ns_kinds[]; /* NULL at the end */

/** ns_find - by image id */
struct ns *ns_find(struct session *s, uint32_t id);
/** ns_by_ino - dump: one that a task of the tree, or the dumper, is in; NULL */
struct ns *ns_by_ino(struct session *s, ino_t ino);
/** ns_of - the root task's namespace of that kind; NULL if the kernel has none or nothing is known */
struct ns *ns_of(struct session *s, uint64_t flag);
/** ns_nested - the n-th own namespace of that kind that the root task is not in; NULL behind the last */
struct ns *ns_nested(struct session *s, uint64_t flag, size_t n);
/** ns_is_own - is the root task's namespace of that kind another than the dumper's? */
bool ns_is_own(struct session *s, uint64_t flag);
/** ns_proc - directory /proc of the supervisor, that guests can use as well; borrowed, or -errno */
int ns_proc(struct session *s);
/** ns_end - end guests that still run and forget everything; also after failures */
void ns_end(struct session *s);
/**
 * ns_socket - socket() in a network namespace
 * @net_ns_id: as in the image; 0: the root task's
 * Return: a descriptor above 2, close-on-exec, or -errno with the reason.
 */
int ns_socket(struct session *s, uint32_t net_ns_id, int family, int type, int protocol);
/** ns_enter_net - the supervisor enters a network namespace (sock_diag, ...); id 0: back to its own */
int ns_enter_net(struct session *s, uint32_t id);

/* dump */
/** ns_mount_task - a task in the nested mount namespace that has that mount, or NULL */
struct task *ns_mount_task(struct session *s, uint64_t mnt_id);
/** ns_preflight_all - obstacles in the namespaces of running tasks */
int ns_preflight_all(struct session *s, struct tree *tree);
/** ns_preflight_end - forget that tree, which does not last, and its namespaces */
void ns_preflight_end(struct session *s);
/** ns_note - give every task's namespaces their ids (task->ids) and find out which are external */
int ns_note(struct session *s, struct tree *tree);
/** ns_dump_start - contents of all own namespaces, by a guest that runs while we go on */
int ns_dump_start(struct session *s);
/** ns_dump_go - nothing is made in the tasks' files any more (--link-remap): their contents can be read */
int ns_dump_go(struct session *s);
int ns_dump_wait(struct session *s);
/** ns_own_ids - the dumper's own ids, for the inventory */
const TaskKobjIdsEntry *ns_own_ids(struct session *s);

/* restore */
/** ns_plan - from ids: which are to be made, which joined; root_ids are the inventory's */
int ns_plan(struct session *s, struct tree *tree, const TaskKobjIdsEntry *root_ids);
/** ns_spawn_root - spawn_root() in the right pid namespace: a new one, or an external one */
int ns_spawn_root(struct session *s, struct tree *tree, uint64_t flags);
/** ns_make - the root task, idle in its agent, makes and joins its other namespaces */
int ns_make(struct session *s, struct task *root);
/** ns_fill - put in what the images say, by a guest */
int ns_fill(struct session *s, struct task *root);
/** ns_fill_end - all tasks exist: what needed them too */
int ns_fill_end(struct session *s);
/** ns_any - is any namespace restored that the images tell of? */
bool ns_any(struct session *s);
/** ns_root_fd - directory "/" of the root task's mount namespace, for opening files; borrowed */
int ns_root_fd(struct session *s);
/** ns_root_of - the same for the mount namespace that has that mount (reg_file.mnt_id); 0: the root task's */
int ns_root_of(struct session *s, uint32_t mnt_id);
/** ns_enter_task - restore: a task that was just born goes from its parent's namespaces to its own */
int ns_enter_task(struct session *s, struct task *k, bool foreign);
/**
 * ns_enter_mnt - restore: a thread that was just born goes from the mount namespace of by, who bore it, to its own:
 * once others have their directory in common with it, it may not
 */
int ns_enter_mnt(struct session *s, struct thread *t, const struct thread *by);
/**
 * ns_enter_threads - restore: all threads of a process exist and go to their other namespaces. Not before: in a user
 * namespace there may be no way back for those that they bear
 */
int ns_enter_threads(struct session *s, struct task *k);
/**
 * ns_enter_user - at last into its user namespace: its rights over what is outside are gone then; it makes the time
 * namespace of its children
 */
int ns_enter_user(struct session *s, struct task *k);
/** ns_user_enter - in a guest: for good, as its root or the first user that it knows; NULL: nothing to do */
int ns_user_enter(struct session *s, const struct ns *user);
/** ns_is_outer - needs k, or who is below it, something that its parent has no rights over in its user namespace? */
bool ns_is_outer(struct session *s, const struct task *k);
/**
 * ns_enter_root - restore: the supervisor's "/" and "." become those of the mount namespace that has that mount, or, 0,
 * of the root task's, for bind() to a path; ns_leave_root() must follow
 */
int ns_enter_root(struct session *s, uint32_t mnt_id);
int ns_leave_root(struct session *s);

#endif
