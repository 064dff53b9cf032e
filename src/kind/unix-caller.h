/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unix-caller: the kernel notes who makes a pair, listens or connects, and shows it to the other side
 * (SO_PEERCRED). Restore therefore has the task do it that did it, as the user it was then.
 */
#ifndef KIND_UNIX_CALLER_H
#define KIND_UNIX_CALLER_H

#include "images/sk-unix.pb-c.h"
#include "task/tree.h"

#include <sys/socket.h>

struct unix_caller {
	struct task *task; /* NULL: nobody, the supervisor does it */
	uint32_t uid, gid;
};

/** unix_caller_note - dump: whom this socket shows */
void unix_caller_note(struct session *s, const struct task *task, int fd, UnixSkEntry *e);
/**
 * unix_caller_of - restore: whom the socket has shown
 * @owner: who has it, for entries that do not say; may be NULL
 */
struct unix_caller unix_caller_of(struct session *s, const UnixSkEntry *e, struct task *owner);
/** unix_caller_self - the owner itself, as its user */
struct unix_caller unix_caller_self(const UnixSkEntry *e, struct task *owner);
/**
 * unix_caller_socket - a socket made by the caller
 * @num: its number there, until unix_caller_close(); -1: it was made by the supervisor
 * @fd: ours
 */
int unix_caller_socket(struct session *s, const struct unix_caller *c, int type, int *num, int *fd);
int unix_caller_pair(struct session *s, const struct unix_caller *c, int type, int fd[2]);
/** unix_caller_listen, unix_caller_connect - 0, or -errno with nothing said: the supervisor may do it */
int unix_caller_listen(struct session *s, const struct unix_caller *c, int num, int backlog);
int unix_caller_connect(struct session *s, const struct unix_caller *c, int num,
			const struct sockaddr *a, socklen_t len);
int unix_caller_close(struct session *s, const struct unix_caller *c, int num);

#endif
