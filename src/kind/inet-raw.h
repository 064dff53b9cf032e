/* SPDX-License-Identifier: Apache-2.0 */
/* inet-raw: packets that a restore makes in the name of others and sends to sockets of its own tasks. */
#ifndef KIND_INET_RAW_H
#define KIND_INET_RAW_H

#include "session/session.h"

struct inet_raw {
	bool v4;
	uint8_t src[16], dst[16]; /* the first four bytes, if v4 */
	uint8_t protocol;
	uint8_t ttl, tos;
	uint32_t scope; /* interface of a link-local dst, or 0 */
	int device;	/* interface that it seems to come in by, or 0: lo */
};

/**
 * inet_raw_send - make the headers and send it; it bears the mark that the lock lets through
 * @body: transport header and data; its checksum is filled in
 * @sum: place of the checksum in body
 * Return: 0, or -errno. The caller has seen to it that dst is an address of that network namespace.
 */
int inet_raw_send(struct session *s, uint32_t net_ns_id, const struct inet_raw *p, void *body, size_t n, size_t sum);

#endif
