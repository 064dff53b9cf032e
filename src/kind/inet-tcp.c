// SPDX-License-Identifier: Apache-2.0
/*
 * inet-tcp: TCP connections.
 *
 * A connection is read in repair mode, while a filter on it drops what the network brings; all are locked
 * before the first is read, so both ends of one agree with each other and with what peers outside know.
 * On restore they are made in repair mode behind the same filter. What only the peer can cause (its
 * FIN, its acknowledgment of ours) is caused by packets that we make and send to ourselves.
 *
 * Kept:   both queues, sequence numbers, window, MSS, SACK, window scale, timestamps, states; one that is
 *         just being made is begun anew.
 * Lost:   see also inet-urgent.c; congestion window and round trip times begin anew; socket errors.
 * Kernel: net/ipv4/tcp.c, TCP_REPAIR; repair mode forgets SO_REUSEADDR, which is put back.
 */
#include "kind/inet-tcp-own.h"

#include "base/list.h"
#include "base/res.h"
#include "image/record.h"
#include "kind/inet-hold.h"
#include "task/sock-lock.h"
#include "task/warden.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#ifndef SO_PEEK_OFF
#define SO_PEEK_OFF 42
#endif

#define SLACK (1u << 17) /* a segment acknowledged in part is shown whole */

static int opt_get(int fd, int opt, void *p, socklen_t n)
{
	return getsockopt(fd, IPPROTO_TCP, opt, p, &n) < 0 ? -errno : 0;
}

int inet_tcp_state(int fd)
{
	struct tcp_info ti = { 0 };
	int r = opt_get(fd, TCP_INFO, &ti, sizeof(ti));

	return r < 0 ? r : ti.tcpi_state;
}

/* Receiving is seen by poll(); sending is shut down exactly when a FIN was sent, or the end has come. */
SkShutdown inet_tcp_shutdown(int fd, int state)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };
	bool in = poll(&p, 1, 0) == 1 && p.revents & POLLRDHUP;
	bool out = state == TCP_CLOSE ? in : fin_sent(state);

	return (in ? SK_SHUTDOWN__READ : 0) | (out ? SK_SHUTDOWN__WRITE : 0);
}

/* ---- dump ---- */

struct conn {
	InetSkEntry *e;
	int fd;
	bool locked, in_repair;
};

struct conns {
	struct {
		struct conn *v;
		size_t n, max;
	} all;
	bool ended; /* dump_end is over: what comes now is read at once */
};

static struct conns *conns(struct session *s)
{
	return session_state(s, "inet tcp dump", sizeof(struct conns));
}

int conn_fail(struct session *s, int r, const InetSkEntry *e, const char *what)
{
	return session_fail(s, r, "TCP connection 0x%x (port %u to %u): %s", e->id, e->src_port,
			    e->dst_port, what);
}

static int conn_repair_on(struct session *s, struct conn *c)
{
	int r;

	warden_table(s)->repairing = true;
	r = opt_set(c->fd, TCP_REPAIR, TCP_REPAIR_ON);
	c->in_repair = r == 0;
	return r < 0 ? conn_fail(s, r, c->e, "switch repair mode on") : 0;
}

static int conn_repair_off(struct session *s, struct conn *c)
{
	int r = c->in_repair ? sock_repair_end(c->fd, c->e->opts->reuseaddr) : 0;

	c->in_repair = false;
	return r < 0 ? conn_fail(s, r, c->e, "switch repair mode off") : 0;
}

/* The bytes of one queue, which stay there. */
static int queue_peek(struct session *s, struct conn *c, int queue, uint32_t n, char **ret)
{
	own_mem char *buf = NULL;
	ssize_t got = 0;

	if (n > TCP_QUEUE_MAX)
		return conn_fail(s, -EFBIG, c->e, "its queue is too long");
	if (!n)
		return 0;
	buf = xalloc(n + SLACK);
	if (opt_set(c->fd, TCP_REPAIR_QUEUE, queue) < 0 ||
	    (got = recv(c->fd, buf, queue == TCP_SEND_QUEUE ? n + SLACK : n,
			MSG_PEEK | MSG_DONTWAIT)) < 0)
		return conn_fail(s, -errno, c->e, "read a queue");
	if (got < n)
		return conn_fail(s, -ENOTSUP, c->e,
				 "its queue cannot be read; let the program read it first");
	*ret = xalloc(n);
	memcpy(*ret, buf + (got - n), n);
	return 0;
}

static int seq_get(int fd, int queue, uint32_t *ret)
{
	int r = opt_set(fd, TCP_REPAIR_QUEUE, queue);

	return r < 0 ? r : opt_get(fd, TCP_QUEUE_SEQ, ret, sizeof(*ret));
}

