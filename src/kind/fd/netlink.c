// SPDX-License-Identifier: Apache-2.0
/*
 * netlink: sockets that talk to the kernel (AF_NETLINK).
 *
 * Kept:   protocol, port id, groups, destination, options. A port id that is taken at restore is replaced: reported.
 * Lost:   messages that wait to be read: such sockets are refused. Dumps in progress in the kernel. Queues and logs of
 *         netfilter that a socket has bound itself to (NFQUEUE, NFLOG): reported. What else the kernel keeps of who
 *         asked it, such as listeners of the process connector. SOCK_DGRAM, which is the same as SOCK_RAW.
 * Kernel: netlink(7), NETLINK_LIST_MEMBERSHIPS (Linux 4.2).
 */
#include "kind/fd.h"

#include "base/res.h"
#include "base/text.h"
#include "images/sk-netlink.pb-c.h"
#include "kind/ns.h"
#include "kind/sock-opts.h"

#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#define WORDS_MAX 64 /* of 32 groups each */
#define STATE_CONNECTED 1
#define STATE_BOUND 7

static const int options[] = { NETLINK_PKTINFO,	      NETLINK_BROADCAST_ERROR, NETLINK_NO_ENOBUFS,
			       NETLINK_LISTEN_ALL_NSID, NETLINK_CAP_ACK,	       NETLINK_EXT_ACK,
			       NETLINK_GET_STRICT_CHK };

static int sol_opt(int fd, int level, int option)
{
	int v = 0;
	socklen_t n = sizeof(v);

	return getsockopt(fd, level, option, &v, &n) < 0 ? -1 : v;
}

static bool netlink_is(const struct fd_view *v)
{
	return S_ISSOCK(v->st.st_mode) && sol_opt(v->fd, SOL_SOCKET, SO_DOMAIN) == AF_NETLINK;
}

/* Answers on their way: a program at work reads them soon. */
static int netlink_passing(struct session *s, const struct fd_view *v)
{
	char c;

	return recv(v->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC) >= 0;
}

static int netlink_check(struct session *s, const struct fd_view *v)
{
	if (!netlink_passing(s, v))
		return 0;
	return session_fail(s, -ENOTSUP,
			    "task %d: descriptor %d is a netlink socket with messages that were not read yet, which cannot be kept; let the program read them",
			    v->task->vpid, v->num);
}

static void note_groups(NetlinkSkEntry *e, int fd, uint32_t first, uint32_t words[WORDS_MAX])
{
	socklen_t n = WORDS_MAX * sizeof(*words);

	memset(words, 0, n);
	if (getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &n) < 0) {
		words[0] = first;
		n = sizeof(*words);
	}
	e->n_groups = words[0] != 0;
	e->groups = words;
	for (uint32_t i = 1; i < n / sizeof(*words) && i < WORDS_MAX; i++)
		if (words[i])
			e->n_more_groups = i;
	e->more_groups = words + 1;
}

/* "QUEUE PORTID ..." or "GROUP PORTID ...": packets are handed to whoever has said so once. */
static void note_bound(struct session *s, const struct fd_view *v, uint32_t portid)
{
	static const char *const files[] = { "nfnetlink_queue", "nfnetlink_log" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		own_mem char *path = xprintf("net/netfilter/%s", files[i]), *text = NULL;
		char *save = NULL;
		unsigned number, who;

		if (text_read(v->task->proc, path, &text, NULL) < 0)
			continue;
		for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
			if (sscanf(l, "%u %u", &number, &who) == 2 && who == portid)
				session_warn(s, "task %d: descriptor %d gets what netfilter hands to number %u (/proc/%s); it must ask again after a restore",
					     v->task->vpid, v->num, number, path);
	}
}

