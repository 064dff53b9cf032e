/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fd kinds: what can stand behind a descriptor. One file per kind of object in kind/fd/, found by
 * its name; nobody includes a kind.
 *
 * Dump: every distinct open file ("struct file", told apart by kcmp) is described once.
 * Restore: the supervisor makes every object once, as root, in the network namespace it belongs to,
 * and hands it to all descriptors that share it.
 */
#ifndef KIND_FD_H
#define KIND_FD_H

#include "images/fdinfo.pb-c.h"
#include "images/fown.pb-c.h"
#include "kind/elf-id.h"
#include "task/batch.h"

#include <sys/stat.h>

/* One descriptor of one stopped task; everything is borrowed. */
struct fd_view {
	struct task *task;	/* first owner met */
	const struct fd_kind *kind;
	uint32_t id;		/* file id in the image */
	int num;		/* descriptor number there, -1 for an artificial entry */
	int fd;			/* our copy, from pidfd_getfd(); -1 for O_PATH-less artificial ones */
	struct stat st;
	uint32_t flags;		/* as in fdinfo, without O_CLOEXEC */
	bool cloexec;
	uint64_t pos;
	int mnt_id;		/* -1 unknown */
	uint32_t net_ns_id;	/* where a socket belongs, else its task's; 0 unknown */
	FownEntry *fown;	/* complete; NULL in a preflight */
	bool queued;		/* in a message: fd is ours, no table has it under num */
	const char *link, *info; /* /proc/PID/fd/N; /proc/PID/fdinfo/N, whole text */
};

/* One object of the image being restored. */
struct fd_obj {
	uint32_t id;
	const FileEntry *entry;	     /* its union; the kind picks its message */
	const struct fd_kind *kind;
	struct task *task;	     /* an owner: the one with the lowest virtual pid; or NULL */
	struct thread *thread;	     /* whose of its threads' table has it */
	int num;		     /* its descriptor number there, or -1 */
	int fd;			     /* ours once made, else -1 */
	bool making;		     /* being made: a loop of references is an error */
	bool borrowed;		     /* the caller's (--inherit-fd): its flags and owner are left alone */
};

struct fd_kind {
	const char *name; /* as in messages and tests */
	uint32_t type;	  /* fd_types number on the wire */
	/** does the kind claim this descriptor? exactly one may */
	bool (*is)(const struct fd_view *v);
	/** describe it, leaving it as it was; ends in fd_put() */
	int (*dump)(struct session *s, const struct fd_view *v);
	/**
	 * make it: o->fd = a descriptor of ours (O_CLOEXEC, above 2). Status flags, owner and signal are
	 * set by fd.c for every kind. May call fd_obj_get() for others it is built from.
	 */
	int (*restore)(struct session *s, struct fd_obj *o);
	/** all objects exist, tasks have their tables: queues, connections, peers. May be NULL */
	int (*link)(struct session *s, struct fd_obj *o);
	/**
	 * calls to be made by an owner once all tables are complete; num there. May batch_run()
	 * itself when batch_room() says no. May be NULL
	 */
	int (*in_task)(struct session *s, struct fd_obj *o, struct batch *b, int num);
	/**
	 * the same, but after link(): what looks at other objects must find them as they were. Of an object that is only
	 * in a message b is NULL and num -1
	 */
	int (*watch)(struct session *s, struct fd_obj *o, struct batch *b, int num);
	/** dump: once after all descriptors were seen (images of shared contents). May be NULL */
	int (*dump_end)(struct session *s);
	/**
	 * is it in a state that cannot be checkpointed but passes by itself in a moment? 1 yes, 0 not now,
	 * -1 it never can be. Looked at again when the tasks are stopped. May be NULL
	 */
	int (*passing)(struct session *s, const struct fd_view *v);
	/** can this be restored? said before anything is stopped; NULL: yes. Fails with the remedy. */
	int (*preflight)(struct session *s, const struct fd_view *v);
};

extern const struct fd_kind *const fd_kinds[]; /* NULL at the end */

/* ---- for kinds, dump ---- */

/**
 * fd_put - write one entry of files.img
 * @m: the kind's message; fd.c finds its slot in FileEntry by its descriptor
 */
int fd_put(struct session *s, const struct fd_view *v, const ProtobufCMessage *m);
/** fd_put_id - same for an artificial entry that no descriptor shows (type, id, message) */
int fd_put_id(struct session *s, uint32_t type, uint32_t id, const ProtobufCMessage *m);
/** fd_new_id - next file id */
uint32_t fd_new_id(struct session *s);
/**
 * fd_note - file id of a descriptor that is in no table (in a socket's queue, say): dumps it when new
 * @fd: ours, borrowed
 */
