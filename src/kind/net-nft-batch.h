/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-nft-batch: requests to nf_tables that change one table of family inet, taken all or none.
 */
#ifndef KIND_NET_NFT_BATCH_H
#define KIND_NET_NFT_BATCH_H

#include "kind/net-rtnl.h"

#include <netinet/in.h> /* before the headers of linux/, as net/if.h */

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#define NFT_BATCH_MAX 32768u /* bytes; the caller keeps to it */
#define NFT_PRIORITY (-350)  /* of our chains: before connection tracking and address translation */

struct nft_batch {
	struct rtnl *n;
	const char *table;
	unsigned seq;
	char *buf;
	size_t len;
	struct nlmsghdr *last;
	struct nlattr *list; /* expressions of the rule that is being made */
};

/* an expression that is being made */
struct nft_expr {
	struct nlattr *elem, *data;
};

/* ---- a batch ---- */

/** nft_begin - an empty batch; n and table are borrowed */
void nft_begin(struct nft_batch *b, struct rtnl *n, const char *table);
/** nft_do - the next request; nft_added() when its attributes are complete */
struct nlmsghdr *nft_do(struct nft_batch *b, int type, int flags);
void nft_added(struct nft_batch *b, struct nlmsghdr *h);
/** nft_send - end it and send it. Return: 0 or -errno, then n->why has the kernel's words */
int nft_send(struct nft_batch *b);

/* ---- requests ---- */

void nft_put_be32(struct nlmsghdr *h, uint16_t type, uint32_t v);
/** nft_table_new - one that is there stays, but if it shall have an owner: -EEXIST; the others stay, too */
void nft_table_new(struct nft_batch *b, uint32_t flags);
void nft_table_delete(struct nft_batch *b);
/** nft_chain_new - of a hook, with a verdict for what no rule takes; hook < 0: one that rules go to */
void nft_chain_new(struct nft_batch *b, const char *chain, int hook, uint32_t policy);
/** nft_chain_flush - take all its rules away */
void nft_chain_flush(struct nft_batch *b, const char *chain);
/** nft_rule_begin - its expressions follow, then nft_rule_end() */
struct nlmsghdr *nft_rule_begin(struct nft_batch *b, const char *chain);
void nft_rule_end(struct nft_batch *b, struct nlmsghdr *h);

/* ---- expressions of a rule ---- */

/** nft_expr_begin - any expression: its attributes follow, then nft_expr_end() */
struct nft_expr nft_expr_begin(struct nlmsghdr *h, const char *name);
void nft_expr_end(struct nlmsghdr *h, struct nft_expr e);
/** nft_put_is - the first n bytes of register 1 are these */
void nft_put_is(struct nlmsghdr *h, const void *value, size_t n);
/** nft_put_meta - a packet's KEY is in register 1 */
void nft_put_meta(struct nlmsghdr *h, enum nft_meta_keys key);
/** nft_put_verdict - NF_ACCEPT...; chain: where to go on with NFT_GOTO, or NULL */
void nft_put_verdict(struct nlmsghdr *h, uint32_t code, const char *chain);
/** nft_rule_accept - meta KEY == VALUE accept */
void nft_rule_accept(struct nft_batch *b, const char *chain, enum nft_meta_keys key, uint32_t is);

#endif
