/* SPDX-License-Identifier: Apache-2.0 */
/* inet-opts: options of the IP, TCP and UDP levels. Those of all sockets: sock-opts.h. */
#ifndef KIND_INET_OPTS_H
#define KIND_INET_OPTS_H

#include "images/sk-inet.pb-c.h"
#include "session/session.h"

#define INET_OTHER_MAX 128

/* where the parts of an entry live while it is written */
struct inet_opts {
	IpOptsEntry ip;
	IpOptsRawEntry raw;
	TcpOptsEntry tcp;
	uint32_t filter[8];
	InetIntOpt other[INET_OTHER_MAX], *others[INET_OTHER_MAX];
	char congestion[16];
};

/** inet_opt - an option's int value, 0 if there is none */
int inet_opt(int fd, int level, int name);
/** inet_opts_get - read them; family, type, proto and ns_id of e are filled in. e borrows from o */
void inet_opts_get(struct session *s, int fd, struct inet_opts *o, InetSkEntry *e);
/** inet_opts_set - to be called before bind(). TCP_NODELAY and TCP_CORK of connections are left out */
int inet_opts_set(struct session *s, int fd, const InetSkEntry *e);

#endif
