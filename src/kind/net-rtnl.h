/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-rtnl: rtnetlink of the network namespace the caller is in: requests with an answer, listings,
 * and the raw files of an image that hold such listings.
 */
#ifndef KIND_NET_RTNL_H
#define KIND_NET_RTNL_H

#include "session/session.h"

#include <net/if.h> /* before the headers of linux/, which then leave out what it has */

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#define RTNL_MSG_MAX 65536u /* bytes of one message; a listing's answers have up to 32 KiB */

struct rtnl {
	struct mnl_socket *nl;
	unsigned portid, seq;
	char why[160]; /* what the kernel said about the last request, or "" */
	char *buf;     /* RTNL_MSG_MAX bytes */
};

/** rtnl_open - socket of the current namespace; a zeroed struct is a closed one */
int rtnl_open(struct rtnl *n);
/** rtnl_open_bus - the same for another netlink family (NETLINK_NETFILTER...) */
int rtnl_open_bus(struct rtnl *n, int bus);
void rtnl_close(struct rtnl *n);
#define own_rtnl __attribute__((cleanup(rtnl_close)))

/** rtnl_begin - start a request in buf, with room for the family's header */
struct nlmsghdr *rtnl_begin(void *buf, int type, int flags, size_t head, void *ret_head);
/**
 * rtnl_talk - send a request and wait for its acknowledgement
 * @cb: called for an answer that comes before it; may be NULL
 * Return: 0 or -errno of the kernel; n->why then holds its words.
 */
int rtnl_talk(struct rtnl *n, struct nlmsghdr *h, int (*cb)(const struct nlmsghdr *h, void *arg),
	      void *arg);
/** rtnl_seq - number that the messages of the next batch carry */
unsigned rtnl_seq(struct rtnl *n);
/** rtnl_batch - send messages of one batch, of which the last asks for an acknowledgement */
int rtnl_batch(struct rtnl *n, const void *buf, size_t len);
/**
 * rtnl_list - call cb for each object of a listing
 * @head: bytes of the family's header, whose first byte is the address family
 * A listing that changed under our eyes (NLM_F_DUMP_INTR) is taken again, up to a few times:
 * cb is told by a NULL message to forget what it has.
 */
int rtnl_list(struct rtnl *n, int type, int family, size_t head,
	      int (*cb)(const struct nlmsghdr *h, void *arg), void *arg);
#define RTNL_HEAD_MAX 232u
/** rtnl_list_asked - the same for a header of head bytes that says which ones */
int rtnl_list_asked(struct rtnl *n, int type, size_t head, const void *ask,
		    int (*cb)(const struct nlmsghdr *h, void *arg), void *arg);

/* ---- raw files ---- */

/**
 * rtnl_files_dump - ifaddr-N, route-N, route6-N, rule-N and those of ours, of this namespace
 * @id: N
 */
int rtnl_files_dump(struct session *s, struct rtnl *n, uint32_t id);
/** rtnl_files_restore - replay them; links exist and are up */
int rtnl_files_restore(struct session *s, struct rtnl *n, uint32_t id);

/**
 * track_files_dump, track_files_restore - connections that netfilter tracks: netns-ct-N, netns-exp-N; dump has also
 * what named_files_restore makes before the rules that call it: nfacct-N, cttimeout-N, cthelper-N
 */
int track_files_dump(struct session *s, uint32_t id);
int named_files_restore(struct session *s, uint32_t id);
int track_files_restore(struct session *s, uint32_t id);

/** vlan_files_dump, vlan_files_restore - VLANs of bridges, identifiers of vxlans: brvlan-N, vxvni-N */
int vlan_files_dump(struct session *s, struct rtnl *n, uint32_t id);
int vlan_files_restore(struct session *s, struct rtnl *n, uint32_t id);

/** xfrm_check - preflight: keys of IPsec that the kernel hides; xfrm_dump, xfrm_restore: xfrm-{state,policy,default,spd}-N */
int xfrm_check(struct session *s, uint32_t id);
int xfrm_dump(struct session *s, uint32_t id);
int xfrm_restore(struct session *s, uint32_t id);

/** attr_find - attribute of a message, or NULL; bounds are checked */
const struct nlattr *attr_find(const struct nlmsghdr *h, size_t head, uint16_t type);
/** attr_u32 - its number; def if it is not there or too short */
uint32_t attr_u32(const struct nlattr *a, uint32_t def);
/** attr_in - attribute among the bytes of an image */
const struct nlattr *attr_in(const void *p, size_t left, uint16_t type);
/** attr_nested - attribute inside an attribute, or NULL */
const struct nlattr *attr_nested(const struct nlattr *in, uint16_t type);

#endif
