/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mqueue: POSIX message queues of an ipc namespace, open or not. For kind/ns/ipc.c, which says in which
 * process each function runs, and for fd/mqueue.c.
 */
#ifndef KIND_MQUEUE_H
#define KIND_MQUEUE_H

#include "images/mqueue.pb-c.h"
#include "kind/ns.h"

#include <sys/stat.h>

/** mqueue_is - is fd, with that state, a queue? */
bool mqueue_is(int fd, const struct stat *st);

/* ---- dump ---- */

/** mqueue_preflight - inside the namespace, tasks running */
int mqueue_preflight(struct session *s, const struct ns *ns);
/** mqueue_end - the session is over */
void mqueue_end(struct session *s);
/** mqueue_dump - ipcns-mq: the queues with a name and what is in them; in a guest in the namespace */
int mqueue_dump(struct session *s, const struct ns *ns);
/** mqueue_dump_gone - mqueue.img: one that has no name any more; by the supervisor */
int mqueue_dump_gone(struct session *s, int fd, const struct stat *st, const char *name, uint32_t ns_id);

/* what the kernel shows of a queue */
struct mqueue_state {
	uint64_t count, bytes, maxmsg, msgsize;
	int notify, signo, notify_pid; /* pid 0: nobody waits to be notified */
};
/** mqueue_state - 0 or -errno, no reason said */
int mqueue_state(int fd, struct mqueue_state *ret);

/* a queue's messages, in order */
struct mqueue_copy {
	struct mqueue_state was;
	struct mqueue_row {
		uint32_t prio, size;
		uint64_t at; /* in data */
	} *rows;
	char *data;
	void *mem;
	size_t len;
};
/**
 * mqueue_peek - copy a queue's messages, leaving them there
 * The kernel has no way to look at them: another process takes all and puts them back, which goes on when we
 * are killed; when that one is killed, we do.
 */
int mqueue_peek(struct session *s, int fd, const char *name, struct mqueue_copy *ret);
void mqueue_copy_free(struct mqueue_copy *c);

/* ---- restore ---- */

/** mqueue_prepare - supervisor, before anything is made: check the images */
int mqueue_prepare(struct session *s, const struct ns *ns);
/** mqueue_restore - make the queues, give them to the supervisor; in a guest in the namespace */
int mqueue_restore(struct session *s, const struct ns *ns);
/** mqueue_take - supervisor: a descriptor that guest gave with MQUEUE_TAG + n; owned from here */
#define MQUEUE_TAG 0x10000000
int mqueue_take(struct session *s, int n, int fd);
/** mqueue_get - entry and descriptor of a queue, borrowed; NULL: the images have none */
const MqueueEntry *mqueue_get(struct session *s, uint32_t ns_id, uint64_t ino, int *ret_fd);

#endif
