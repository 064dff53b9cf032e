/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest: a child of the supervisor that entered namespaces and runs ordinary C there. It is forked
 * with everything the supervisor has; what it changes in memory stays its own. In a user namespace it has
 * lost the supervisor's rights outside: session_openat() has them still.
 */
#ifndef TASK_GUEST_H
#define TASK_GUEST_H

#include "session/session.h"

struct guest {
	pid_t pid;
	struct guest_page *page; /* shared: the reason of a failure, what was told */
	int sock;		 /* SEQPACKET to the guest: descriptors come through it */
	/* in the guest: who stayed outside of its user namespace, and the way to it */
	pid_t keeper;
	int door;
};

struct guest_where {
	int pidns;    /* descriptor of a pid namespace to be born in, or -1 */
	pid_t vpid;   /* the pid to take there; 0: any */
	pid_t keeper; /* likewise of its doorkeeper */
	const int *ns; /* namespace descriptors to enter with setns(), n of them, in this order */
	size_t n;
	uint64_t unshare; /* CLONE_NEW* to unshare after that */
	int user;	/* descriptor of a user namespace to enter last, as its root; 0: none */
};

/**
 * guest_start - fork a guest, enter, run fn(s, arg) there
 * Return: 0, or -errno with the reason. guest_wait() must follow.
 */
int guest_start(struct session *s, struct guest *g, const struct guest_where *w,
		int (*fn)(struct session *s, void *arg), void *arg);
/** guest_wait - wait for its end; its failure becomes ours, reason included */
int guest_wait(struct session *s, struct guest *g);
/** guest_kill - end it at once, without its answer; nothing to do if it was waited for */
void guest_kill(struct session *s, struct guest *g);
/** guest_run - start and wait */
int guest_run(struct session *s, const struct guest_where *w,
	      int (*fn)(struct session *s, void *arg), void *arg);
/** guest_give_fd - in a guest: hand a descriptor to the supervisor, with a number it understands */
int guest_give_fd(struct session *s, int tag, int fd);
/** guest_stay - in a guest: hand a descriptor over, and wait for guest_kill() or the supervisor's end */
int guest_stay(struct session *s, int fd);
/** guest_pass_fd - in the supervisor: the other way; the guest takes it by guest_take_fd(s, s->guest, ..) */
int guest_pass_fd(struct session *s, struct guest *g, int tag, int fd);
/**
 * guest_take_fd - in the supervisor: next descriptor handed over, owned by the caller
 * Waits for one. Before guest_wait(), which closes the way.
 * Return: descriptor; -ENODATA when the guest has ended or gives no more; -errno with the reason.
 */
int guest_take_fd(struct session *s, struct guest *g, int *ret_tag);

/**
 * guest_errand - in a guest: a child of it runs fn(s, arg), from where there may be no way back
 * Return: the descriptor that fn() returned, or -errno with the reason.
 */
int guest_errand(struct session *s, int (*fn)(struct session *s, void *arg), void *arg);

#endif
