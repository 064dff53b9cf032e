// SPDX-License-Identifier: Apache-2.0
/*
 * net-ipset: see net-ipset.h.
 *
 * Kept:   sets of every type: parameters, elements with counters, comments, timeouts; their numbers.
 * Lost:   nothing known.
 * Kernel: net/netfilter/ipset/ip_set_core.c (IPSET_CMD_SAVE).
 */
#include "kind/net-ipset.h"

#include "base/list.h"
#include "kind/net-map.h"
#include "kind/net-raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#define IPSET(cmd) (NFNL_SUBSYS_IPSET << 8 | (cmd))
#define HEAD sizeof(struct nfgenmsg)
#define SET_PROTOCOL 7
#define HOLE "stasis-hole-" /* a set that only takes a number */

/* A request and the first attribute, without which nothing is answered. */
struct ask {
	struct nfgenmsg family;
	struct nlattr attr;
	uint8_t protocol, pad[3];
};

/* What IPSET_CMD_SAVE asks for is told as a list. */
static const struct raw_file set_file = {
	"ipset", 0, IPSET(IPSET_CMD_SAVE), IPSET(IPSET_CMD_LIST), IPSET(IPSET_CMD_DESTROY), AF_UNSPEC, sizeof(struct ask),
	.map = map_ipset
};

int ipset_dump(struct session *s, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	own_raw struct raw_list l = { .f = &set_file };
	struct ask ask = { .attr = { NLA_HDRLEN + 1, IPSET_ATTR_PROTOCOL }, .protocol = SET_PROTOCOL };
	int r = raw_open(s, &n, NETLINK_NETFILTER, id);

	if (r != 0)
		return r < 0 ? r : 0;
	r = raw_list_ask(&n, &set_file, &ask, &l);
	if (r == -EINVAL || r == -ENOENT)
		return 0; /* the kernel was built without */
	return r < 0 ? session_fail(s, r, "netns %u: list the sets of ipset%s", id, n.why) : raw_write(s, &l, id);
}

/* ---- restore ---- */

static struct nlmsghdr *set_begin(void *buf, int cmd, int flags, const char *name)
{
	struct nfgenmsg *m;
	struct nlmsghdr *h = rtnl_begin(buf, IPSET(cmd), flags, HEAD, &m);

	m->nfgen_family = AF_INET;
	m->version = NFNETLINK_V0;
	mnl_attr_put_u8(h, IPSET_ATTR_PROTOCOL, SET_PROTOCOL);
	mnl_attr_put_strz(h, IPSET_ATTR_SETNAME, name);
	return h;
}

static const char *text_of(const struct nlmsghdr *h, uint16_t type)
{
	const struct nlattr *a = attr_find(h, HEAD, type);

	return a && memchr(mnl_attr_get_payload(a), 0, mnl_attr_get_payload_len(a)) ? mnl_attr_get_payload(a) : NULL;
}

static void copy(struct nlmsghdr *to, const struct nlmsghdr *from, uint16_t type, uint16_t flags)
{
	const struct nlattr *a = attr_find(from, HEAD, type);

	if (a)
		mnl_attr_put(to, type | flags, mnl_attr_get_payload_len(a), mnl_attr_get_payload(a));
}

/* Addresses are told without the flag with which they are taken; in the copy it is set. */
static void mark_addresses(struct nlattr *data)
{
	struct nlattr *a, *in;

	mnl_attr_for_each_nested(a, data)
		if (a->nla_type & NLA_F_NESTED)
			mnl_attr_for_each_nested(in, a)
				in->nla_type |= NLA_F_NET_BYTEORDER;
}

/* Is it told of a set, but no parameter of it? */
static bool only_told(uint16_t type)
{
	return type == IPSET_ATTR_ELEMENTS || type == IPSET_ATTR_REFERENCES || type == IPSET_ATTR_MEMSIZE;
}

static int set_make(struct rtnl *n, const struct nlmsghdr *h, const char *name, char *buf)
{
	const struct nlattr *data = attr_find(h, HEAD, IPSET_ATTR_DATA), *a;
	struct nlmsghdr *req = set_begin(buf, IPSET_CMD_CREATE, NLM_F_CREATE | NLM_F_EXCL, name);
	struct nlattr *in;

	copy(req, h, IPSET_ATTR_TYPENAME, 0);
	copy(req, h, IPSET_ATTR_REVISION, 0);
	copy(req, h, IPSET_ATTR_FAMILY, 0);
	in = mnl_attr_nest_start(req, IPSET_ATTR_DATA);
	mnl_attr_for_each_nested(a, data)
		if (!only_told(mnl_attr_get_type(a)))
			mnl_attr_put(req, a->nla_type, mnl_attr_get_payload_len(a), mnl_attr_get_payload(a));
	mnl_attr_nest_end(req, in);
	mark_addresses(in);
	return rtnl_talk(n, req, NULL, NULL);
}

