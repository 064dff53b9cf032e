/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ghost: files that are open (or mapped, or somebody's directory) but have no name any more. They are
 * carried in the image, or, when another hard link keeps them on disk, get a temporary one.
 */
#ifndef KIND_GHOST_H
#define KIND_GHOST_H

#include "kind/fd.h"

enum ghost_how {
	GHOST_NAMED,   /* its name leads to it */
	GHOST_CARRIED, /* it goes into the image */
	GHOST_OUTSIDE, /* passed in from outside of the tasks' root: only its name is kept */
	GHOST_PROC,    /* of /proc/PID, and that task has ended */
	GHOST_COVERED, /* a mount covers it: only if covered_mount() agrees */
	GHOST_LINKED,  /* it gets a name link_remap.N beside its old one */
};

/**
 * ghost_check - how can the file be found again? Refuses what cannot, with the remedy
 * @link: what /proc shows for it
 * @num: the descriptor, for messages; -1 none
 * @ret_name: the name it has or had, owned by the caller
 * Return: enum ghost_how, or -errno with the reason.
 */
int ghost_check(struct session *s, const struct task *task, const struct stat *st, const char *link,
		int num, char **ret_name);
/** ghost_elsewhere - refuse a file whose name leads to another */
int ghost_elsewhere(struct session *s, const struct task *task, int num, const char *link);
/** ghost_limit - of how many bytes may a file go into the image? */
uint64_t ghost_limit(const struct session *s);
/**
 * ghost_home - dump: by whose names the file is found: k's, or those of a task in another, nested mount namespace, if
 * it lies there
 */
struct task *ghost_home(struct session *s, struct task *k, int fd);
/** ghost_mount - dump: number of the mount fd is on, for a task in a nested mount namespace; else 0 */
uint32_t ghost_mount(const struct task *k, int fd);
/**
 * ghost_root - dump: from where the names begin that /proc shows for files in k's mount namespace: our own root if we
 * share it, else that of the root task, or k's in a nested one. Owned by the caller, or -1
 */
int ghost_root(const struct task *k);
/** ghost_outside - does the name lead to the file from our root, but not from the task's? */
bool ghost_outside(const struct task *task, const char *path, const struct stat *st);
/**
 * ghost_dump - keep a file without a name
 * @how: what ghost_check() said
 * @fd: any descriptor of it, O_PATH too
 * @name: the name it had
 * @id: the reg entry that stands for it
 */
int ghost_dump(struct session *s, const struct task *task, enum ghost_how how, int fd,
	       const struct stat *st, const char *name, uint32_t id);
int ghost_dump_end(struct session *s);
/** ghost_write - ghost-file-ID.img of any file; in a guest, as the guest sees it */
int ghost_write(struct session *s, int fd, const struct stat *st, uint32_t id);

/* a name that is to be taken away again */
struct ghost_name {
	int dir; /* owned */
	bool is_dir;
	char name[256];
	char last[256]; /* that it is to have when it goes */
};

/**
 * ghost_make - restore: what ghost-file-ID.img holds, without a name any more
 * @root: from where name, the one it had, is looked up
 * @ret: the name it still has, which the caller takes away later; or NULL
 * Return: a descriptor of the path alone (O_PATH), or -errno with the reason.
 */
int ghost_make(struct session *s, int root, const char *name, uint32_t id, struct ghost_name *ret);

/** ghost_unname - take it away; 0 or -errno */
int ghost_unname(const struct ghost_name *n);
/**
 * ghost_get - restore: the nameless file that a reg entry means; all are made at the first call
 * @ret_fd: some descriptor of it, borrowed; reopen it with the wanted flags
 * Return: 1, 0 the entry has a name, -errno with the reason; 2: in /proc of a dead task, to be duplicated.
 */
int ghost_get(struct session *s, uint32_t id, int *ret_fd);
/** ghost_find - the one that had this inode at the checkpoint (kdev); -1 none */
int ghost_find(struct session *s, uint32_t dev, uint64_t ino);
/** ghost_proc_pid - "/proc/PID..." of no task of k's tree: that number; else -1 */
pid_t ghost_proc_pid(const struct task *k, const char *name);
/** ghost_proc_make - restore: open that once more, by a child with that number; owned by the caller */
int ghost_proc_make(struct session *s, const RegFileEntry *e, uint32_t pid, int *ret_fd);
/** ghost_proc_end - all have entered what they have opened: those children end */
void ghost_proc_end(struct session *s);
/** ghost_restore_end - the restore is over: temporary links go if it succeeded */
void ghost_restore_end(struct session *s);

#endif
