// SPDX-License-Identifier: Apache-2.0
/*
 * net-nft-batch: see net-nft-batch.h.
 *
 * Kernel: net/netfilter/nfnetlink.c: a batch that has an error in it changes nothing.
 */
#include "kind/net-nft-batch.h"

#include "base/res.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>

static struct nlmsghdr *batch_add(struct nft_batch *b, int type, int flags, int family, int res_id)
{
	struct nfgenmsg *g;
	struct nlmsghdr *h = rtnl_begin(b->buf + b->len, type, flags, sizeof(*g), &g);

	h->nlmsg_seq = b->seq;
	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	g->res_id = htons(res_id);
	return h;
}

static void batch_edge(struct nft_batch *b, int type)
{
	nft_added(b, batch_add(b, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

void nft_begin(struct nft_batch *b, struct rtnl *n, const char *table)
{
	*b = (struct nft_batch){ .n = n, .table = table, .seq = rtnl_seq(n), .buf = xalloc(NFT_BATCH_MAX) };
	batch_edge(b, NFNL_MSG_BATCH_BEGIN);
}

struct nlmsghdr *nft_do(struct nft_batch *b, int type, int flags)
{
	return batch_add(b, NFNL_SUBSYS_NFTABLES << 8 | type, flags, NFPROTO_INET, 0);
}

void nft_added(struct nft_batch *b, struct nlmsghdr *h)
{
	b->len += MNL_ALIGN(h->nlmsg_len);
	b->last = h;
}

int nft_send(struct nft_batch *b)
{
	int r;

	b->last->nlmsg_flags |= NLM_F_ACK; /* the only answer, if all went well */
	batch_edge(b, NFNL_MSG_BATCH_END);
	r = rtnl_batch(b->n, b->buf, b->len);
	free(b->buf);
	b->buf = NULL;
	return r;
}

/* ---- requests ---- */

void nft_put_be32(struct nlmsghdr *h, uint16_t type, uint32_t v)
{
	mnl_attr_put_u32(h, type, htonl(v));
}

void nft_table_new(struct nft_batch *b, uint32_t flags)
{
	bool owned = flags & NFT_TABLE_F_OWNER;
	struct nlmsghdr *h = nft_do(b, NFT_MSG_NEWTABLE, NLM_F_CREATE | (owned ? NLM_F_EXCL : 0));

	mnl_attr_put_strz(h, NFTA_TABLE_NAME, b->table);
	nft_put_be32(h, NFTA_TABLE_FLAGS, flags);
	nft_added(b, h);
}

void nft_table_delete(struct nft_batch *b)
{
	struct nlmsghdr *h = nft_do(b, NFT_MSG_DELTABLE, 0);

	mnl_attr_put_strz(h, NFTA_TABLE_NAME, b->table);
	nft_added(b, h);
}

void nft_chain_new(struct nft_batch *b, const char *chain, int hook, uint32_t policy)
{
	struct nlmsghdr *h = nft_do(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	struct nlattr *nest;

	mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, b->table);
	mnl_attr_put_strz(h, NFTA_CHAIN_NAME, chain);
	if (hook >= 0) {
		mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, "filter");
		nft_put_be32(h, NFTA_CHAIN_POLICY, policy);
		nest = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
		nft_put_be32(h, NFTA_HOOK_HOOKNUM, hook);
		nft_put_be32(h, NFTA_HOOK_PRIORITY, (uint32_t)NFT_PRIORITY);
		mnl_attr_nest_end(h, nest);
	}
	nft_added(b, h);
}

void nft_chain_flush(struct nft_batch *b, const char *chain)
{
	struct nlmsghdr *h = nft_do(b, NFT_MSG_DELRULE, 0);

	mnl_attr_put_strz(h, NFTA_RULE_TABLE, b->table);
	mnl_attr_put_strz(h, NFTA_RULE_CHAIN, chain);
	nft_added(b, h);
}

struct nlmsghdr *nft_rule_begin(struct nft_batch *b, const char *chain)
{
	struct nlmsghdr *h = nft_do(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);

	mnl_attr_put_strz(h, NFTA_RULE_TABLE, b->table);
	mnl_attr_put_strz(h, NFTA_RULE_CHAIN, chain);
	b->list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
	return h;
}

void nft_rule_end(struct nft_batch *b, struct nlmsghdr *h)
{
	mnl_attr_nest_end(h, b->list);
	nft_added(b, h);
}

/* ---- expressions ---- */

struct nft_expr nft_expr_begin(struct nlmsghdr *h, const char *name)
{
	struct nft_expr e = { .elem = mnl_attr_nest_start(h, NFTA_LIST_ELEM) };

	mnl_attr_put_strz(h, NFTA_EXPR_NAME, name);
	e.data = mnl_attr_nest_start(h, NFTA_EXPR_DATA);
	return e;
}

void nft_expr_end(struct nlmsghdr *h, struct nft_expr e)
{
	mnl_attr_nest_end(h, e.data);
	mnl_attr_nest_end(h, e.elem);
}

void nft_put_meta(struct nlmsghdr *h, enum nft_meta_keys key)
{
	struct nft_expr e = nft_expr_begin(h, "meta");

	nft_put_be32(h, NFTA_META_KEY, key);
	nft_put_be32(h, NFTA_META_DREG, NFT_REG_1);
	nft_expr_end(h, e);
}

void nft_put_is(struct nlmsghdr *h, const void *value, size_t n)
{
	struct nft_expr e = nft_expr_begin(h, "cmp");
	struct nlattr *data;

	nft_put_be32(h, NFTA_CMP_SREG, NFT_REG_1);
	nft_put_be32(h, NFTA_CMP_OP, NFT_CMP_EQ);
	data = mnl_attr_nest_start(h, NFTA_CMP_DATA);
	mnl_attr_put(h, NFTA_DATA_VALUE, n, value);
	mnl_attr_nest_end(h, data);
	nft_expr_end(h, e);
}

void nft_put_verdict(struct nlmsghdr *h, uint32_t code, const char *chain)
{
	struct nft_expr e = nft_expr_begin(h, "immediate");
	struct nlattr *data, *verdict;

	nft_put_be32(h, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = mnl_attr_nest_start(h, NFTA_IMMEDIATE_DATA);
	verdict = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);
	nft_put_be32(h, NFTA_VERDICT_CODE, code);
	if (chain)
		mnl_attr_put_strz(h, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(h, verdict);
	mnl_attr_nest_end(h, data);
	nft_expr_end(h, e);
}

void nft_rule_accept(struct nft_batch *b, const char *chain, enum nft_meta_keys key, uint32_t is)
{
	struct nlmsghdr *h = nft_rule_begin(b, chain);

	nft_put_meta(h, key);
	nft_put_is(h, &is, sizeof(is));
	nft_put_verdict(h, NF_ACCEPT, NULL);
	nft_rule_end(b, h);
}
