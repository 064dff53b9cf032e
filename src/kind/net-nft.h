/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-nft: packet filter rules of the network namespace the caller is in. Not to be called where "/" is
 * the tasks': libraries and tables of names are read.
 */
#ifndef KIND_NET_NFT_H
#define KIND_NET_NFT_H

#include "session/session.h"

/** nft_check - obstacles: rules that could not be loaded again; id is the namespace's */
int nft_check(struct session *s, uint32_t id);
/** nft_dump - nftables-N.img, if there are rules; our own lock (net-lock.h) is no part of them */
int nft_dump(struct session *s, uint32_t id);
/** nft_restore - load nftables-N.img without locks of CRIU's */
int nft_restore(struct session *s, uint32_t id);

#endif
