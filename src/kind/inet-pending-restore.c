// SPDX-License-Identifier: Apache-2.0
/*
 * inet-pending, restore: clients connect anew, from the same ports, and send what they had sent. Nobody else is in
 * the network then. A client that was closed is a socket of ours for that moment.
 *
 * Kernel: a group of SO_REUSEPORT spreads by chance; a program of one instruction chooses, as long as we fill.
 */
#include "kind/inet-pending.h"

#include "base/list.h"
#include "base/res.h"
#include "image/record.h"
#include "images/tcp-pending.pb-c.h"
#include "kind/inet-map.h"
#include "kind/inet-tcp.h"
#include "kind/ns.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif
#define DATA_MAX (1u << 30)
#define ARRIVE_MS 1000

struct guest {
	TcpPendingEntry *e;
	char *data;
};

struct guests {
	struct {
		struct guest *v;
		size_t n, max;
	} all;
	bool read;
};

static bool guest_is_sound(const TcpPendingEntry *e, uint64_t left)
{
	return (e->src.len == 4 || e->src.len == 16) && e->dst.len == e->src.len && e->src_port && e->src_port <= 65535 &&
	       e->length <= DATA_MAX && e->length <= left;
}

static int guests_read(struct session *s, struct guests *g)
{
	own_image struct image img = { 0 };
	ProtobufCMessage *m;
	int r = image_open(s, &img, MAGIC_TCP_PENDING, "tcp-pending.img");

	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, &tcp_pending_entry__descriptor, &m)) == 1) {
		TcpPendingEntry *e = (TcpPendingEntry *)m;
		char *data = NULL;

		if (!guest_is_sound(e, image_left(&img))) {
			tcp_pending_entry__free_unpacked(e, NULL);
			return session_fail(s, -EBADMSG, "tcp-pending.img: is damaged");
		}
		data = xalloc(e->length + 1);
		*vec_add(&g->all) = (struct guest){ e, data };
		r = image_read_raw(&img, data, e->length);
	}
	return r;
}

static int guests(struct session *s, struct guests **ret)
{
	struct map *m = session_map(s, "inet pending restore");
	struct guests *g = map_get(m, 0);
	int r = 0;

	if (!g) {
		g = xalloc(sizeof(*g));
		map_put(m, 0, g);
		r = guests_read(s, g);
	}
	*ret = g;
	return r;
}

int inet_pending_is_client(struct session *s, uint32_t id)
{
	struct guests *g;
	int r = guests(s, &g);

	for (size_t i = 0; r == 0 && i < g->all.n; i++)
		if (g->all.v[i].e->client == id)
			return 1;
	return r;
}

size_t inet_pending_count(struct session *s, uint32_t id)
{
	struct guests *g;
	size_t n = 0;

	if (guests(s, &g) < 0)
		return 0;
	for (size_t i = 0; i < g->all.n; i++)
		n += g->all.v[i].e->listener == id;
	return n;
}

/* The address may be another one now. */
static int address_make(struct session *s, const ProtobufCBinaryData *addr, unsigned port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *a4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ret;
	uint32_t words[4];
	bool mapped;
	int r;

	memcpy(words, addr->data, addr->len);
	r = inet_map_words(s, words, addr->len / 4, &mapped);
	memset(ret, 0, sizeof(*ret));
	ret->ss_family = addr->len == 4 ? AF_INET : AF_INET6;
	a4->sin_port = htons(port); /* at the same place in both */
	memcpy(addr->len == 4 ? (void *)&a4->sin_addr : (void *)&a6->sin6_addr, words, addr->len);
	return r;
}

/* One that its program has closed, or that was reset: its last words and its end. */
static int guest_closed(struct session *s, const InetSkEntry *l, const struct guest *g)
{
	own_fd int fd = ns_socket(s, l->has_ns_id ? l->ns_id : 0, g->e->src.len == 4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
	struct linger now = { .l_onoff = 1 };
	struct sockaddr_storage from, to;
	socklen_t n = g->e->src.len == 4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	int on = 1, room = g->e->length + (1 << 20), r = fd;

	if (r >= 0)
		r = address_make(s, &g->e->src, g->e->src_port, &from);
	if (r >= 0)
		r = address_make(s, &g->e->dst, l->src_port, &to);
	if (r < 0)
		return r;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || bind(fd, (void *)&from, n) < 0)
		r = -errno;
	else
		r = inet_tcp_dial(fd, &to, n, g->data, g->e->length);
	if (r == 0 && g->e->reset && setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) < 0)
		r = -errno;
	return r;
}

static unsigned waiting_at(int fd)
{
	struct tcp_info ti = { 0 };
	socklen_t n = sizeof(ti);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &n) < 0 ? 0 : ti.tcpi_unacked;
}

static int group_choose(int fd, int place)
{
	struct sock_filter f = BPF_STMT(BPF_RET | BPF_K, place);
	struct sock_fprog p = { 1, &f };

	return place >= 0 && setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &p, sizeof(p)) < 0 ? -errno : 0;
}

static int guest_connect(struct session *s, const struct fd_obj *o, const struct guest *g)
{
	const InetSkEntry *l = o->entry->isk;
	unsigned before = waiting_at(o->fd);
	int r;

	if (g->e->client)
		return inet_tcp_reconnect(s, g->e->client, g->data, g->e->length, g->e->has_next ? &g->e->next : NULL);
	r = guest_closed(s, l, g);
	if (r < 0) {
		session_forget(s);
		session_warn(s, "socket 0x%x (port %u): a connection from port %u, which waits to be accepted, is lost: %s",
			     o->id, l->src_port, g->e->src_port, strerror(-r));
		return 0;
	}
	/* in their order */
	for (unsigned ms = 0; !g->e->making && waiting_at(o->fd) == before && ms < ARRIVE_MS; ms++)
		poll(NULL, 0, 1);
	return 0;
}

int inet_pending_fill(struct session *s, const struct fd_obj *o, int place)
{
	unsigned want = 0, got;
	struct guests *g;
	int r = guests(s, &g), zero = 0, flags = fcntl(o->fd, F_GETFL);

	if (r < 0)
		return r;
	fcntl(o->fd, F_SETFL, flags & ~O_ASYNC); /* the task was told when they came */
	r = group_choose(o->fd, place);
	if (r < 0)
		return session_fail(s, r, "socket 0x%x: choose it from its SO_REUSEPORT group", o->id);
	for (size_t i = 0; r == 0 && i < g->all.n; i++)
		if (g->all.v[i].e->listener == o->id) {
			r = guest_connect(s, o, &g->all.v[i]);
			want += !g->all.v[i].e->making;
		}
	if (place >= 0)
		setsockopt(o->fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &zero, sizeof(zero));
	for (unsigned ms = 0; r == 0 && (got = waiting_at(o->fd)) < want && ms < ARRIVE_MS; ms++)
		poll(NULL, 0, 1);
	fcntl(o->fd, F_SETFL, flags);
	if (r == 0 && got < want)
		session_warn(s, "socket 0x%x (port %u): %u connections that wait to be accepted are lost", o->id,
			     o->entry->isk->src_port, want - got);
	return r;
}
