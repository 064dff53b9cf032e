// SPDX-License-Identifier: Apache-2.0
/*
 * inet-pending, dump: connections in the queues of listeners.
 *
 * Kept:   those whose clients are sockets of the tree, or have been closed in its network namespace: their order,
 *         what was sent, ends and resets; also those whose handshake is not complete.
 * Lost:   of clients elsewhere: refused, or dropped with --skip-in-flight. Urgent data. A dump that lets the tasks
 *         run on refuses those that have sent data: it can only be had by accepting.
 * Kernel: such a socket has no descriptor, sock_diag alone shows it. On restore the clients connect anew from the
 *         same ports, see inet-pending-restore.c.
 */
#include "kind/inet-pending.h"

#include "base/list.h"
#include "base/res.h"
#include "image/record.h"
#include "images/tcp-pending.pb-c.h"
#include "kind/inet-diag.h"
#include "kind/inet-opts.h"
#include "kind/inet-tcp.h"
#include "kind/ns.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_PEERNAME
#define SO_PEERNAME 28
#endif
#define RECORD_ROOM 256 /* bytes of one record are fewer */
#define PIECE (1u << 16)

/* one that waits, or is being made */
struct guest {
	struct inet_tcp_any seen;
	uint32_t client; /* file id, or 0 */
};

/* what a client has sent */
struct words {
	char *data;
	size_t n;
	bool end, reset, has_next;
	uint32_t next;
};

struct listener {
	int fd, vpid, num;
	uint32_t id;
	InetSkEntry e; /* family, port and namespace only */
	uint8_t addr[16];
	unsigned waiting, strangers, strangers_making;
	struct {
		struct guest *v;
		size_t n, max;
	} guests;
};

struct listeners {
	struct {
		struct listener *v;
		size_t n, max;
	} all;
	size_t judged;
	bool ended;
	struct image img;
};

static struct listeners *listeners(struct session *s)
{
	return session_state(s, "inet pending dump", sizeof(struct listeners));
}

static bool runs_on(const struct session *s)
{
	return s->opts->leave_running || s->opts->leave_stopped;
}

int inet_pending_note(struct session *s, const struct fd_view *v, const InetSkEntry *e, unsigned waiting)
{
	struct listeners *all = listeners(s);
	int fd = fcntl(v->fd, F_DUPFD_CLOEXEC, 3);
	struct listener *l;

	if (fd < 0)
		return session_fail(s, -errno, "socket 0x%x: keep it", v->id);
	l = vec_add(&all->all);
	*l = (struct listener){ .fd = fd, .vpid = v->task->vpid, .num = v->num, .id = v->id, .waiting = waiting };
	inet_sk_entry__init(&l->e);
	l->e.family = e->family;
	l->e.proto = e->proto;
	l->e.src_port = e->src_port;
	l->e.ns_id = e->ns_id;
	inet_tcp_address(e->src_addr, e->n_src_addr, l->addr);
	return all->ended ? inet_pending_dump_end(s) : 0;
}

static bool is_any(const uint8_t *a)
{
	static const uint8_t none[16];

	return !memcmp(a, none, 16) || (!memcmp(a, none, 10) && a[10] == 0xff && !memcmp(a + 12, none, 4));
}

static bool is_guest(const struct listener *l, const struct inet_tcp_any *a)
{
	bool waits = l->waiting && (a->state == TCP_ESTABLISHED || a->state == TCP_CLOSE_WAIT);

	return !a->inode && a->src_port == l->e.src_port && (waits || a->state == TCP_SYN_RECV) &&
	       (is_any(l->addr) || !memcmp(l->addr, a->src, 16));
}

static bool is_loopback(const uint8_t *a)
{
	struct in6_addr in;

	memcpy(&in, a, 16);
	return IN6_IS_ADDR_LOOPBACK(&in) || (IN6_IS_ADDR_V4MAPPED(&in) && a[12] == 127);
}

/* Was it closed in this namespace? A client that is open, but none of ours, is somebody else's. */
static bool is_closed_here(struct session *s, const struct listener *l, const struct inet_tcp_any *a)
{
	const struct ns *net = ns_of(s, CLONE_NEWNET);
	bool here = is_loopback(a->dst) || !memcmp(a->src, a->dst, 16);

	if (!net || !net->own)
		return false;
	for (int i = 0; i < 2; i++) {
		const struct inet_tcp_all *all = inet_diag_all(s, &l->e, i ? AF_INET6 : AF_INET);

		for (size_t k = 0; all && k < all->n; k++) {
			const struct inet_tcp_any *c = &all->v[k];

			if (c->src_port != a->dst_port || c->dst_port != a->src_port ||
			    memcmp(c->src, a->dst, 16) || memcmp(c->dst, a->src, 16))
				continue;
			if (c->inode)
				return false;
			here = true;
		}
	}
	return here;
}