/* Source: SIOCINQ leaves a FIN out; SIOCOUTQ and SIOCOUTQNSD count one that is not acknowledged. */
static int conn_lengths(struct session *s, struct conn *c, TcpStreamEntry *t)
{
	unsigned state = c->e->state;
	int in = 0, out = 0, unsent = 0;
	int fin = state == TCP_FIN_WAIT1 || state == TCP_CLOSING || state == TCP_LAST_ACK;

	if (ioctl(c->fd, SIOCINQ, &in) < 0 || ioctl(c->fd, SIOCOUTQ, &out) < 0 ||
	    ioctl(c->fd, SIOCOUTQNSD, &unsent) < 0)
		return conn_fail(s, -errno, c->e, "read the length of its queues");
	t->inq_len = in;
	t->has_unsq_len = true;
	if (state == TCP_CLOSE)
		return urgent_find(s, c->fd, c->e, t);
	t->outq_len = out > fin ? out - fin : 0;
	t->unsq_len = unsent > fin ? unsent - fin : 0;
	if (t->unsq_len > t->outq_len)
		t->unsq_len = t->outq_len;
	return urgent_find(s, c->fd, c->e, t);
}

static int conn_options(struct session *s, struct conn *c, TcpStreamEntry *t)
{
	struct tcp_info ti = { 0 };
	int r = opt_get(c->fd, TCP_INFO, &ti, sizeof(ti));

	if (r < 0)
		return conn_fail(s, r, c->e, "read its options");
	t->opt_mask = ti.tcpi_options & (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE);
	if (t->opt_mask & TCPI_OPT_WSCALE) {
		t->snd_wscale = ti.tcpi_snd_wscale;
		t->has_rcv_wscale = true;
		t->rcv_wscale = ti.tcpi_rcv_wscale;
	}
	r = opt_get(c->fd, TCP_MAXSEG, &t->mss_clamp, sizeof(t->mss_clamp));
	if (r == 0 && t->opt_mask & TCPI_OPT_TIMESTAMPS) {
		t->has_timestamp = true;
		r = opt_get(c->fd, TCP_TIMESTAMP, &t->timestamp, sizeof(t->timestamp));
	}
	return r < 0 ? conn_fail(s, r, c->e, "read its options") : 0;
}

static int conn_window(struct session *s, struct conn *c, TcpStreamEntry *t)
{
	struct tcp_repair_window w = { 0 };
	int r = opt_get(c->fd, TCP_REPAIR_WINDOW, &w, sizeof(w));

	if (r < 0)
		return conn_fail(s, r, c->e, "read its window");
	t->has_snd_wl1 = t->has_snd_wnd = t->has_max_window = t->has_rcv_wnd = t->has_rcv_wup = true;
	t->snd_wl1 = w.snd_wl1;
	t->snd_wnd = w.snd_wnd;
	t->max_window = w.max_window;
	t->rcv_wnd = w.rcv_wnd;
	t->rcv_wup = w.rcv_wup;
	return 0;
}

/* All that repair mode shows. in, out: owned by the caller */
static int conn_read(struct session *s, struct conn *c, TcpStreamEntry *t, char **in, char **out)
{
	int peek = -1, none = -1, r;
	socklen_t n = sizeof(peek);

	if (getsockopt(c->fd, SOL_SOCKET, SO_PEEK_OFF, &peek, &n) < 0)
		peek = -1;
	r = conn_lengths(s, c, t);
	if (r == 0)
		r = conn_options(s, c, t);
	if (r == 0)
		r = conn_window(s, c, t);
	if (r == 0 && (seq_get(c->fd, TCP_RECV_QUEUE, &t->inq_seq) < 0 ||
		       seq_get(c->fd, TCP_SEND_QUEUE, &t->outq_seq) < 0))
		r = conn_fail(s, -errno, c->e, "read its sequence numbers");
	if (peek >= 0)
		setsockopt(c->fd, SOL_SOCKET, SO_PEEK_OFF, &none, sizeof(none));
	if (r == 0)
		r = t->has_urgent ? urgent_peek(s, c->fd, c->e, t, in) : queue_peek(s, c, TCP_RECV_QUEUE, t->inq_len, in);
	if (r == 0)
		r = queue_peek(s, c, TCP_SEND_QUEUE, t->outq_len, out);
	if (peek >= 0)
		setsockopt(c->fd, SOL_SOCKET, SO_PEEK_OFF, &peek, sizeof(peek));
	return r;
}

static int conn_write(struct session *s, const InetSkEntry *e, const TcpStreamEntry *t,
		      const char *in, const char *out)
{
	own_image struct image img = { 0 };
	int r = image_create(s, &img, MAGIC_TCP_STREAM, "tcp-stream-%x.img", e->ino);

	if (r == 0)
		r = image_write(&img, &t->base);
	if (r == 0 && t->inq_len)
		r = image_write_raw(&img, in, t->inq_len);
	if (r == 0 && t->outq_len)
		r = image_write_raw(&img, out, t->outq_len);
	return r < 0 ? r : image_close(&img);
}

