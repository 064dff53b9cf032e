// SPDX-License-Identifier: Apache-2.0
/*
 * net-xfrm: IPsec of a network namespace.
 *
 * Kept:   states with their keys, sequence numbers, windows and what they have been used; policies, in their order;
 *         what happens without one; thresholds of the policies' table.
 * Lost:   states that wait for their keys; offload to a device that has none at restore: reported. States whose keys
 *         the kernel hides (lockdown): refused.
 * Kernel: net/xfrm/xfrm_user.c; a state's copy goes on with the numbers that it had when it was dumped.
 */
#include "base/list.h"
#include "kind/net-map.h"
#include "kind/net-raw.h"

#include <errno.h>
#include <linux/xfrm.h>
#include <string.h>

/* One that an IKE daemon has been asked for has no number yet. */
static enum raw_keep keep_state(const struct nlmsghdr *h)
{
	struct xfrm_usersa_info i;

	memcpy(&i, mnl_nlmsg_get_payload(h), sizeof(i)); /* it has numbers of 64 bits, netlink aligns to 32 */
	return i.id.spi ? RAW_KEEP : RAW_SKIP;
}

/* Policies of sockets have other directions. */
static enum raw_keep keep_policy(const struct nlmsghdr *h)
{
	struct xfrm_userpolicy_info p;

	memcpy(&p, mnl_nlmsg_get_payload(h), sizeof(p));
	return p.dir < XFRM_POLICY_MAX ? RAW_KEEP : RAW_SKIP;
}

static enum raw_keep keep_default(const struct nlmsghdr *h)
{
	const struct xfrm_userpolicy_default *d = mnl_nlmsg_get_payload(h);

	return d->in == XFRM_USERPOLICY_BLOCK || d->fwd == XFRM_USERPOLICY_BLOCK || d->out == XFRM_USERPOLICY_BLOCK ? RAW_KEEP
														     : RAW_DEFAULT;
}

static bool threshold_is(const struct nlmsghdr *h, uint16_t type, uint8_t bits)
{
	const struct nlattr *a = attr_find(h, sizeof(uint32_t), type);
	const struct xfrmu_spdhthresh *t = a && mnl_attr_get_payload_len(a) >= sizeof(*t) ? mnl_attr_get_payload(a) : NULL;

	return !t || (t->lbits == bits && t->rbits == bits);
}

static enum raw_keep keep_spd(const struct nlmsghdr *h)
{
	return threshold_is(h, XFRMA_SPD_IPV4_HTHRESH, 32) && threshold_is(h, XFRMA_SPD_IPV6_HTHRESH, 128) ? RAW_DEFAULT : RAW_KEEP;
}

/* How far it has been used is told in the state's head, but taken as an attribute. */
static int state_send(struct rtnl *n, struct nlmsghdr *h)
{
	const struct xfrm_usersa_info *i = mnl_nlmsg_get_payload(h);
	own_mem char *buf = xalloc(RTNL_MSG_MAX + 256);
	struct nlmsghdr *req = memcpy(buf, h, h->nlmsg_len);

	mnl_attr_put(req, XFRMA_LTIME_VAL, sizeof(i->curlft), &i->curlft);
	return rtnl_talk(n, req, NULL, NULL);
}

static int default_send(struct rtnl *n, struct nlmsghdr *h)
{
	h->nlmsg_type = XFRM_MSG_SETDEFAULT;
	return rtnl_talk(n, h, NULL, NULL);
}

static int spd_send(struct rtnl *n, struct nlmsghdr *h)
{
	static const uint16_t input[] = { XFRMA_SPD_IPV4_HTHRESH, XFRMA_SPD_IPV6_HTHRESH };
	own_mem char *buf = xalloc(RTNL_MSG_MAX + 256);
	uint32_t *flags;
	struct nlmsghdr *req = rtnl_begin(buf, XFRM_MSG_NEWSPDINFO, 0, sizeof(*flags), &flags);

	raw_input(req, h, sizeof(*flags), input, ARRAY_SIZE(input));
	return rtnl_talk(n, req, NULL, NULL);
}