static void listener_look(struct session *s, struct listener *l, int family)
{
	const struct inet_tcp_all *all = inet_diag_all(s, &l->e, family);

	for (size_t i = 0; all && i < all->n; i++) {
		const struct inet_tcp_any *a = &all->v[i];
		uint32_t client;

		if (!is_guest(l, a))
			continue;
		client = inet_tcp_find(s, l->e.ns_id, a->dst, a->dst_port, a->src, a->src_port);
		if (client || is_closed_here(s, l, a))
			*vec_add(&l->guests) = (struct guest){ *a, client };
		else if (a->state == TCP_SYN_RECV)
			l->strangers_making++;
		else
			l->strangers++;
	}
}

static size_t guest_data(const struct guest *g)
{
	size_t end = g->seen.state == TCP_CLOSE_WAIT;

	return g->seen.state == TCP_SYN_RECV || g->seen.unread < end ? 0 : g->seen.unread - end;
}

static int listener_refuse(struct session *s, const struct listener *l, unsigned n, const char *what)
{
	return session_fail(s, -ENOTSUP, "task %d: descriptor %d listens and %u connections wait to be accepted%s; let it accept them, or drop them with --skip-in-flight",
			    l->vpid, l->num, n, what);
}

/* With tasks that run on, nothing can be accepted: what waits must be known without. */
static int listener_check_running(struct session *s, const struct listener *l)
{
	unsigned waiting = 0, talking = 0;

	for (size_t i = 0; i < l->guests.n; i++) {
		waiting += l->guests.v[i].seen.state != TCP_SYN_RECV;
		talking += guest_data(&l->guests.v[i]) > 0;
	}
	if (talking)
		return listener_refuse(s, l, talking, ", whose clients have sent what cannot be read while the tasks are to run on");
	if (waiting != l->waiting)
		return listener_refuse(s, l, l->waiting, ", which cannot be told from others while the tasks are to run on");
	return 0;
}

static int listener_check(struct session *s, const struct listener *l)
{
	if (l->strangers_making && !s->opts->tcp_skip_in_flight && inet_opt(l->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT))
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d listens with TCP_DEFER_ACCEPT and %u clients are connected that have not sent anything yet; let them, or drop them with --skip-in-flight",
				    l->vpid, l->num, l->strangers_making);
	if (l->strangers_making)
		session_warn(s, "task %d: descriptor %d: %u connections that are just being made are dropped; their clients may have to try again",
			     l->vpid, l->num, l->strangers_making);
	if (l->strangers)
		return listener_refuse(s, l, l->strangers, " of clients outside of the tree");
	return runs_on(s) && l->waiting ? listener_check_running(s, l) : 0;
}

/* The one that was heard last came last. */
static int guest_order(const void *a, const void *b)
{
	const struct guest *x = a, *y = b;

	return x->seen.quiet < y->seen.quiet ? 1 : x->seen.quiet > y->seen.quiet ? -1 : 0;
}

static int guest_write(struct listeners *all, const struct listener *l, const struct guest *g, const struct words *w)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	TcpPendingEntry e = TCP_PENDING_ENTRY__INIT;
	size_t skip = memcmp(g->seen.dst, mapped, sizeof(mapped)) ? 0 : sizeof(mapped);
	int r;

	e.listener = l->id;
	e.client = g->client;
	e.src.data = (uint8_t *)g->seen.dst + skip;
	e.dst.data = (uint8_t *)g->seen.src + skip;
	e.src.len = e.dst.len = 16 - skip;
	e.src_port = g->seen.dst_port;
	e.making = g->seen.state == TCP_SYN_RECV;
	if (w) {
		e.length = w->n;
		e.reset = w->reset;
		e.has_next = w->has_next;
		e.next = w->next;
	}
	r = image_write(&all->img, &e.base);
	return r < 0 || !e.length ? r : image_write_raw(&all->img, w->data, w->n);
}

/* Those that sent nothing, as far as they are not accepted. */
static int guests_write(struct listeners *all, struct listener *l, bool waiting)
{
	int r = 0;

	qsort(l->guests.v, l->guests.n, sizeof(*l->guests.v), guest_order);
	for (size_t i = 0; r == 0 && i < l->guests.n; i++)
		if (waiting || l->guests.v[i].seen.state == TCP_SYN_RECV)
			r = guest_write(all, l, &l->guests.v[i], NULL);
	return r;
}

/* The file is made while a failure costs nothing, as large as it will be. */
static int space_reserve(struct session *s, struct listeners *all, size_t room)
{
	int r = 0;

	if (!all->img.s)
		r = image_create(s, &all->img, MAGIC_TCP_PENDING, "tcp-pending.img");
	if (r == 0 && !runs_on(s) && fallocate(all->img.fd, FALLOC_FL_KEEP_SIZE, 0, room) < 0 && errno != EOPNOTSUPP)
		r = session_fail(s, -errno, "image tcp-pending.img: reserve %zu bytes", room);
	return r;
}

/* What all will need in the image; 0: nobody waits anywhere. */
static size_t space_needed(const struct listeners *all)
{
	size_t room = 0;

	for (size_t i = 0; i < all->all.n; i++) {
		room += all->all.v[i].waiting * RECORD_ROOM;
		for (size_t k = 0; k < all->all.v[i].guests.n; k++)
			room += RECORD_ROOM + guest_data(&all->all.v[i].guests.v[k]);
	}
	return room;
}