static int netlink_dump(struct session *s, const struct fd_view *v)
{
	NetlinkSkEntry e = NETLINK_SK_ENTRY__INIT;
	SkOptsEntry o = SK_OPTS_ENTRY__INIT;
	struct sockaddr_nl own = { 0 }, peer = { 0 };
	socklen_t n = sizeof(own), m = sizeof(peer);
	uint32_t words[WORDS_MAX];
	int r = netlink_check(s, v);

	if (r == 0 && getsockname(v->fd, (struct sockaddr *)&own, &n) < 0)
		r = session_fail(s, -errno, "task %d: descriptor %d: read its address", v->task->vpid, v->num);
	if (r == 0)
		r = sock_opts_get(s, v->fd, &o);
	if (getpeername(v->fd, (struct sockaddr *)&peer, &m) < 0)
		memset(&peer, 0, sizeof(peer));
	e.id = v->id;
	e.ino = v->st.st_ino;
	e.protocol = sol_opt(v->fd, SOL_SOCKET, SO_PROTOCOL);
	e.flags = v->flags;
	e.fown = v->fown;
	e.opts = &o;
	e.portid = own.nl_pid;
	e.dst_portid = peer.nl_pid;
	e.dst_group = peer.nl_groups ? __builtin_ctz(peer.nl_groups) + 1 : 0;
	e.state = e.dst_portid || e.dst_group ? STATE_CONNECTED : own.nl_pid ? STATE_BOUND : 0;
	e.has_ns_id = true;
	e.ns_id = v->net_ns_id;
	note_groups(&e, v->fd, own.nl_groups, words);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (sol_opt(v->fd, SOL_NETLINK, options[i]) > 0)
			e.options |= 1U << options[i];
	e.has_options = e.options != 0;
	if (e.protocol == NETLINK_NETFILTER && e.portid)
		note_bound(s, v, e.portid);
	if (r == 0)
		r = fd_put(s, v, &e.base);
	sock_opts_free(&o);
	return r;
}

/* ---- restore ---- */

static int join_groups(struct session *s, int fd, uint32_t id, uint32_t first, uint32_t word)
{
	for (unsigned i = 0; i < 32; i++) {
		int group = first + i;

		if (word >> i & 1 &&
		    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return session_fail(s, -errno, "netlink socket 0x%x: join group %d", id, group);
	}
	return 0;
}

static int bind_it(struct session *s, int fd, const NetlinkSkEntry *e)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = e->portid };

	if (!e->portid)
		return 0;
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return 0;
	a.nl_pid = 0; /* somebody has that number: any other does */
	if (errno == EADDRINUSE && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
		session_warn(s, "netlink socket 0x%x: port id %u is taken; it has another one", e->id,
			     e->portid);
		return 0;
	}
	return session_fail(s, -errno, "netlink socket 0x%x: bind it to port id %u", e->id, e->portid);
}

static int netlink_restore(struct session *s, struct fd_obj *o)
{
	const NetlinkSkEntry *e = o->entry->nlsk;
	struct sockaddr_nl dst = { .nl_family = AF_NETLINK };
	const int on = 1;
	int r;

	if (!e || e->n_groups > 1 || e->n_more_groups >= WORDS_MAX || e->dst_group > 32)
		return session_fail(s, -EBADMSG, "files.img: netlink socket 0x%x is damaged", o->id);
	o->fd = sock_make(s, e->has_ns_id ? e->ns_id : 0, AF_NETLINK, SOCK_RAW, e->protocol, e->opts);
	if (o->fd < 0)
		return o->fd;
	r = sock_opts_set(s, o->fd, e->opts);
	if (r == 0)
		r = bind_it(s, o->fd, e);
	if (r == 0 && e->n_groups)
		r = join_groups(s, o->fd, e->id, 1, e->groups[0]);
	for (size_t i = 0; r == 0 && i < e->n_more_groups; i++)
		r = join_groups(s, o->fd, e->id, 33 + 32 * i, e->more_groups[i]);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(options); i++)
		if (e->options >> options[i] & 1 &&
		    setsockopt(o->fd, SOL_NETLINK, options[i], &on, sizeof(on)) < 0)
			r = session_fail(s, -errno, "netlink socket 0x%x: set option %d", e->id, options[i]);
	if (r == 0 && e->state == STATE_CONNECTED) {
		dst.nl_pid = e->dst_portid;
		dst.nl_groups = e->dst_group ? 1U << (e->dst_group - 1) : 0;
		if (connect(o->fd, (struct sockaddr *)&dst, sizeof(dst)) < 0)
			r = session_fail(s, -errno, "netlink socket 0x%x: set its destination", e->id);
	}
	return r;
}

const struct fd_kind fd_kind_netlink = {
	.name = "netlink socket",
	.type = FD_TYPES__NETLINKSK,
	.is = netlink_is,
	.dump = netlink_dump,
	.restore = netlink_restore,
	.passing = netlink_passing,
};
