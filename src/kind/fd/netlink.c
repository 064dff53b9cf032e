// SPDX-License-Identifier: Apache-2.0
/*
 * netlink: sockets that talk to the kernel (AF_NETLINK).
 *
 * Kept:   type, protocol, port id, groups (of generic netlink by their names), destination, options, queues and logs of
 *         netfilter (NFQUEUE, NFLOG) that it is bound to, listening to the process connector. A port id that is taken at
 *         restore is replaced: reported.
 * Lost:   answers that wait to be read: such sockets are refused. Notices that wait: reported, and the reader gets
 *         ENOBUFS, as when too many come. Dumps in progress in the kernel. What is not shown of queues and logs: their
 *         flags, lengths and sizes (reported); of the process connector: which events were asked for, all come again.
 * Kernel: netlink(7), NETLINK_LIST_MEMBERSHIPS (Linux 4.2); /proc/net/netfilter/nfnetlink_queue, nfnetlink_log.
 *         netlink_overrun(): a full socket has an error for its reader, and takes nothing until it has been read empty.
 */
#include "kind/fd.h"

#include "base/list.h"
#include "base/res.h"
#include "base/text.h"
#include "images/sk-netlink.pb-c.h"
#include "kind/genl-groups.h"
#include "kind/ns.h"
#include "kind/sock-opts.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#define WORDS_MAX 64 /* of 32 groups each */
#define BOUND_MAX 65536 /* queues or logs of one socket */
#define PATIENCE 12 /* stops that hit notices not read yet */
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

/* POLLIN, POLLERR; looking at the messages themselves would take an error away. */
static int waiting(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 ? p.revents & (POLLIN | POLLERR) : 0;
}

/* Does it get notices, that is, more than answers? */
static bool is_listener(const NetlinkSkEntry *e)
{
	return e->n_groups || e->n_more_groups || e->n_queues || e->n_logs;
}

/* Answers on their way: a program at work reads them soon. */
static int netlink_passing(struct session *s, const struct fd_view *v)
{
	struct map *seen = session_map(s, "netlink passing");
	uintptr_t times = (uintptr_t)map_get(seen, v->st.st_ino);

	if (!(waiting(v->fd) & POLLIN))
		return 0;
	map_put(seen, v->st.st_ino, (void *)(times + 1));
	return times < PATIENCE;
}

/* Only the first can be looked at, and nothing puts them back: the kernel sends in its own name. */
static int note_waiting(struct session *s, const struct fd_view *v, NetlinkSkEntry *e)
{
	int what = waiting(v->fd);

	if (!what)
		return 0;
	if (what & POLLIN && !is_listener(e))
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a netlink socket with messages that were not read yet, which cannot be kept; let the program read them",
				    v->task->vpid, v->num);
	session_warn(s, "task %d: descriptor %d: notices in a netlink socket that were not read yet are lost; restored, its reader %s",
		     v->task->vpid, v->num,
		     e->options >> NETLINK_NO_ENOBUFS & 1 ? "is not told, as it set NETLINK_NO_ENOBUFS" : "is told so (ENOBUFS)");
	e->has_lost = e->lost = true;
	return 0;
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

/* "NUMBER PORTID WAITING MODE RANGE ...", of a log then its time: packets are for whoever has said so once. */
static size_t note_bound(struct session *s, const struct fd_view *v, uint32_t portid, bool log, NetlinkBound ***ret)
{
	own_mem char *path = xprintf("net/netfilter/nfnetlink_%s", log ? "log" : "queue"), *text = NULL;
	struct {
		NetlinkBound **v;
		size_t n, max;
	} all = { 0 };
	char *save = NULL;
	unsigned number, who, mode, range, timeout;

	if (text_read(v->task->proc, path, &text, NULL) < 0)
		return 0;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		NetlinkBound *b;

		if (sscanf(l, "%u %u %*u %u %u %u", &number, &who, &mode, &range, &timeout) != 5 || who != portid)
			continue;
		*vec_add(&all) = b = xalloc(sizeof(*b));
		netlink_bound__init(b);
		b->number = number;
		b->copy_mode = mode;
		b->copy_range = range;
		b->has_timeout = log;
		b->timeout = timeout;
		session_warn(s, "task %d: descriptor %d gets what netfilter hands to %s %u: its flags, length and sizes, which the kernel does not show, are a new one's after a restore",
			     v->task->vpid, v->num, log ? "log" : "queue", number);
	}
	*ret = all.v;
	return all.n;
}