int inet_pending_dump_end(struct session *s)
{
	struct listeners *all = listeners(s);
	size_t room;
	int r = 0;

	all->ended = true;
	for (; r == 0 && all->judged < all->all.n; all->judged++) {
		struct listener *l = &all->all.v[all->judged];

		listener_look(s, l, AF_INET);
		if (l->e.family == AF_INET6)
			listener_look(s, l, AF_INET6);
		r = listener_check(s, l);
	}
	room = space_needed(all);
	if (r < 0 || !room) {
		session_unlinkat(s, s->images, "tcp-pending.img"); /* another dump's */
		return r;
	}
	r = space_reserve(s, all, room);
	if (!runs_on(s))
		return r;
	for (size_t i = 0; r == 0 && i < all->all.n; i++)
		r = guests_write(all, &all->all.v[i], true);
	return r < 0 ? r : image_close(&all->img);
}

/* ---- accepting ---- */

static void end_address(const struct sockaddr_storage *a, uint8_t *addr, uint16_t *port)
{
	const struct sockaddr_in *a4 = (const void *)a;
	const struct sockaddr_in6 *a6 = (const void *)a;

	inet_tcp_address(a->ss_family == AF_INET ? (const uint32_t *)&a4->sin_addr : a6->sin6_addr.s6_addr32,
			 a->ss_family == AF_INET ? 1 : 4, addr);
	*port = ntohs(a4->sin_port); /* at the same place in both */
}

/* Who is it? SO_PEERNAME tells of one that was reset, too. */
static bool guest_find(struct session *s, const struct listener *l, int fd, struct guest *ret)
{
	struct sockaddr_storage a = { 0 };
	socklen_t n = sizeof(a), m = l->e.family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

	*ret = (struct guest){ 0 };
	if (getsockname(fd, (void *)&a, &n) < 0)
		return false;
	end_address(&a, ret->seen.src, &ret->seen.src_port);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &a, &m) < 0)
		return false;
	end_address(&a, ret->seen.dst, &ret->seen.dst_port);
	ret->client = inet_tcp_find(s, l->e.ns_id, ret->seen.dst, ret->seen.dst_port, ret->seen.src, ret->seen.src_port);
	return ret->client || is_closed_here(s, l, &ret->seen);
}

static void guest_forget(struct listener *l, const struct guest *g)
{
	for (size_t i = 0; i < l->guests.n; i++) {
		const struct inet_tcp_any *a = &l->guests.v[i].seen;

		if (a->dst_port == g->seen.dst_port && !memcmp(a->dst, g->seen.dst, 16))
			l->guests.v[i--] = l->guests.v[--l->guests.n];
	}
}

/* The socket goes into repair mode, in which it also ends without a word. */
static void words_take(int fd, struct words *w)
{
	int on = TCP_REPAIR_ON, queue = TCP_RECV_QUEUE;
	socklen_t n = sizeof(w->next);
	size_t max = 0;
	ssize_t got;

	do {
		if (max - w->n < PIECE)
			w->data = xgrow(w->data, max = 2 * max + PIECE);
		got = recv(fd, w->data + w->n, max - w->n, MSG_DONTWAIT);
		w->n += got > 0 ? got : 0;
	} while (got > 0);
	w->end = got == 0;
	w->reset = got < 0 && errno != EAGAIN;
	w->has_next = setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) == 0 &&
		      setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) == 0 &&
		      getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &w->next, &n) == 0;
	w->next -= w->end;
}

static int guest_take(struct session *s, struct listeners *all, struct listener *l, int fd)
{
	struct words w = { 0 };
	struct guest g;
	int r;

	if (!guest_find(s, l, fd, &g)) {
		session_warn(s, "task %d: descriptor %d: a connection of a client outside of the tree is dropped", l->vpid, l->num);
		return 0;
	}
	words_take(fd, &w);
	guest_forget(l, &g);
	r = guest_write(all, l, &g, &w);
	free(w.data);
	return r;
}

static int listener_take(struct session *s, struct listeners *all, struct listener *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };
	int r = 0;

	while (r == 0 && l->waiting && poll(&p, 1, 0) == 1 && p.revents & POLLIN) {
		own_fd int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return session_fail(s, -errno, "socket 0x%x: accept what waits there", l->id);
		r = guest_take(s, all, l, fd);
	}
	return r < 0 ? r : guests_write(all, l, false);
}

int inet_pending_take(struct session *s)
{
	struct listeners *all = listeners(s);
	int r = 0;

	if (!all->img.s)
		return 0;
	for (size_t i = 0; r == 0 && i < all->all.n; i++)
		r = listener_take(s, all, &all->all.v[i]);
	return r < 0 ? r : image_close(&all->img);
}

void inet_pending_end(struct session *s)
{
	struct listeners *all = listeners(s);

	for (size_t i = 0; i < all->all.n; i++) {
		fd_close(all->all.v[i].fd);
		free(all->all.v[i].guests.v);
	}
	all->all.n = 0;
	image_close(&all->img);
}
