/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inet-tcp: TCP connections of the tree: sequence numbers, queues, windows and what was agreed upon when
 * they began; tcp-stream-INODE.img. Everything else of a socket is in fd/inet.c.
 */
#ifndef KIND_INET_TCP_H
#define KIND_INET_TCP_H

#include "kind/fd.h"

#include <sys/socket.h>

/* ---- dump ---- */

/**
 * inet_tcp_note - a connection was met; it is read, and its entry put, by inet_tcp_dump_end()
 * @fd: ours, taken
 * @e: complete but for state and shutdown; owned by the session from now on
 */
int inet_tcp_note(struct session *s, int fd, InetSkEntry *e);
/** inet_tcp_dump_end - read all, with the network locked out, so that they fit together */
int inet_tcp_dump_end(struct session *s);
/**
 * inet_tcp_find - the file id of a connection that was met, or 0; addresses as inet_tcp_address() has them
 */
uint32_t inet_tcp_find(struct session *s, uint32_t net_ns_id, const uint8_t *src, unsigned src_port, const uint8_t *dst,
		       unsigned dst_port);
/** inet_tcp_address - n words of an image, 1 or 4, as 16 bytes: of IPv4 ::ffff:A.B.C.D */
void inet_tcp_address(const uint32_t *words, size_t n, uint8_t *ret);
/**
 * inet_tcp_hold - the tasks are about to be killed and the dump cannot fail any more: connections end
 * without a word to their peers
 */
void inet_tcp_hold(struct session *s);
/** inet_tcp_end - the dump is over. failed: sockets become what they were */
void inet_tcp_end(struct session *s, bool failed);

/* ---- restore ---- */

/** inet_tcp_is_connection - does the entry describe one that has a stream image? */
bool inet_tcp_is_connection(const InetSkEntry *e);
/** inet_tcp_make - connect it, in repair mode and locked: nothing is sent, nothing gets in */
int inet_tcp_make(struct session *s, struct fd_obj *o, int fd);
/** inet_tcp_anew - one that was just being made (SYN_SENT), bound: inet_tcp_unlock() begins it anew */
int inet_tcp_anew(struct session *s, struct fd_obj *o);
/** inet_tcp_again - one that nobody has accepted yet, bound: inet_tcp_reconnect() begins it anew */
int inet_tcp_again(struct session *s, struct fd_obj *o);
/**
 * inet_tcp_reconnect - connect it and send once more, then what it had not sent yet
 * @next: the sequence number behind what was sent, or NULL: nothing had come
 * Return: 0, or -errno with the reason.
 */
int inet_tcp_reconnect(struct session *s, uint32_t id, const char *sent, size_t n, const uint32_t *next);
/** inet_tcp_dial - connect a socket of ours, which waits for a second at most, and send */
int inet_tcp_dial(int fd, const struct sockaddr_storage *to, socklen_t len, const char *data, size_t n);
/** inet_tcp_fill - all sockets exist: queues, windows, and which side has ended */
int inet_tcp_fill(struct session *s);
/** inet_tcp_unlock - the tasks are about to run: connections live from here on */
int inet_tcp_unlock(struct session *s);
/**
 * inet_resend - the restore is over; if final, peers outside of the tree send again at once what was lost meanwhile
 * They do not wait for their next try, whose time doubles with each (RFC 6298): after a minute it may be a minute off.
 */
void inet_resend(struct session *s, bool final);

/** inet_tcp_state - state as TCP_INFO has it, or -errno */
int inet_tcp_state(int fd);
/** inet_tcp_shutdown - which directions were shut down (sk_shutdown), as far as it can be seen */
SkShutdown inet_tcp_shutdown(int fd, int state);
/** inet_addr_get - words of the image as an address for the kernel; its length. fd: a socket there */
socklen_t inet_addr_get(int fd, const InetSkEntry *e, bool peer, struct sockaddr_storage *ret);
/**
 * inet_bind_get - the address to bind it to: bind() to one of IPv6 sets IPV6_V6ONLY, which a socket that was only
 * connected does not have; that one gets its address once more by connecting
 */
socklen_t inet_bind_get(struct session *s, int fd, const InetSkEntry *e, struct sockaddr_storage *ret);

#endif