int fd_note(struct session *s, struct task *task, int fd, uint32_t *ret_id);
/** fd_note_known - the same, when none can be dumped any more: -ENOENT with the reason if it is new */
int fd_note_known(struct session *s, struct task *task, int fd, uint32_t *ret_id);
/** fd_note_held - file id of a descriptor of a task, which may not have been dumped yet */
int fd_note_held(struct session *s, struct task *k, int num, uint32_t *ret_id);
/** fd_find - a task of the tree, and its number, that has this inode open; false: none has */
bool fd_find(const struct tree *tree, uint32_t kdev, uint64_t ino, struct task **ret_task, int *ret_num, struct stat *ret);
/**
 * fd_put_path - artificial reg entry (exe, cwd, root, mapped file): flags 0, pos 0
 * @fd: an O_PATH or other descriptor of the object
 * @link: what /proc shows for it
 * @build: which build of a program or library it is; NULL: not asked
 */
int fd_put_path(struct session *s, struct task *task, int fd, const char *link, const struct elf_id *build,
		uint32_t *ret_id);
/**
 * fd_put_named - reg entry that holds path, flags and owner of what v is, for kinds whose own message
 * has none of them (fifo)
 */
int fd_put_named(struct session *s, const struct fd_view *v, uint32_t *ret_id);
/** fd_put_named_as - the same under a given id: tun files have an entry of each sort */
int fd_put_named_as(struct session *s, const struct fd_view *v, uint32_t id);
/**
 * fd_external - the key "file[MOUNT:INODE]" by which the caller said (--external) that this file is its own
 * Return: the key in the caller's spelling, owned by who asks; NULL if it is not.
 */
char *fd_external(const struct session *s, const struct fd_view *v);
/** fd_path_check - preflight of what is opened by its path */
int fd_path_check(struct session *s, const struct fd_view *v);

/* ---- for kinds, restore ---- */

/** fd_obj_get - the object with that id, made if it is not yet; NULL with the reason said */
struct fd_obj *fd_obj_get(struct session *s, uint32_t id);
/** fd_obj_at - the n-th object of the image, made or not; NULL at the end */
struct fd_obj *fd_obj_at(struct session *s, size_t n);
/** fd_number_of - the lowest descriptor of a task whose object matches, or -1 */
int fd_number_of(struct session *s, const struct task *k, bool (*match)(const struct fd_obj *o, const void *arg),
		 const void *arg);
/** fd_places - fn for every number, in every table, that shows the object; t is an owner of that table */
int fd_places(struct session *s, const struct fd_obj *o,
	      int (*fn)(struct session *s, struct thread *t, int num, bool cloexec, void *arg), void *arg);
/** fd_entry - the image's entry of that id, or NULL */
const FileEntry *fd_entry(struct session *s, uint32_t id);
/**
 * fd_open_reg - open what a reg entry names, checked against size and mode
 * @flags: open(2) flags to use instead of the entry's (mappings), or -1
 * Return: a descriptor, or -errno with the reason.
 */
int fd_open_reg(struct session *s, uint32_t id, int flags);

/**
 * fd_inherit - o->fd is what the caller passed for key (--inherit-fd), if it did
 * Return: 1, 0 nothing was passed, -errno with the reason.
 */
int fd_inherit(struct session *s, struct fd_obj *o, const char *key, int flags);
/**
 * fd_from_caller - o->fd for something that lay outside of the tasks' root: what the caller passes in for
 * it, or one of the caller's own standard three. The name is never opened: an image could name anything.
 */
int fd_from_caller(struct session *s, struct fd_obj *o, const char *name, int flags);

/* ---- for flow ---- */

/** fd_dump_all - descriptors of all tasks; files.img, fdinfo-N.img */
int fd_dump_all(struct session *s, struct tree *tree);
/** fd_dump_end - after mappings, exe, cwd and root were noted: close files.img */
int fd_dump_end(struct session *s);
int fd_preflight_all(struct session *s, struct tree *tree);
/** fd_passing - the tasks are stopped: did the stop hit one of those states? The next may not */
bool fd_passing(struct session *s, const struct tree *tree);
/** fd_read - files.img (or the files of old dumps) and every fdinfo-N.img into the session */
int fd_read(struct session *s, struct tree *tree);
/** fd_restore_make - make every object */
int fd_restore_make(struct session *s);
/** fd_restore_tables - give them to the tasks, whose agents are idle; then in_task() */
int fd_restore_tables(struct session *s, struct tree *tree);
/** fd_restore_link - contents and connections, then watch(); after it our copies may be closed */
int fd_restore_link(struct session *s);
void fd_restore_end(struct session *s);

#endif
