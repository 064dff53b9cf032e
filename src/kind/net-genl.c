// SPDX-License-Identifier: Apache-2.0
/*
 * net-genl: see net-genl.h.
 *
 * Kept:   endpoints and limits of MPTCP, source address and HMAC keys of IPv6 segment routing, namespaces and
 *         schemas of IOAM, receiving ports of FOU, translations of ILA.
 * Lost:   tunnels of L2TP, services of IPVS, bearers of TIPC, PNET ids of SMC: reported. Metrics that TCP learned.
 * Kernel: genetlink(7); net/mptcp/pm_netlink.c, net/ipv6/{seg6,ioam6}.c, net/ipv4/fou_core.c, net/ipv6/ila.
 */
#include "kind/net-genl.h"

#include "base/list.h"
#include "kind/net-map.h"
#include "kind/net-raw.h"

#include <errno.h>
#include <netinet/in.h> /* before the headers of linux/, which then leave out what it has */

#include <linux/fou.h>
#include <linux/genetlink.h>
#include <linux/ila.h>
#include <linux/ioam6_genl.h>
#include <linux/ip_vs.h>
#include <linux/l2tp.h>
#include <linux/mptcp.h>
#include <linux/seg6_genl.h>
#include <linux/tipc_netlink.h>
#include <string.h>

#define HEAD GENL_HDRLEN
#define FILE_TYPE GENL_MIN_ID /* of messages in files: the kernel's numbers of families differ */
#define SMC_PNETID_NAME "SMC_PNETID"
#define SMC_PNETID_CMD_GET 1

/* ---- families ---- */

struct families {
	struct {
		char name[GENL_NAMSIZ];
		uint16_t id;
	} *v;
	size_t n, max;
};

static void families_free(struct families *f)
{
	free(f->v);
}
#define own_families __attribute__((cleanup(families_free)))

static int family_take(const struct nlmsghdr *h, void *arg)
{
	struct families *f = arg;
	const struct nlattr *name = h ? attr_find(h, HEAD, CTRL_ATTR_FAMILY_NAME) : NULL;
	const struct nlattr *id = h ? attr_find(h, HEAD, CTRL_ATTR_FAMILY_ID) : NULL;

	if (!h)
		f->n = 0;
	if (!name || !id || mnl_attr_get_payload_len(id) < 2)
		return 0;
	vec_add(f);
	f->v[f->n - 1].id = mnl_attr_get_u16(id);
	snprintf(f->v[f->n - 1].name, GENL_NAMSIZ, "%.*s", (int)mnl_attr_get_payload_len(name), (const char *)mnl_attr_get_payload(name));
	return 0;
}

/* All that are there: to ask for one by its name would load its module. */
static int families_list(struct rtnl *n, struct families *f)
{
	struct genlmsghdr head = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 };

	return rtnl_list_asked(n, GENL_ID_CTRL, HEAD, &head, family_take, f);
}

/* 0: it is not there */
static uint16_t family_id(const struct families *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->v[i].name, name))
			return f->v[i].id;
	return 0;
}

static int family_load(struct rtnl *n, const char *name, uint16_t *ret)
{
	char buf[256] __attribute__((aligned(8)));
	own_families struct families f = { 0 };
	struct genlmsghdr *m;
	struct nlmsghdr *h = rtnl_begin(buf, GENL_ID_CTRL, 0, HEAD, &m);
	int r;

	m->cmd = CTRL_CMD_GETFAMILY;
	m->version = 1;
	mnl_attr_put_strz(h, CTRL_ATTR_FAMILY_NAME, name);
	r = rtnl_talk(n, h, family_take, &f);
	*ret = family_id(&f, name);
	return r < 0 || *ret ? r : -ENOENT;
}

/* ---- what is kept ---- */

static bool has_u32(const struct nlmsghdr *h, uint16_t type, uint32_t v)
{
	return attr_u32(attr_find(h, HEAD, type), v) == v;
}

/* An endpoint that a connection brought with it goes with it. */
static enum raw_keep keep_endpoint(const struct nlmsghdr *h)
{
	const struct nlattr *a = attr_find(h, HEAD, MPTCP_PM_ATTR_ADDR);

	return attr_u32(attr_nested(a, MPTCP_PM_ADDR_ATTR_FLAGS), 0) & MPTCP_PM_ADDR_FLAG_IMPLICIT ? RAW_SKIP : RAW_KEEP;
}

static enum raw_keep keep_limits(const struct nlmsghdr *h)
{
	return has_u32(h, MPTCP_PM_ATTR_RCV_ADD_ADDRS, 0) && has_u32(h, MPTCP_PM_ATTR_SUBFLOWS, 2) ? RAW_DEFAULT : RAW_KEEP;
}

static enum raw_keep keep_tunsrc(const struct nlmsghdr *h)
{
	static const struct in6_addr any;
	const struct nlattr *a = attr_find(h, HEAD, SEG6_ATTR_DST);