static void bound_free(NetlinkBound **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		netlink_bound__free_unpacked(v[i], NULL);
	free(v);
}

static int netlink_dump(struct session *s, const struct fd_view *v)
{
	NetlinkSkEntry e = NETLINK_SK_ENTRY__INIT;
	SkOptsEntry o = SK_OPTS_ENTRY__INIT;
	struct sockaddr_nl own = { 0 }, peer = { 0 };
	socklen_t n = sizeof(own), m = sizeof(peer);
	uint32_t words[WORDS_MAX];
	int r = 0;

	if (getsockname(v->fd, (struct sockaddr *)&own, &n) < 0)
		r = session_fail(s, -errno, "task %d: descriptor %d: read its address", v->task->vpid, v->num);
	if (r == 0)
		r = sock_opts_get(s, v->fd, &o);
	if (getpeername(v->fd, (struct sockaddr *)&peer, &m) < 0)
		memset(&peer, 0, sizeof(peer));
	e.id = v->id;
	e.ino = v->st.st_ino;
	e.protocol = sol_opt(v->fd, SOL_SOCKET, SO_PROTOCOL);
	e.has_dgram = e.dgram = sol_opt(v->fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM;
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
	genl_groups_note(s, &e);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (sol_opt(v->fd, SOL_NETLINK, options[i]) > 0)
			e.options |= 1U << options[i];
	e.has_options = e.options != 0;
	if (e.protocol == NETLINK_NETFILTER && e.portid) {
		e.n_queues = note_bound(s, v, e.portid, false, &e.queues);
		e.n_logs = note_bound(s, v, e.portid, true, &e.logs);
	}
	if (r == 0)
		r = note_waiting(s, v, &e);
	if (r == 0)
		r = fd_put(s, v, &e.base);
	sock_opts_free(&o);
	bound_free(e.queues, e.n_queues);
	bound_free(e.logs, e.n_logs);
	genl_groups_free(&e);
	return r;
}

/* ---- restore ---- */

static int join_group(struct session *s, int fd, const NetlinkSkEntry *e, uint32_t group)
{
	const NetlinkGroup *known;
	int here = genl_group_here(s, e, group, &known);

	if (here < 0) {
		session_warn(s, "netlink socket 0x%x: there is no group %.32s of %.32s here; it gets none of its notices", e->id,
			     known->name, known->family);
		return 0;
	}
	if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &here, sizeof(here)) < 0)
		return session_fail(s, -errno, "netlink socket 0x%x: join group %d", e->id, here);
	return 0;
}

static int join_groups(struct session *s, int fd, const NetlinkSkEntry *e, uint32_t first, uint32_t word)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < 32; i++)
		if (word >> i & 1)
			r = join_group(s, fd, e, first + i);
	return r;
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

static int set_options(struct session *s, int fd, const NetlinkSkEntry *e)
{
	const int on = 1;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (e->options >> options[i] & 1 &&
		    setsockopt(fd, SOL_NETLINK, options[i], &on, sizeof(on)) < 0)
			return session_fail(s, -errno, "netlink socket 0x%x: set option %d", e->id, options[i]);
	return 0;
}

/* To the kernel, whoever else it is connected to. */
static int tell(int fd, const struct nlmsghdr *h)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	return sendto(fd, h, h->nlmsg_len, MSG_DONTWAIT, (const void *)&kernel, sizeof(kernel)) < 0 ? -errno : 0;
}

