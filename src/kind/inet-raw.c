// SPDX-License-Identifier: Apache-2.0
#include "kind/inet-raw.h"

#include "base/res.h"
#include "kind/ns.h"
#include "task/sock-lock.h"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

static uint32_t sum_words(uint32_t sum, const void *p, size_t n)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? b[i] : (uint32_t)b[i] << 8;
	return sum;
}

static uint16_t sum_end(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

/* Zero would say that there is none; the other zero is as good. */
static void sum_fill(const struct inet_raw *p, void *body, size_t n, size_t at)
{
	size_t words = p->v4 ? 4 : 16;
	uint32_t sum = 0;
	uint16_t v = 0;

	memcpy((char *)body + at, &v, sizeof(v));
	if (p->protocol != IPPROTO_ICMP)
		sum = sum_words(sum_words(p->protocol + n, p->src, words), p->dst, words);
	v = sum_end(sum_words(sum, body, n));
	if (!v)
		v = 0xffff;
	memcpy((char *)body + at, &v, sizeof(v));
}

size_t inet_raw_head(const struct inet_raw *p, size_t n, void *ret)
{
	if (p->v4) {
		struct iphdr h = { .version = 4, .ihl = 5, .tos = p->tos, .ttl = p->ttl, .protocol = p->protocol };

		memcpy(&h.saddr, p->src, 4);
		memcpy(&h.daddr, p->dst, 4);
		h.tot_len = htons(sizeof(h) + n);
		memcpy(ret, &h, sizeof(h));
		return sizeof(h);
	}
	struct ip6_hdr h = { 0 };

	h.ip6_flow = htonl(6u << 28 | (uint32_t)p->tos << 20);
	h.ip6_plen = htons(n);
	h.ip6_nxt = p->protocol;
	h.ip6_hlim = p->ttl;
	memcpy(&h.ip6_src, p->src, 16);
	memcpy(&h.ip6_dst, p->dst, 16);
	memcpy(ret, &h, sizeof(h));
	return sizeof(h);
}

static socklen_t to_make(const struct inet_raw *p, struct sockaddr_storage *ret)
{
	struct sockaddr_in *a4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (p->v4) {
		a4->sin_family = AF_INET;
		memcpy(&a4->sin_addr, p->dst, 4);
		return sizeof(*a4);
	}
	a6->sin6_family = AF_INET6;
	a6->sin6_scope_id = p->scope;
	memcpy(&a6->sin6_addr, p->dst, 16);
	return sizeof(*a6);
}

int inet_raw_open(struct session *s, uint32_t net_ns_id, bool v4)
{
	int fd = ns_socket(s, net_ns_id, v4 ? AF_INET : AF_INET6, SOCK_RAW, IPPROTO_RAW), r;
	int mark = SOCK_LOCK_MARK, room = 1 << 20;

	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
			setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

int inet_raw_put(int fd, const struct inet_raw *p, void *body, size_t n, size_t sum)
{
	struct sockaddr_storage to;
	char head[INET_RAW_HEAD];
	struct iovec io[2] = { { .iov_base = head }, { body, n } };
	struct msghdr m = { .msg_name = &to, .msg_iov = io, .msg_iovlen = 2 };

	sum_fill(p, body, n, sum);
	io[0].iov_len = inet_raw_head(p, n, head);
	m.msg_namelen = to_make(p, &to);
	if (p->device && setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &p->device, sizeof(p->device)) < 0)
		return -errno;
	return sendmsg(fd, &m, 0) < 0 ? -errno : 0;
}

int inet_raw_send(struct session *s, uint32_t net_ns_id, const struct inet_raw *p, void *body, size_t n, size_t sum)
{
	own_fd int fd = inet_raw_open(s, net_ns_id, p->v4);

	return fd < 0 ? fd : inet_raw_put(fd, p, body, n, sum);
}