	return a && mnl_attr_get_payload_len(a) == sizeof(any) && memcmp(mnl_attr_get_payload(a), &any, sizeof(any))
		       ? RAW_KEEP
		       : RAW_DEFAULT;
}

/* Namespaces are listed with the schema of each; a message for that is of another command. */
static enum raw_keep keep_schema_of(const struct nlmsghdr *h)
{
	return attr_find(h, HEAD, IOAM6_ATTR_SC_ID) ? RAW_KEEP : RAW_SKIP;
}

#define INPUT_MAX 12

struct genl_kind {
	const char *family;
	bool single; /* asked for, not listed */
	uint8_t ask, set;
	enum raw_keep (*keep)(const struct nlmsghdr *h);
	struct raw_file file;
	uint16_t input[INPUT_MAX]; /* attributes that are taken */
	uint16_t zero;		   /* one of them that is told as 0, but then not taken */
};
#define IN_FILE(name, hook) { name, 0, 0, FILE_TYPE, 0, AF_UNSPEC, HEAD, .map = hook }

/* In the order of restore. */
static const struct genl_kind kinds[] = {
	{ MPTCP_PM_NAME, false, MPTCP_PM_CMD_GET_ADDR, MPTCP_PM_CMD_ADD_ADDR, keep_endpoint, IN_FILE("mptcp-endpoint", map_generic),
	  { MPTCP_PM_ATTR_ADDR | NLA_F_NESTED }, 0 },
	{ MPTCP_PM_NAME, true, MPTCP_PM_CMD_GET_LIMITS, MPTCP_PM_CMD_SET_LIMITS, keep_limits, IN_FILE("mptcp-limits", NULL),
	  { MPTCP_PM_ATTR_RCV_ADD_ADDRS, MPTCP_PM_ATTR_SUBFLOWS }, 0 },
	{ SEG6_GENL_NAME, true, SEG6_CMD_GET_TUNSRC, SEG6_CMD_SET_TUNSRC, keep_tunsrc, IN_FILE("seg6-source", map_generic), { SEG6_ATTR_DST }, 0 },
	{ SEG6_GENL_NAME, false, SEG6_CMD_DUMPHMAC, SEG6_CMD_SETHMAC, NULL, IN_FILE("seg6-hmac", NULL),
	  { SEG6_ATTR_HMACKEYID, SEG6_ATTR_SECRETLEN, SEG6_ATTR_SECRET, SEG6_ATTR_ALGID }, 0 },
	{ IOAM6_GENL_NAME, false, IOAM6_CMD_DUMP_NAMESPACES, IOAM6_CMD_ADD_NAMESPACE, NULL, IN_FILE("ioam6-ns", NULL),
	  { IOAM6_ATTR_NS_ID, IOAM6_ATTR_NS_DATA, IOAM6_ATTR_NS_DATA_WIDE }, 0 },
	{ IOAM6_GENL_NAME, false, IOAM6_CMD_DUMP_SCHEMAS, IOAM6_CMD_ADD_SCHEMA, NULL, IN_FILE("ioam6-schema", NULL),
	  { IOAM6_ATTR_SC_ID, IOAM6_ATTR_SC_DATA }, 0 },
	{ IOAM6_GENL_NAME, false, IOAM6_CMD_DUMP_NAMESPACES, IOAM6_CMD_NS_SET_SCHEMA, keep_schema_of, IN_FILE("ioam6-use", NULL),
	  { IOAM6_ATTR_NS_ID, IOAM6_ATTR_SC_ID }, 0 },
	{ FOU_GENL_NAME, false, FOU_CMD_GET, FOU_CMD_ADD, NULL, IN_FILE("fou", map_generic),
	  { FOU_ATTR_PORT, FOU_ATTR_AF, FOU_ATTR_IPPROTO, FOU_ATTR_TYPE, FOU_ATTR_REMCSUM_NOPARTIAL, FOU_ATTR_LOCAL_V4,
	    FOU_ATTR_LOCAL_V6, FOU_ATTR_PEER_V4, FOU_ATTR_PEER_V6, FOU_ATTR_PEER_PORT, FOU_ATTR_IFINDEX }, FOU_ATTR_IPPROTO },
	{ ILA_GENL_NAME, false, ILA_CMD_GET, ILA_CMD_ADD, NULL, IN_FILE("ila", NULL),
	  { ILA_ATTR_LOCATOR, ILA_ATTR_LOCATOR_MATCH, ILA_ATTR_IFINDEX, ILA_ATTR_CSUM_MODE, ILA_ATTR_IDENT_TYPE, ILA_ATTR_HOOK_TYPE }, 0 },
};

