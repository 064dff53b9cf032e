/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inet-map: addresses of the host or pod that are others at restore, or gone: --address-map and
 * --address-policy.
 */
#ifndef KIND_INET_MAP_H
#define KIND_INET_MAP_H

#include "images/sk-inet.pb-c.h"
#include "session/session.h"

enum inet_fate {
	INET_KEEP,  /* as it was, even if its address is not there */
	INET_CLOSE, /* the peer has gone away: end of file, EPIPE */
	INET_RESET, /* the same, after one ECONNRESET */
	INET_REBIND, /* by a policy: has another address; none that inet_fate_of() knows */
};

/** inet_map_words - replace an address if the map has it; n words of the image, 1 or 4; *ret: was it there? */
int inet_map_words(struct session *s, uint32_t *words, size_t n, bool *ret);
/** inet_map_kept - does the socket of a mapped address and this port keep the old one, as the policy says? */
bool inet_map_kept(struct session *s, const uint32_t *words, size_t n, unsigned port);
/**
 * inet_map_moves - is there an address that leaves this network by being mapped?
 * @old: the network is the old one; else the new one, and the address comes
 */
bool inet_map_moves(struct session *s, const uint32_t *words, size_t n, unsigned bits, bool old);
/**
 * inet_map_apply - give a socket its new addresses and find out what becomes of it
 * An address that is not there and has no policy is left to the bind() that follows. Return: 0, or -errno with the
 * reason.
 */
int inet_map_apply(struct session *s, InetSkEntry *e, bool connection);
/** inet_fate_of - what was found; INET_KEEP for one that was not asked for */
enum inet_fate inet_fate_of(struct session *s, uint32_t id);
/** inet_gone - is a socket restored closed or reset? */
bool inet_gone(struct session *s, uint32_t id);
/**
 * inet_borrow - let a socket that is to be kept bind and connect although its address is not there
 * Return: true: inet_return() must follow.
 */
bool inet_borrow(struct session *s, int fd, const InetSkEntry *e);
void inet_return(int fd, const InetSkEntry *e);
/** inet_shut - make a fresh socket one whose connection has ended as its fate says */
int inet_shut(struct session *s, int fd, const InetSkEntry *e);

#endif
