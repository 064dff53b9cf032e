// SPDX-License-Identifier: Apache-2.0
/* inet-diag: what sock_diag alone shows: UDP sockets that were shut down for sending, MD5 keys. */
#include "kind/inet-diag.h"

#include "base/res.h"
#include "kind/ns.h"

#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>

static void keys_answer(struct map *m, uint32_t ino, const struct rtattr *a)
{
	size_t n = RTA_PAYLOAD(a) / sizeof(struct inet_key);
	struct inet_keys *k = n ? xalloc(sizeof(*k) + n * sizeof(k->v[0])) : NULL;

	if (!k)
		return;
	k->n = n;
	memcpy(k->v, RTA_DATA(a), n * sizeof(k->v[0]));
	map_put(m, ino, k);
}

static void diag_answer(struct map *m, const struct nlmsghdr *h, bool keys)
{
	const struct inet_diag_msg *d = NLMSG_DATA(h);
	int left = (int)h->nlmsg_len - (int)NLMSG_SPACE(sizeof(*d));
	const struct rtattr *a = (const void *)(d + 1);

	for (; left > 0 && RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (keys && a->rta_type == INET_DIAG_MD5SIG)
			keys_answer(m, d->idiag_inode, a);
		else if (!keys && a->rta_type == INET_DIAG_SHUTDOWN && *(const uint8_t *)RTA_DATA(a))
			map_put(m, d->idiag_inode, (void *)(uintptr_t)*(const uint8_t *)RTA_DATA(a));
}

/* 1 more is to come, 0 the end, -errno */
static int diag_read(int nl, struct map *m, bool keys)
{
	static const size_t size = 1 << 16;
	own_mem char *buf = xalloc(size);
	ssize_t got = recv(nl, buf, size, 0);
	int n = got;

	if (got < 0)
		return -errno;
	for (struct nlmsghdr *h = (void *)buf; mnl_nlmsg_ok(h, n); h = mnl_nlmsg_next(h, &n)) {
		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
		if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
		    h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
			diag_answer(m, h, keys);
	}
	return 1;
}

/* m: one map for each family, protocol and namespace */
static int diag_ask(struct session *s, const InetSkEntry *e, bool keys, struct map **ret)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 q;
	} m = {
		.h = { sizeof(m), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 0, 0 },
		.q = { e->family, e->proto, 0, 0, ~0U, { 0 } },
	};
	uint64_t key = (uint64_t)e->ns_id << 32 | e->family << 16 | e->proto;
	struct map *all = session_map(s, keys ? "inet keys" : "inet diag");
	own_fd int nl = -1;
	int r = 1;

	*ret = map_get(all, key);
	if (*ret)
		return 0;
	*ret = xalloc(sizeof(**ret));
	map_put(all, key, *ret);
	nl = ns_socket(s, e->ns_id, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
	if (nl < 0)
		return nl;
	if (send(nl, &m, sizeof(m), 0) < 0)
		r = -errno;
	while (r == 1)
		r = diag_read(nl, *ret, keys);
	return r;
}

int inet_diag(struct session *s, const InetSkEntry *e, struct map **ret)
{
	return diag_ask(s, e, false, ret);
}

const struct inet_keys *inet_diag_keys(struct session *s, const InetSkEntry *e)
{
	struct map *m;

	return diag_ask(s, e, true, &m) == 0 ? map_get(m, e->ino) : NULL;
}
