/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inet-more: what a socket of IPv4 or IPv6 has beside numbers: options of several bytes, memberships in
 * multicast groups, keys of TCP.
 */
#ifndef KIND_INET_MORE_H
#define KIND_INET_MORE_H

#include "images/sk-inet.pb-c.h"
#include "kind/fd.h"

/** inet_more_get - read them; family, type, proto, ns_id and ino of e are filled in; inet_more_free() */
void inet_more_get(struct session *s, const struct fd_view *v, InetSkEntry *e);
void inet_more_free(InetSkEntry *e);
/** inet_more_set - all but the keys; what cannot be had here is reported */
void inet_more_set(struct session *s, int fd, const InetSkEntry *e);
/** inet_more_keys - the keys; of a connection when it has its state and before anything is sent */
int inet_more_keys(struct session *s, int fd, const InetSkEntry *e);

#endif
