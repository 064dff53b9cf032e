/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session: one dump or one restore, from request to reply: its options, directories, log, the reason
 * why it failed, and what has to be undone if it fails. Everything that would be a global lives here.
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include "base/log.h"
#include "base/map.h"
#include "images/rpc.pb-c.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct tree;
struct warden;
struct guest;

/* What the caller wants to hear, in order; see docs/design.md for the steps. */
struct notify {
	/**
	 * @pid: root task for setup-namespaces and post-restore, else 0
	 * @fd:  descriptor to hand over (orphan-pts-master), else -1; borrowed
	 * Return: 0, or a negative value that fails the step.
	 */
	int (*call)(void *arg, const char *step, pid_t pid, int fd);
	void *arg;
};

/* figures for stats-dump and stats-restore; times in microseconds */
struct stats {
	uint64_t freezing, frozen, memdump, memwrite, forking, restore;
	uint64_t pages_scanned, pages_written, pages_zero, pages_restored, pages_compared, pages_cow;
	uint64_t shpages_scanned, shpages_written;
};

struct undo {
	struct undo *next;
	void (*fn)(void *arg);
	void *arg;
};

struct session {
	const CriuOpts *opts; /* borrowed; never NULL */
	int images, work;     /* directories, owned by the front end */
	struct log log;
	char why[1000]; /* first failure: one sentence; empty if none */
	int why_r;	/* its -errno */
	struct undo *undo;
	char run_id[37]; /* UUID text of this run */
	struct notify notify;
	int caller; /* socket of whoever asked for this by RPC, or -1; it may itself be in the tree */
	struct stats stats;
	struct map maps;      /* see session_map() */
	struct tree *tree;    /* the tasks; owned by flow */
	struct warden *warden; /* the tracer; owned by flow */
	struct guest *guest;   /* in a guest: itself, else NULL */
	/* in a guest in a user namespace: openat() by who is still outside; -errno. Else NULL */
	int (*open_outside)(struct session *s, int dir, const char *path, int flags, mode_t mode);
};

void session_init(struct session *s, const CriuOpts *opts, int images, int work);
void session_deinit(struct session *s);

/**
 * session_fail - say why, once: the first sentence of a session is the one that callers see
 * @r: -errno
 * @fmt: "noun 12: verb: what to do"; the errno's text is appended unless r is 0 or already said
 *       (-ENOTSUP, -EINVAL, -EBADMSG, -EBADRQC and -ECANCELED carry no text of their own)
 *
 * Later calls put a noun in front only when the text begins with "^": session_fail(s, r, "^task 7").
 * Return: r, or -EIO if r is 0.
 */
int session_fail(struct session *s, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** session_forget - what was said last does not matter after all */
void session_forget(struct session *s);
/** session_forget_new - the same, if there was no reason before (had: s->why[0] then) */
static inline void session_forget_new(struct session *s, bool had)
{
	if (!had)
		session_forget(s);
}
void session_warn(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void session_info(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void session_debug(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** session_undo - push what has to be done if the session fails; arg borrowed until then */
void session_undo(struct session *s, void (*fn)(void *arg), void *arg);
/** session_undo_all - run the stack backwards and empty it */
void session_undo_all(struct session *s);
/** session_undo_drop - the session succeeded: forget the stack */
void session_undo_drop(struct session *s);

/**
 * session_map - a map that belongs to the session, made at the first call
 * @name: who uses it, e.g. "pipe"; a literal, compared by text
 */
struct map *session_map(struct session *s, const char *name);
/** session_state - the same for a structure of size bytes, zero at the first call; a name has a map or this */
void *session_state(struct session *s, const char *name, size_t size);

/** session_notify - tell the caller a step; 0 or -errno with the reason said */
int session_notify(struct session *s, const char *step, pid_t pid, int fd);

/**
 * session_openat - openat() with the supervisor's rights, in guests too; close-on-exec and above 2
 * Return: descriptor, or -errno; no reason is said.
 */
int session_openat(struct session *s, int dir, const char *path, int flags, mode_t mode);
/** session_unlinkat - the same for unlinkat() of a file */
int session_unlinkat(struct session *s, int dir, const char *path);
#define OPEN_TO_UNLINK (-1) /* flags of open_outside() */

/**
 * external_find - look an --external style entry up: "mnt[KEY]:VALUE"
 * @type: "mnt", "net", "pid", "file", "tty", "unix", "dev", "veth"...
 * @key: what stands in brackets
 *
 * Return: the text behind "]:" ("" if none), borrowed; NULL if there is no such entry. ext_mnt and
 * veths of old callers are found too.
 */
const char *external_find(const struct session *s, const char *type, const char *key);
/** inherit_find - descriptor the caller passed for key (as in --inherit-fd fd[N]:KEY), or -ENOENT */
int inherit_find(const struct session *s, const char *key);

#endif
