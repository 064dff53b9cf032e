// SPDX-License-Identifier: Apache-2.0
/*
 * net-rtnl: see net-rtnl.h.
 *
 * Kernel: net/core/rtnetlink.c, net/netlink/af_netlink.c (extended acknowledgements, Linux 4.12).
 */
#include "kind/net-rtnl.h"

#include "base/res.h"

#include <string.h>
#include <sys/socket.h>

#define LIST_TRIES 5

int rtnl_open_bus(struct rtnl *n, int bus)
{
	int on = 1, r, room = 1 << 20;

	memset(n, 0, sizeof(*n));
	n->nl = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!n->nl)
		return -errno;
	if (mnl_socket_bind(n->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		r = -errno;
		rtnl_close(n);
		return r;
	}
	/* words instead of a bare errno; an old kernel has none */
	mnl_socket_setsockopt(n->nl, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(n->nl, NETLINK_CAP_ACK, &on, sizeof(on));
	/* may be refused in a user namespace: the usual size does for all but huge listings */
	setsockopt(mnl_socket_get_fd(n->nl), SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	n->portid = mnl_socket_get_portid(n->nl);
	n->buf = xalloc(RTNL_MSG_MAX);
	return 0;
}

int rtnl_open(struct rtnl *n)
{
	return rtnl_open_bus(n, NETLINK_ROUTE);
}

void rtnl_close(struct rtnl *n)
{
	if (n->nl)
		mnl_socket_close(n->nl);
	free(n->buf);
	n->nl = NULL;
	n->buf = NULL;
}

struct nlmsghdr *rtnl_begin(void *buf, int type, int flags, size_t head, void *ret_head)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	*(void **)ret_head = mnl_nlmsg_put_extra_header(h, head);
	return h;
}

static bool attr_ok(const struct nlattr *a, size_t left)
{
	return left >= sizeof(*a) && a->nla_len >= sizeof(*a) && a->nla_len <= left;
}

const struct nlattr *attr_in(const void *p, size_t left, uint16_t type)
{
	const struct nlattr *a = p;

	while (attr_ok(a, left)) {
		size_t step = MNL_ALIGN(a->nla_len);

		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return a;
		if (step >= left)
			break;
		left -= step;
		a = (const void *)((const char *)a + step);
	}
	return NULL;
}

const struct nlattr *attr_find(const struct nlmsghdr *h, size_t head, uint16_t type)
{
	size_t skip = MNL_NLMSG_HDRLEN + MNL_ALIGN(head);

	if (h->nlmsg_len <= skip)
		return NULL;
	return attr_in((const char *)h + skip, h->nlmsg_len - skip, type);
}

const struct nlattr *attr_nested(const struct nlattr *in, uint16_t type)
{
	return in ? attr_in(mnl_attr_get_payload(in), mnl_attr_get_payload_len(in), type) : NULL;
}

uint32_t attr_u32(const struct nlattr *a, uint32_t def)
{
	uint32_t v;

	if (!a || mnl_attr_get_payload_len(a) < sizeof(v))
		return def;
	memcpy(&v, mnl_attr_get_payload(a), sizeof(v));
	return v;
}

/* The kernel's words in an acknowledgement that carries them. */
static void rtnl_words(struct rtnl *n, const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
	size_t skip = sizeof(*e);
	const struct nlattr *a;

	n->why[0] = 0;
	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(h->nlmsg_flags & NLM_F_CAPPED)) {
		if (e->msg.nlmsg_len < MNL_NLMSG_HDRLEN)
			return;
		skip += e->msg.nlmsg_len - MNL_NLMSG_HDRLEN;
	}
	a = attr_find(h, skip, NLMSGERR_ATTR_MSG);
	if (a)
		snprintf(n->why, sizeof(n->why), " (kernel: %.*s)",
			 (int)strnlen(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a)),
			 (const char *)mnl_attr_get_payload(a));
}

/*
 * rtnl_answers - receive what belongs to the request just sent
 * Return: 0 the end; -EAGAIN the listing changed meanwhile; -errno.
 */
static int rtnl_answers(struct rtnl *n, int (*cb)(const struct nlmsghdr *h, void *arg), void *arg)
{
	bool changed = false;

	for (;;) {
		int len = mnl_socket_recvfrom(n->nl, n->buf, RTNL_MSG_MAX);
		const struct nlmsghdr *h = (const void *)n->buf;

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return -errno;
		for (; mnl_nlmsg_ok(h, len); h = mnl_nlmsg_next(h, &len)) {
			int r = 0;

			if (h->nlmsg_seq != n->seq)
				continue;
			changed = changed || (h->nlmsg_flags & NLM_F_DUMP_INTR);
			if (h->nlmsg_type == NLMSG_DONE) {
				if (mnl_nlmsg_get_payload_len(h) >= sizeof(int))
					memcpy(&r, mnl_nlmsg_get_payload(h), sizeof(r));
				return r < 0 ? r : changed ? -EAGAIN : 0;
			}
			if (h->nlmsg_type == NLMSG_ERROR) {
				const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

				rtnl_words(n, h);
				return e->error;
			}
			if (h->nlmsg_type >= NLMSG_MIN_TYPE && cb)
				r = cb(h, arg);
			if (r < 0)
				return r;
		}
	}
}

int rtnl_talk(struct rtnl *n, struct nlmsghdr *h, int (*cb)(const struct nlmsghdr *h, void *arg),
	      void *arg)
{
	h->nlmsg_flags |= NLM_F_ACK;
	h->nlmsg_seq = ++n->seq;
	h->nlmsg_pid = 0;
	n->why[0] = 0;
	if (mnl_socket_sendto(n->nl, h, h->nlmsg_len) < 0)
		return -errno;
	return rtnl_answers(n, cb, arg);
}

unsigned rtnl_seq(struct rtnl *n)
{
	return ++n->seq;
}

int rtnl_batch(struct rtnl *n, const void *buf, size_t len)
{
	n->why[0] = 0;
	if (mnl_socket_sendto(n->nl, buf, len) < 0)
		return -errno;
	return rtnl_answers(n, NULL, NULL);
}

int rtnl_list_asked(struct rtnl *n, int type, size_t head, const void *ask,
		    int (*cb)(const struct nlmsghdr *h, void *arg), void *arg)
{
	char req[256] __attribute__((aligned(8)));
	int r = -EAGAIN;

	for (int i = 0; i < LIST_TRIES && r == -EAGAIN; i++) {
		void *extra;
		struct nlmsghdr *h = rtnl_begin(req, type, NLM_F_DUMP, head, &extra);

		memcpy(extra, ask, head);
		h->nlmsg_seq = ++n->seq;
		n->why[0] = 0;
		if (i && (r = cb(NULL, arg)) < 0)
			return r;
		if (mnl_socket_sendto(n->nl, h, h->nlmsg_len) < 0)
			return -errno;
		r = rtnl_answers(n, cb, arg);
	}
	return r;
}

int rtnl_list(struct rtnl *n, int type, int family, size_t head,
	      int (*cb)(const struct nlmsghdr *h, void *arg), void *arg)
{
	unsigned char ask[RTNL_HEAD_MAX] = { family };

	return head > sizeof(ask) ? -EINVAL : rtnl_list_asked(n, type, head, ask, cb, arg);
}
