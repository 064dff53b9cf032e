/* SPDX-License-Identifier: Apache-2.0 */
/* inet-raw: packets that a restore makes, of its tasks or in the name of their peers. */
#ifndef KIND_INET_RAW_H
#define KIND_INET_RAW_H

#include "session/session.h"

#define INET_RAW_HEAD 40 /* bytes of the longer header */

struct inet_raw {
	bool v4;
	uint8_t src[16], dst[16]; /* the first four bytes, if v4 */
	uint8_t protocol;
	uint8_t ttl, tos;
	uint32_t scope; /* interface of a link-local dst, or 0 */
	int device;	/* interface that it seems to come in by, or 0: lo */
};

/** inet_raw_head - make the IP header of a packet with n bytes in ret[INET_RAW_HEAD]; its length */
size_t inet_raw_head(const struct inet_raw *p, size_t n, void *ret);
/** inet_raw_open - a socket to send them by, which bears the mark that the lock lets through; or -errno */
int inet_raw_open(struct session *s, uint32_t net_ns_id, bool v4);
/**
 * inet_raw_put - make the headers and send it
 * @body: transport header and data; its checksum is filled in
 * @sum: place of the checksum in body
 * Return: 0, or -errno. The caller has seen to it that dst is an address of that network namespace.
 */
int inet_raw_put(int fd, const struct inet_raw *p, void *body, size_t n, size_t sum);
/** inet_raw_send - inet_raw_put() by a socket for this packet alone */
int inet_raw_send(struct session *s, uint32_t net_ns_id, const struct inet_raw *p, void *body, size_t n, size_t sum);

#endif