/* What is only found out to be there. */
static const struct {
	const char *family;
	uint8_t ask, version;
	const char *what;
} others[] = {
	{ L2TP_GENL_NAME, L2TP_CMD_TUNNEL_GET, L2TP_GENL_VERSION, "L2TP tunnels" },
	{ IPVS_GENL_NAME, IPVS_CMD_GET_SERVICE, IPVS_GENL_VERSION, "IPVS services" },
	{ TIPC_GENL_V2_NAME, TIPC_NL_BEARER_GET, TIPC_GENL_V2_VERSION, "TIPC bearers" },
	{ SMC_PNETID_NAME, SMC_PNETID_CMD_GET, 1, "SMC PNET ids" },
};

/* ---- dump ---- */

static int kind_dump(struct session *s, struct rtnl *n, const struct families *all, const struct genl_kind *k, uint32_t id)
{
	own_raw struct raw_list l = { 0 };
	struct genlmsghdr head = { .cmd = k->ask, .version = 1 };
	struct raw_file asked = k->file;
	uint16_t family = family_id(all, k->family);
	int r;

	if (!family)
		return 0;
	asked.get = asked.new = family;
	asked.keep = k->keep;
	r = k->single ? raw_one_ask(n, &asked, &head, &l) : raw_list_ask(n, &asked, &head, &l);
	if (r == -EPERM)
		return 0; /* in a user namespace without rights for it, where nobody can have set it */
	if (r < 0)
		return session_fail(s, r, "netns %u: list %s%s", id, k->file.name, n->why);
	for (size_t i = 0; i < l.n; i++)
		l.v[i]->nlmsg_type = FILE_TYPE;
	l.f = &k->file;
	return raw_write(s, &l, id);
}

static int one_seen(const struct nlmsghdr *h, void *arg)
{
	*(bool *)arg = h != NULL;
	return 0;
}

static void others_report(struct session *s, struct rtnl *n, const struct families *all, uint32_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct genlmsghdr head = { .cmd = others[i].ask, .version = others[i].version };
		bool any = false;
		uint16_t family = family_id(all, others[i].family);

		if (family)
			rtnl_list_asked(n, family, HEAD, &head, one_seen, &any);
		if (any)
			session_warn(s, "network namespace %u: its %s are not kept; set them up again after the restore", id,
				     others[i].what);
	}
}

int genl_dump(struct session *s, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	own_families struct families all = { 0 };
	int r = raw_open(s, &n, NETLINK_GENERIC, id);

	if (r == 0 && (r = families_list(&n, &all)) < 0)
		return session_fail(s, r, "netns %u: list the families of generic netlink%s", id, n.why);
	for (size_t i = 0; i < ARRAY_SIZE(kinds) && r == 0; i++)
		r = kind_dump(s, &n, &all, &kinds[i], id);
	if (r == 0)
		others_report(s, &n, &all, id);
	return r < 0 ? r : 0;
}

/* ---- restore ---- */

static int kind_send(struct rtnl *n, const struct genl_kind *k, uint16_t family, const struct nlmsghdr *h)
{
	own_mem char *buf = xalloc(RTNL_MSG_MAX + 256);
	struct genlmsghdr *m;
	struct nlmsghdr *req = rtnl_begin(buf, family, 0, HEAD, &m);
	const struct nlattr *zero = k->zero ? attr_find(h, HEAD, k->zero) : NULL;

	m->cmd = k->set;
	m->version = 1;
	for (size_t i = 0; i < INPUT_MAX && k->input[i]; i++)
		if (k->input[i] != k->zero || (zero && mnl_attr_get_payload_len(zero) && mnl_attr_get_u8(zero)))
			raw_input(req, h, HEAD, &k->input[i], 1);
	return rtnl_talk(n, req, NULL, NULL);
}

static int kind_restore(struct session *s, struct rtnl *n, const struct genl_kind *k, uint32_t id)
{
	own_raw struct raw_list l = { 0 };
	uint16_t family = 0;
	int r = raw_read(s, &k->file, id, &l), one;

	if (r != 0)
		return r < 0 ? r : 0;
	if ((one = family_load(n, k->family, &family)) < 0)
		session_warn(s, "netns %u: %s: cannot be set: %s: this kernel has none", id, k->file.name, strerror(-one));
	for (size_t i = 0; i < l.n && one == 0; i++) {
		one = kind_send(n, k, family, l.v[i]);
		if (one < 0 && one != -EEXIST)
			session_warn(s, "netns %u: %s: an entry cannot be set: %s%s", id, k->file.name, strerror(-one), n->why);
		one = 0;
	}
	return 0;
}

int genl_restore(struct session *s, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	int r = raw_open(s, &n, NETLINK_GENERIC, id);

	for (size_t i = 0; i < ARRAY_SIZE(kinds) && r == 0; i++)
		r = kind_restore(s, &n, &kinds[i], id);
	return r < 0 ? r : 0;
}
