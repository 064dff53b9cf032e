/* SPDX-License-Identifier: Apache-2.0 */
/* unix-diag: what the kernel tells of unix sockets (sock_diag), all of a network namespace at once. */
#ifndef KIND_UNIX_DIAG_H
#define KIND_UNIX_DIAG_H

#include "session/session.h"

#include <stddef.h>

enum { SK_ESTABLISHED = 1, SK_CLOSE = 7, SK_LISTEN = 10 }; /* numbers of the wire and the kernel */

struct unix_diag {
	uint32_t ino;
	int type, state;
	int shutdown; /* 1 read, 2 write, 3 both */
	char *name;   /* bound address as in images, name_len bytes; 0: unbound */
	size_t name_len;
	bool has_peer; /* connected; the peer's ino is 0 if it is closed or not accepted yet */
	uint32_t peer;
	uint32_t *icons; /* LISTEN: the clients that wait to be accepted, in order; 0: closed again */
	size_t n_icons;
	uint32_t rqueue, wqueue; /* bytes; LISTEN: clients waiting, and the backlog */
	uint32_t listener;	 /* ino of the listener that has not accepted this one yet, or 0 */
};

/**
 * unix_diag_load - add all unix sockets of a network namespace to a map by ino
 * @net_ns_id: 0: the one we are in
 */
int unix_diag_load(struct session *s, uint32_t net_ns_id, struct map *by_ino);

#endif