/* No acknowledgement is asked for: a refusal comes at once, else nothing but packets, which are the program's. */
static int bind_number(int fd, const NetlinkBound *b, bool log)
{
	char buf[128] __attribute__((aligned(8)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	int r;

	h->nlmsg_type = log ? NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG : NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG;
	h->nlmsg_flags = NLM_F_REQUEST;
	g->res_id = htons(b->number);
	if (log) {
		struct nfulnl_msg_config_cmd cmd = { NFULNL_CFG_CMD_BIND };
		struct nfulnl_msg_config_mode mode = { htonl(b->copy_range), b->copy_mode, 0 };

		mnl_attr_put(h, NFULA_CFG_CMD, sizeof(cmd), &cmd);
		mnl_attr_put(h, NFULA_CFG_MODE, sizeof(mode), &mode);
		mnl_attr_put_u32(h, NFULA_CFG_TIMEOUT, htonl(b->timeout));
	} else {
		struct nfqnl_msg_config_cmd cmd = { NFQNL_CFG_CMD_BIND, 0, 0 };
		struct nfqnl_msg_config_params params = { htonl(b->copy_range), b->copy_mode };

		mnl_attr_put(h, NFQA_CFG_CMD, sizeof(cmd), &cmd);
		mnl_attr_put(h, NFQA_CFG_PARAMS, sizeof(params), &params);
	}
	r = tell(fd, h);
	if (r < 0 || recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT) < (ssize_t)MNL_NLMSG_HDRLEN + 4 ||
	    h->nlmsg_type != NLMSG_ERROR)
		return r;
	memcpy(&r, mnl_nlmsg_get_payload(h), sizeof(r));
	return recv(fd, buf, sizeof(buf), MSG_DONTWAIT) < 0 ? -errno : r;
}

static int bind_numbers(struct session *s, int fd, const NetlinkSkEntry *e, bool log)
{
	NetlinkBound **v = log ? e->logs : e->queues;
	size_t n = log ? e->n_logs : e->n_queues;

	for (size_t i = 0; i < n; i++) {
		int r = v[i]->number > UINT16_MAX || v[i]->copy_mode > UINT8_MAX ? -EBADMSG : bind_number(fd, v[i], log);

		if (r < 0)
			return session_fail(s, r, "netlink socket 0x%x: bind it to %s %u of netfilter%s", e->id,
					    log ? "log" : "queue", v[i]->number,
					    r == -EBUSY || r == -EPERM ? ", which somebody else may have here" : "");
	}
	return 0;
}

static bool is_member(const NetlinkSkEntry *e, unsigned group)
{
	return e->n_groups && e->groups[0] >> (group - 1) & 1;
}

/* The connector tells nobody in a pid or user namespace of his own. */
static bool hears_processes(struct session *s, const struct fd_obj *o)
{
	const NetlinkSkEntry *e = o->entry->nlsk;
	const TaskKobjIdsEntry *k = o->task ? o->task->ids : NULL, *root = s->tree->root->ids;

	return e->protocol == NETLINK_CONNECTOR && is_member(e, CN_IDX_PROC) && !ns_is_own(s, CLONE_NEWPID) &&
	       !ns_is_own(s, CLONE_NEWUSER) && k && root && k->pid_ns_id == root->pid_ns_id &&
	       k->user_ns_id == root->user_ns_id;
}

static int hear_processes(int fd)
{
	char buf[128] __attribute__((aligned(8)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct cn_msg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m) + sizeof(enum proc_cn_mcast_op));
	const enum proc_cn_mcast_op listen = PROC_CN_MCAST_LISTEN;

	h->nlmsg_type = NLMSG_DONE;
	m->id.idx = CN_IDX_PROC;
	m->id.val = CN_VAL_PROC;
	m->len = sizeof(listen);
	memcpy(m->data, &listen, sizeof(listen));
	return tell(fd, h);
}

static int ask_nothing(int fd)
{
	char buf[64] __attribute__((aligned(8)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = NLMSG_NOOP;
	h->nlmsg_flags = NLM_F_ACK;
	return tell(fd, h);
}

/*
 * Its reader is told that messages are lost when it was too full for one. Until its buffer has the size that it is to
 * have, it takes no more than a few acknowledgements, of no request (sequence number 0).
 */
static void overrun(struct session *s, struct fd_obj *o)
{
	struct pollfd p = { .fd = o->fd };
	const int least = 1;
	int r = setsockopt(o->fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least));

	for (unsigned i = 0; r == 0 && i < 32 && (poll(&p, 1, 0) <= 0 || !(p.revents & POLLERR)); i++)
		r = hears_processes(s, o) ? hear_processes(o->fd) : ask_nothing(o->fd);
	if (!(p.revents & POLLERR))
		session_warn(s, "netlink socket 0x%x: its reader is not told of lost notices, as the kernel sends it no others", o->id);
}

static int set_destination(struct session *s, int fd, const NetlinkSkEntry *e)
{
	struct sockaddr_nl dst = { .nl_family = AF_NETLINK };

	if (e->state != STATE_CONNECTED)
		return 0;
	dst.nl_pid = e->dst_portid;
	dst.nl_groups = e->dst_group ? 1U << (e->dst_group - 1) : 0;
	return connect(fd, (struct sockaddr *)&dst, sizeof(dst)) < 0
		       ? session_fail(s, -errno, "netlink socket 0x%x: set its destination", e->id)
		       : 0;
}

static int join_all(struct session *s, int fd, const NetlinkSkEntry *e)
{
	int r = e->n_groups ? join_groups(s, fd, e, 1, e->groups[0]) : 0;

	for (size_t i = 0; r == 0 && i < e->n_more_groups; i++)
		r = join_groups(s, fd, e, 33 + 32 * i, e->more_groups[i]);
	return r;
}

static int netlink_restore(struct session *s, struct fd_obj *o)
{
	const NetlinkSkEntry *e = o->entry->nlsk;
	int r;

	if (!e || e->n_groups > 1 || e->n_more_groups >= WORDS_MAX || e->dst_group > 32 || e->n_queues > BOUND_MAX ||
	    e->n_logs > BOUND_MAX || e->n_genl > WORDS_MAX * 32)
		return session_fail(s, -EBADMSG, "files.img: netlink socket 0x%x is damaged", o->id);
	o->fd = sock_make(s, e->has_ns_id ? e->ns_id : 0, AF_NETLINK, e->dgram ? SOCK_DGRAM : SOCK_RAW, e->protocol, e->opts);
	if (o->fd < 0)
		return o->fd;
	r = bind_it(s, o->fd, e);
	if (r == 0)
		r = bind_numbers(s, o->fd, e, false);
	if (r == 0)
		r = bind_numbers(s, o->fd, e, true);
	if (r == 0)
		r = join_all(s, o->fd, e);
	if (r == 0 && hears_processes(s, o) && hear_processes(o->fd) < 0)
		r = session_fail(s, -errno, "netlink socket 0x%x: listen to the process connector", o->id);
	if (r == 0 && e->lost && !(e->options >> NETLINK_NO_ENOBUFS & 1))
		overrun(s, o);
	if (r == 0)
		r = sock_opts_set(s, o->fd, e->opts);
	if (r == 0)
		r = set_options(s, o->fd, e);
	return r < 0 ? r : set_destination(s, o->fd, e);
}

const struct fd_kind fd_kind_netlink = {
	.name = "netlink socket",
	.type = FD_TYPES__NETLINKSK,
	.is = netlink_is,
	.dump = netlink_dump,
	.restore = netlink_restore,
	.passing = netlink_passing,
};
