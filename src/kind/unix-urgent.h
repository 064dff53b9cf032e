/* SPDX-License-Identifier: Apache-2.0 */
/* unix-urgent: the byte that was sent last by MSG_OOB and not read yet, in the queue of a unix stream socket. */
#ifndef KIND_UNIX_URGENT_H
#define KIND_UNIX_URGENT_H

#include <stdbool.h>
#include <stddef.h>

struct unix_urgent {
	bool any;
	bool hidden; /* it is the first of the queue, and a look at that passes over it */
	size_t at;   /* bytes before it */
	char byte;   /* if it is hidden */
};

#define UNIX_URGENT_UNTOLD                                                                                             \
	"has urgent data (MSG_OOB) whose place among descriptors or several senders' data does not show; let the program read it first"

/**
 * unix_urgent_look - is there one, and where; nothing is changed
 * @fd: a unix socket
 * Return: 0, or -ENOTSUP: its place cannot be told.
 */
int unix_urgent_look(int fd, struct unix_urgent *ret);
#endif