static int hole_make(struct rtnl *n, unsigned index, char *buf)
{
	char name[IPSET_MAXNAMELEN];
	struct nlmsghdr *req;
	struct nlattr *in;

	snprintf(name, sizeof(name), HOLE "%u", index);
	req = set_begin(buf, IPSET_CMD_CREATE, NLM_F_CREATE | NLM_F_EXCL, name);
	mnl_attr_put_strz(req, IPSET_ATTR_TYPENAME, "bitmap:port");
	mnl_attr_put_u8(req, IPSET_ATTR_REVISION, 0);
	mnl_attr_put_u8(req, IPSET_ATTR_FAMILY, AF_UNSPEC);
	in = mnl_attr_nest_start(req, IPSET_ATTR_DATA);
	mnl_attr_put_u16(req, IPSET_ATTR_PORT | NLA_F_NET_BYTEORDER, htons(1));
	mnl_attr_put_u16(req, IPSET_ATTR_PORT_TO | NLA_F_NET_BYTEORDER, htons(1));
	mnl_attr_nest_end(req, in);
	return rtnl_talk(n, req, NULL, NULL);
}

/* The number of a set whose head this message is, -1 if it goes on with the elements of one. */
static int index_of(const struct nlmsghdr *h)
{
	const struct nlattr *a = attr_find(h, HEAD, IPSET_ATTR_INDEX);
	uint16_t index = 0;

	if (!attr_find(h, HEAD, IPSET_ATTR_TYPENAME) || !attr_find(h, HEAD, IPSET_ATTR_DATA))
		return -1;
	if (a && mnl_attr_get_payload_len(a) >= sizeof(index))
		memcpy(&index, mnl_attr_get_payload(a), sizeof(index));
	return ntohs(index);
}

static int by_index(const void *a, const void *b)
{
	return index_of(*(struct nlmsghdr *const *)a) - index_of(*(struct nlmsghdr *const *)b);
}

/* A new set gets the lowest number that is free: they are made in order, and gaps filled. */
static int sets_make(struct rtnl *n, const struct raw_list *l, char *buf, unsigned *ret_end)
{
	own_mem struct nlmsghdr **heads = xalloc((l->n + 1) * sizeof(*heads));
	size_t sets = 0;
	unsigned next = 0;
	int r = 0;

	for (size_t i = 0; i < l->n; i++)
		if (index_of(l->v[i]) >= 0)
			heads[sets++] = l->v[i];
	qsort(heads, sets, sizeof(*heads), by_index);
	for (size_t i = 0; i < sets && r == 0; i++) {
		const char *name = text_of(heads[i], IPSET_ATTR_SETNAME);

		for (; next < (unsigned)index_of(heads[i]) && r == 0; next++)
			r = hole_make(n, next, buf);
		if (r == 0)
			r = name && strlen(name) < IPSET_MAXNAMELEN ? set_make(n, heads[i], name, buf) : -EBADMSG;
		next++;
	}
	*ret_end = next;
	return r;
}

static int elements_add(struct rtnl *n, const struct nlmsghdr *h, char *buf)
{
	const char *name = text_of(h, IPSET_ATTR_SETNAME);
	struct nlmsghdr *req;
	struct nlattr *data;

	if (!attr_find(h, HEAD, IPSET_ATTR_ADT))
		return 0;
	if (!name || strlen(name) >= IPSET_MAXNAMELEN)
		return -EBADMSG;
	req = set_begin(buf, IPSET_CMD_ADD, 0, name);
	mnl_attr_put_u32(req, IPSET_ATTR_LINENO, 0);
	copy(req, h, IPSET_ATTR_ADT, NLA_F_NESTED);
	mnl_attr_for_each_nested(data, attr_find(req, HEAD, IPSET_ATTR_ADT))
		mark_addresses(data);
	return rtnl_talk(n, req, NULL, NULL);
}

static void holes_end(struct rtnl *n, unsigned end, char *buf)
{
	char name[IPSET_MAXNAMELEN];

	for (unsigned i = 0; i < end; i++) {
		snprintf(name, sizeof(name), HOLE "%u", i);
		rtnl_talk(n, set_begin(buf, IPSET_CMD_DESTROY, 0, name), NULL, NULL);
	}
}

int ipset_restore(struct session *s, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	own_raw struct raw_list l = { 0 };
	own_mem char *buf = xalloc(RTNL_MSG_MAX + 256);
	unsigned end = 0;
	int r = raw_read(s, &set_file, id, &l);

	if (r != 0)
		return r < 0 ? r : 0;
	r = raw_open(s, &n, NETLINK_NETFILTER, id);
	if (r != 0)
		return r < 0 ? r : session_fail(s, -EPROTONOSUPPORT, "netns %u: this kernel has no ipset", id);
	r = sets_make(&n, &l, buf, &end);
	for (size_t i = 0; i < l.n && r == 0; i++)
		r = elements_add(&n, l.v[i], buf);
	if (r < 0)
		return session_fail(s, r, "netns %u: make the sets of ipset%s", id, n.why);
	holes_end(&n, end, buf);
	return 0;
}
