/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree: the tasks of one container with their threads, as found (dump) or as planned (restore).
 * "pid" is what we see; "vpid" is what the innermost pid namespace of the root task shows, and what
 * images hold.
 */
#ifndef TASK_TREE_H
#define TASK_TREE_H

#include "images/core.pb-c.h"
#include "images/fs.pb-c.h"
#include "images/mm.pb-c.h"
#include "session/session.h"
#include "task/tracee.h"

struct area;
struct fd_table;

enum task_state { TASK_ALIVE = 1, TASK_DEAD = 2, TASK_STOPPED = 3 }; /* numbers of the wire */

/* a pid namespace below the root task's */
struct pidns {
	struct pidns *next; /* in the tree */
	struct pidns *up;   /* NULL: a child of the root task's */
	unsigned depth;	    /* 1: a child of the root task's */
	uint32_t id;	    /* in the image */
	ino_t ino;	    /* dump */
	struct task *init;  /* restore: its first task */
	int fd;		    /* restore: descriptor, when the first task is born; else -1 */
	struct userns *user; /* restore: whose it is; NULL: the root task's */
};

/* a user namespace below the root task's */
struct userns {
	struct userns *next; /* in the tree */
	struct userns *up;   /* NULL: a child of the root task's */
	uint32_t id;	     /* in the image */
	int fd;		     /* restore: descriptor, when it is made; borrowed; else -1 */
};

struct thread {
	struct task *task;
	pid_t tid, vtid;
	pid_t *deep; /* numbers in nested pid namespaces, the outermost first, pidns->depth of them. Owned */
	struct tracee *tr; /* shared with the warden; NULL for a zombie */
	struct area *area; /* the agent's memory in this mm, NULL before inject */
	unsigned slot;	   /* its slot there */
	CoreEntry *core;   /* dump: being filled; restore: as read. Owned */
	/* what it does not have in common with its process, but maybe with other threads of it: */
	uint32_t files_id; /* descriptors (unshare(CLONE_FILES)), else 0 */
	uint32_t fs_id;	   /* working directory, root, umask, else 0 */
	FsEntry *fs;	   /* restore: those. Owned */
	struct task *apart; /* dump: if it has any of that, or other namespaces, a view of it as a task. Owned */
};

struct task {
	struct task *parent, *next, *first_child, *last_child; /* next: sibling, in creation order */
	pid_t pid, vpid, pgid, sid;			       /* pgid, sid: virtual; 0 outside */
	pid_t tgid;	  /* pid, but for: */
	bool leader_dead; /* dump: its main thread has ended; pid and proc are those of another, threads[0]
			     has that one's agent */
	struct pidns *pidns; /* nested pid namespace it is in; NULL: the root task's */
	struct userns *user;	/* restore: likewise */
	struct userns *in_user; /* restore: the one it is in at the moment */
	bool confined; /* restore: a security module lets it choose no numbers of threads */
	pid_t *deep_pgid, *deep_sid; /* likewise, of group and session; NULL not needed. Owned */
	enum task_state state;
	int exit_code; /* zombies: wait status */
	int proc;      /* /proc/PID directory, -1 for planned ones */
	int pidfd;
	struct thread *threads; /* [0] is the leader; zombies have that one only */
	unsigned n_threads;
	const struct thread *view; /* dump: it shows this thread (thread.apart); NULL: it is a process */
	TaskKobjIdsEntry *ids; /* owned */
	FsEntry *fs;	       /* restore: owned */
	MmEntry *mm;	       /* dump: filled by mem_note(); restore: as read. Owned, unless mm_of is set */
	struct task *mm_of;    /* CLONE_VM: the task whose mm (and mem) this one has too; NULL: its own */
	struct fd_table *files; /* descriptors; shared by tasks of one files_id */
	void *mem;		/* mem family's notes */
	char comm[16];
	bool helper; /* restore: made only to lead a session or group; it ends before release */
	struct task *origin; /* restore: who cloned it, if that was not its parent */
	pid_t in_session;    /* restore: the session it is in at the moment */
	int exit_signal;     /* what its parent gets when it ends; 0 none */
};

struct tree {
	struct task *root;
	struct map by_vpid; /* struct task */
	struct task **all;  /* pre-order, parents before children */
	size_t n, max;
	unsigned n_threads; /* of all tasks */
	struct pidns *pidns; /* all nested pid namespaces */
	struct userns *userns; /* and user namespaces */
};

/** task_new - append a task to the tree, as last child of parent (NULL: the root) */
struct task *task_new(struct tree *t, struct task *parent, pid_t pid, pid_t vpid, unsigned n_threads);
void tree_free(struct tree *t);
/** task_find - by virtual pid, or NULL */
struct task *task_find(const struct tree *t, pid_t vpid);
/** task_origin - restore: whose memory it is born with; NULL: the supervisor's */
static inline struct task *task_origin(const struct task *k)
{
	return k->origin ? k->origin : k->parent;
}
/** thread_pid - whom to look at for a thread's attributes: itself, unless it is a leader that has ended */
static inline pid_t thread_pid(const struct thread *t)
{
	return t->task->leader_dead && t == t->task->threads ? t->task->pid : t->tid;
}
/** pidns_add - a nested pid namespace; owned by the tree */
struct pidns *pidns_add(struct tree *t, struct pidns *up, uint32_t id);
/** pidns_sees - are the tasks of in seen from outer? NULL: the root task's */
static inline bool pidns_sees(const struct pidns *outer, const struct pidns *in)
{
	while (in && in != outer)
		in = in->up;
	return in == outer;
}
/** userns_add - a nested user namespace; owned by the tree */
struct userns *userns_add(struct tree *t, struct userns *up, uint32_t id);
/** userns_rules - has root of outer rights in in? NULL: the root task's */
static inline bool userns_rules(const struct userns *outer, const struct userns *in)
{
	while (in && in != outer)
		in = in->up;
	return in == outer;
}
/** thread_self - its number as it knows itself: vtid, unless it is in a nested pid namespace */
static inline pid_t thread_self(const struct thread *t)
{
	return t->deep ? t->deep[t->task->pidns->depth - 1] : t->vtid;
}
/** task_self - the same of a task */
static inline pid_t task_self(const struct task *k)
{
	return k->threads[0].deep ? k->threads[0].deep[k->pidns->depth - 1] : k->vpid;
}
/** task_number - the number of k in a pid namespace (NULL: the root task's), or 0: not seen from there */
pid_t task_number(const struct task *k, const struct pidns *in);
/** task_first - is it the first of a nested pid namespace? */
static inline bool task_first(const struct task *k)
{
	return k->pidns && task_self(k) == 1;
}
static inline struct thread *task_leader(const struct task *k)
{
	return &k->threads[0];
}
/** thread_ids - restore: ids of a thread, which are its process's unless its core has some */
static inline const TaskKobjIdsEntry *thread_ids(const struct thread *t)
{
	return t != task_leader(t->task) && t->core && t->core->ids ? t->core->ids : t->task->ids;
}

#endif