/* In the order of restore. */
enum { STATE, POLICY, DEFAULT, SPD };
static const struct raw_file files[] = {
	[STATE] = { "xfrm-state", 0, XFRM_MSG_GETSA, XFRM_MSG_NEWSA, XFRM_MSG_DELSA, AF_UNSPEC, sizeof(struct xfrm_usersa_info),
		    .keep = keep_state, .send = state_send, .map = map_xfrm_state },
	[POLICY] = { "xfrm-policy", 0, XFRM_MSG_GETPOLICY, XFRM_MSG_NEWPOLICY, XFRM_MSG_DELPOLICY, AF_UNSPEC,
		     sizeof(struct xfrm_userpolicy_info), .keep = keep_policy, .map = map_xfrm_policy },
	[DEFAULT] = { "xfrm-default", 0, XFRM_MSG_GETDEFAULT, XFRM_MSG_GETDEFAULT, 0, AF_UNSPEC, sizeof(struct xfrm_userpolicy_default),
		      .keep = keep_default, .send = default_send },
	[SPD] = { "xfrm-spd", 0, XFRM_MSG_GETSPDINFO, XFRM_MSG_NEWSPDINFO, 0, AF_UNSPEC, sizeof(uint32_t), .keep = keep_spd,
		  .send = spd_send },
};

/* ---- dump ---- */

static bool key_hidden(const struct nlattr *a, size_t at, size_t bits)
{
	const uint8_t *key = (const uint8_t *)mnl_attr_get_payload(a) + at;
	size_t len = bits / 8;

	if (!len || at + len > mnl_attr_get_payload_len(a))
		return false;
	for (size_t i = 0; i < len; i++)
		if (key[i])
			return false;
	return true;
}

/* A kernel in lockdown tells zeroes instead. */
static bool keys_hidden(const struct nlmsghdr *h)
{
	const struct nlattr *crypt = attr_find(h, sizeof(struct xfrm_usersa_info), XFRMA_ALG_CRYPT);
	const struct nlattr *auth = attr_find(h, sizeof(struct xfrm_usersa_info), XFRMA_ALG_AUTH);
	const struct nlattr *aead = attr_find(h, sizeof(struct xfrm_usersa_info), XFRMA_ALG_AEAD);
	struct xfrm_algo c;
	struct xfrm_algo_aead e;

	if (crypt && mnl_attr_get_payload_len(crypt) >= sizeof(c)) {
		memcpy(&c, mnl_attr_get_payload(crypt), sizeof(c));
		if (key_hidden(crypt, sizeof(c), c.alg_key_len))
			return true;
	}
	if (auth && mnl_attr_get_payload_len(auth) >= sizeof(c)) {
		memcpy(&c, mnl_attr_get_payload(auth), sizeof(c));
		if (key_hidden(auth, sizeof(c), c.alg_key_len))
			return true;
	}
	if (!aead || mnl_attr_get_payload_len(aead) < sizeof(e))
		return false;
	memcpy(&e, mnl_attr_get_payload(aead), sizeof(e));
	return key_hidden(aead, sizeof(e), e.alg_key_len);
}

int xfrm_check(struct session *s, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	own_raw struct raw_list l = { 0 };
	int r = raw_open(s, &n, NETLINK_XFRM, id);

	if (r != 0)
		return r < 0 ? r : 0;
	r = raw_list_get(&n, &files[STATE], &l);
	if (r < 0)
		return session_fail(s, r, "netns %u: list IPsec states%s", id, n.why);
	for (size_t i = 0; i < l.n; i++)
		if (keys_hidden(l.v[i]))
			return session_fail(s, -ENOTSUP,
					    "network namespace %u: has IPsec states (`ip xfrm state`) whose keys this kernel does not tell; end the IPsec daemon first, or use --empty-ns net",
					    id);
	return 0;
}

int xfrm_dump(struct session *s, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	static const uint32_t zero;
	int r = raw_open(s, &n, NETLINK_XFRM, id);

	for (size_t i = 0; i < DEFAULT && r == 0; i++)
		r = raw_dump(s, &n, &files[i], id);
	for (size_t i = DEFAULT; i < ARRAY_SIZE(files) && r == 0; i++) {
		own_raw struct raw_list l = { 0 };

		if (raw_one_ask(&n, &files[i], &zero, &l) == 0) /* older kernels have none */
			r = raw_write(s, &l, id);
	}
	return r < 0 ? r : 0;
}

/* ---- restore ---- */

static int file_restore(struct session *s, struct rtnl *n, const struct raw_file *f, uint32_t id)
{
	own_raw struct raw_list l = { 0 };
	int r = raw_read(s, f, id, &l);

	raw_reverse(&l); /* they are listed the newest first */
	if (r == 0)
		r = raw_replay(s, n, &l, id);
	return r < 0 ? r : 0;
}

int xfrm_restore(struct session *s, uint32_t id)
{
	own_rtnl struct rtnl n = { 0 };
	int r = raw_open(s, &n, NETLINK_XFRM, id);

	for (size_t i = 0; i < ARRAY_SIZE(files) && r == 0; i++)
		r = file_restore(s, &n, &files[i], id);
	return r < 0 ? r : 0;
}