static int conn_dump(struct session *s, struct conn *c)
{
	TcpStreamEntry t = TCP_STREAM_ENTRY__INIT;
	own_mem char *in = NULL, *out = NULL;
	int r, off;

	if (inet_tcp_state(c->fd) == TCP_SYN_SENT) { /* has nothing yet that could be read */
		c->e->state = TCP_SYN_SENT;
		return fd_put_id(s, FD_TYPES__INETSK, c->e->id, &c->e->base);
	}
	r = conn_repair_on(s, c);
	if (r < 0)
		return r;
	c->e->state = inet_tcp_state(c->fd);
	c->e->shutdown = inet_tcp_shutdown(c->fd, c->e->state);
	c->e->has_shutdown = c->e->shutdown != SK_SHUTDOWN__NONE;
	r = conn_read(s, c, &t, &in, &out);
	off = conn_repair_off(s, c);
	if (r == 0)
		r = off;
	if (r == 0)
		r = conn_write(s, c->e, &t, in, out);
	session_debug(s, "tcp 0x%x: state %u in %u at %u out %u (%u unsent) at %u", c->e->id,
		      c->e->state, t.inq_len, t.inq_seq, t.outq_len, t.unsq_len, t.outq_seq);
	return r < 0 ? r : fd_put_id(s, FD_TYPES__INETSK, c->e->id, &c->e->base);
}

static void conn_lock(struct session *s, struct conn *c)
{
	warden_table(s)->repairing = true;
	c->locked = sock_lock(c->fd, c->e->opts->reuseaddr) == 0;
	if (!c->locked)
		session_warn(s, "TCP connection 0x%x (port %u to %u): has a filter of its own, so it cannot be kept still; what arrives during the dump may be lost",
			     c->e->id, c->e->src_port, c->e->dst_port);
}

static void conn_unlock(struct conn *c)
{
	if (c->locked)
		sock_unlock(c->fd);
	c->locked = false;
}

static bool tasks_run_on(const struct session *s)
{
	return s->opts->leave_running || s->opts->leave_stopped;
}

/* Connections first..n: all are locked before any is read. */
static int conns_dump(struct session *s, size_t first)
{
	struct conns *a = conns(s);
	int r = 0;

	for (size_t i = first; i < a->all.n; i++)
		conn_lock(s, &a->all.v[i]);
	for (size_t i = first; r == 0 && i < a->all.n; i++)
		r = conn_dump(s, &a->all.v[i]);
	for (size_t i = first; (r < 0 || tasks_run_on(s)) && i < a->all.n; i++)
		conn_unlock(&a->all.v[i]);
	if (tasks_run_on(s))
		warden_table(s)->repairing = false;
	return r;
}

void inet_tcp_address(const uint32_t *words, size_t n, uint8_t *ret)
{
	memset(ret, 0, 16);
	if (n == 1)
		memset(ret + 10, 0xff, 2);
	memcpy(ret + (n == 1 ? 12 : 0), words, n * sizeof(*words));
}

uint32_t inet_tcp_find(struct session *s, uint32_t net_ns_id, const uint8_t *src, unsigned src_port, const uint8_t *dst,
		       unsigned dst_port)
{
	struct conns *a = conns(s);
	uint8_t addr[16];

	for (size_t i = 0; i < a->all.n; i++) {
		const InetSkEntry *e = a->all.v[i].e;

		if (e->ns_id != net_ns_id || e->src_port != src_port || e->dst_port != dst_port)
			continue;
		inet_tcp_address(e->src_addr, e->n_src_addr, addr);
		if (memcmp(addr, src, sizeof(addr)))
			continue;
		inet_tcp_address(e->dst_addr, e->n_dst_addr, addr);
		if (!memcmp(addr, dst, sizeof(addr)))
			return e->id;
	}
	return 0;
}

int inet_tcp_note(struct session *s, int fd, InetSkEntry *e)
{
	struct conns *a = conns(s);

	*vec_add(&a->all) = (struct conn){ .e = e, .fd = fd };
	return a->ended ? conns_dump(s, a->all.n - 1) : 0;
}

int inet_tcp_dump_end(struct session *s)
{
	conns(s)->ended = true;
	return conns_dump(s, 0);
}

void inet_tcp_hold(struct session *s)
{
	struct conns *a = conns(s);

	for (size_t i = 0; i < a->all.n; i++) {
		if (conn_repair_on(s, &a->all.v[i]) < 0)
			session_warn(s, "%s; its peer will be told that it ends", s->why);
		inet_hold_note(s, a->all.v[i].e);
	}
}

void inet_tcp_end(struct session *s, bool failed)
{
	struct conns *a = conns(s);

	for (size_t i = 0; i < a->all.n; i++) {
		struct conn *c = &a->all.v[i];

		if (failed) {
			conn_repair_off(s, c);
			conn_unlock(c);
		}
		fd_close(c->fd); /* in repair mode the last close sends nothing */
	}
	a->all.n = 0;
	if (s->warden)
		warden_table(s)->repairing = false;
}
