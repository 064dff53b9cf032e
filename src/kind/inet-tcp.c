// SPDX-License-Identifier: Apache-2.0
/*
 * inet-tcp: TCP connections.
 *
 * A connection is read in repair mode, while a filter on it drops what the network brings; all are locked
 * before the first is read, so both ends of one agree with each other and with what peers outside know.
 * On restore they are made in repair mode behind the same filter. What only the peer can cause (its
 * FIN, its acknowledgment of ours) is caused by packets that we make and send to ourselves.
 *
 * Kept:   both queues, sequence numbers, window, MSS, SACK, window scale, timestamps, states.
 * Lost:   urgent data is refused; congestion window and round trip times begin anew; socket errors.
 * Kernel: net/ipv4/tcp.c, TCP_REPAIR; repair mode forgets SO_REUSEADDR, which is put back.
 */
#include "kind/inet-tcp.h"

#include "base/list.h"
#include "base/res.h"
#include "image/record.h"
#include "images/tcp-stream.pb-c.h"
#include "kind/ns.h"
#include "kind/sock-opts.h"
#include "task/sock-lock.h"
#include "task/warden.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef SO_PEEK_OFF
#define SO_PEEK_OFF 42
#endif

#define QUEUE_MAX (1u << 30) /* bytes; the kernel's own limits of a buffer are below that */
#define SLACK     (1u << 17) /* a segment acknowledged in part is shown whole */

static int opt_get(int fd, int opt, void *p, socklen_t n)
{
	return getsockopt(fd, IPPROTO_TCP, opt, p, &n) < 0 ? -errno : 0;
}

static int opt_set(int fd, int opt, int v)
{
	return setsockopt(fd, IPPROTO_TCP, opt, &v, sizeof(v)) < 0 ? -errno : 0;
}

int inet_tcp_state(int fd)
{
	struct tcp_info ti = { 0 };
	int r = opt_get(fd, TCP_INFO, &ti, sizeof(ti));

	return r < 0 ? r : ti.tcpi_state;
}

/* did we send a FIN; did the peer */
static bool fin_sent(unsigned state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING ||
	       state == TCP_LAST_ACK || state == TCP_CLOSE;
}
static bool fin_received(unsigned state)
{
	return state == TCP_CLOSE_WAIT || state == TCP_CLOSING || state == TCP_LAST_ACK ||
	       state == TCP_CLOSE;
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
	struct map *m = session_map(s, "inet tcp dump");

	if (!map_get(m, 0))
		map_put(m, 0, xalloc(sizeof(struct conns)));
	return map_get(m, 0);
}

static int conn_fail(struct session *s, int r, const InetSkEntry *e, const char *what)
{
	return session_fail(s, r, "TCP connection 0x%x (port %u to %u): %s", e->id, e->src_port,
			    e->dst_port, what);
}

static int conn_repair_on(struct session *s, struct conn *c)
{
	struct trace_table *tt = warden_table(s);
	int r;

	tt->repair_reuse = c->e->opts->reuseaddr;
	tt->repairing = true;
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

	if (n > QUEUE_MAX)
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
				 "its queue cannot be read (urgent data?); let the program read it first");
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
		return 0;
	t->outq_len = out > fin ? out - fin : 0;
	t->unsq_len = unsent > fin ? unsent - fin : 0;
	if (t->unsq_len > t->outq_len)
		t->unsq_len = t->outq_len;
	return 0;
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
		r = queue_peek(s, c, TCP_RECV_QUEUE, t->inq_len, in);
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
	int r = conn_repair_on(s, c), off;

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
	c->locked = sock_lock(c->fd) == 0;
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

	for (size_t i = 0; i < a->all.n; i++)
		if (conn_repair_on(s, &a->all.v[i]) < 0)
			session_warn(s, "%s; its peer will be told that it ends", s->why);
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

/* ---- restore ---- */

struct stream {
	struct fd_obj *o;
	const InetSkEntry *e;
	TcpStreamEntry *t;
	char *in, *out;
};

struct streams {
	struct {
		struct stream *v;
		size_t n, max;
	} all;
};

static struct streams *streams(struct session *s)
{
	struct map *m = session_map(s, "inet tcp restore");

	if (!map_get(m, 0))
		map_put(m, 0, xalloc(sizeof(struct streams)));
	return map_get(m, 0);
}

bool inet_tcp_is_connection(const InetSkEntry *e)
{
	return e->type == SOCK_STREAM && e->proto == IPPROTO_TCP && e->dst_port &&
	       e->state != TCP_LISTEN;
}

socklen_t inet_addr_get(int fd, const InetSkEntry *e, bool peer, struct sockaddr_storage *ret)
{
	struct ifreq ifr = { 0 };
	struct sockaddr_in *a4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ret;
	const uint32_t *w = peer ? e->dst_addr : e->src_addr;
	size_t n = peer ? e->n_dst_addr : e->n_src_addr;
	uint16_t port = htons(peer ? e->dst_port : e->src_port);

	memset(ret, 0, sizeof(*ret));
	ret->ss_family = e->family;
	if (e->family == AF_INET) {
		a4->sin_port = port;
		if (n)
			memcpy(&a4->sin_addr, w, 4);
		return sizeof(*a4);
	}
	a6->sin6_port = port;
	if (n >= 4)
		memcpy(&a6->sin6_addr, w, 16);
	if (e->ifname && IN6_IS_ADDR_LINKLOCAL(&a6->sin6_addr)) {
		strncpy(ifr.ifr_name, e->ifname, IF_NAMESIZE - 1);
		if (ioctl(fd, SIOCGIFINDEX, &ifr) == 0)
			a6->sin6_scope_id = ifr.ifr_ifindex;
	}
	return sizeof(*a6);
}

static int stream_check(struct session *s, const InetSkEntry *e, const TcpStreamEntry *t)
{
	const char *bad = NULL;

	if (t->inq_len > QUEUE_MAX || t->outq_len > QUEUE_MAX || t->unsq_len > t->outq_len)
		bad = "the length of a queue";
	else if (!t->has_unsq_len)
		bad = "no unsq_len";
	else if (t->opt_mask & TCPI_OPT_WSCALE &&
		 (!t->has_rcv_wscale || t->rcv_wscale > 14 || t->snd_wscale > 14))
		bad = "its window scale";
	else if (t->opt_mask & TCPI_OPT_TIMESTAMPS && !t->has_timestamp)
		bad = "no timestamp";
	else if (t->mss_clamp > 65535)
		bad = "its segment size";
	return bad ? session_fail(s, -EBADMSG, "tcp-stream-%x.img: is damaged: %s", e->ino, bad) : 0;
}

static int stream_read(struct session *s, struct stream *st)
{
	own_image struct image img = { 0 };
	ProtobufCMessage *m = NULL;
	int r = image_open(s, &img, MAGIC_TCP_STREAM, "tcp-stream-%x.img", st->e->ino);

	if (r == 0)
		r = image_read(&img, &tcp_stream_entry__descriptor, &m);
	if (r < 0)
		return r;
	st->t = (TcpStreamEntry *)m;
	if (!m)
		return session_fail(s, -ENOENT, "image tcp-stream-%x.img is missing or empty", st->e->ino);
	r = stream_check(s, st->e, st->t);
	if (r == 0 && (uint64_t)st->t->inq_len + st->t->outq_len > image_left(&img))
		r = session_fail(s, -EBADMSG, "tcp-stream-%x.img: ends in the middle of a queue", st->e->ino);
	if (r < 0)
		return r;
	st->in = xalloc(st->t->inq_len + 1);
	st->out = xalloc(st->t->outq_len + 1);
	r = image_read_raw(&img, st->in, st->t->inq_len);
	return r < 0 ? r : image_read_raw(&img, st->out, st->t->outq_len);
}

/* Room for what is put back, whatever the socket's size will be; sock_opts_set() sets that at the end. */
static int stream_room(const struct stream *st)
{
	int snd = 2 * (st->t->outq_len / 2) + (1 << 18), rcv = 2 * (st->t->inq_len / 2) + (1 << 18);
	int now = 0;
	socklen_t n = sizeof(now);

	/* not less than it had: the first window is chosen by it */
	if (getsockopt(st->o->fd, SOL_SOCKET, SO_RCVBUF, &now, &n) == 0 && now / 2 > rcv)
		rcv = now / 2;
	if (setsockopt(st->o->fd, SOL_SOCKET, SO_SNDBUFFORCE, &snd, sizeof(snd)) < 0 ||
	    setsockopt(st->o->fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcv, sizeof(rcv)) < 0)
		return -errno;
	return 0;
}

static int seq_set(int fd, int queue, uint32_t seq)
{
	int r = opt_set(fd, TCP_REPAIR_QUEUE, queue);

	return r < 0 ? r : opt_set(fd, TCP_QUEUE_SEQ, (int)seq);
}

/* What both sides agreed upon in their first packets. */
static int stream_options(int fd, const TcpStreamEntry *t)
{
	struct tcp_repair_opt o[4];
	unsigned n = 0;

	if (t->opt_mask & TCPI_OPT_SACK)
		o[n++] = (struct tcp_repair_opt){ TCPOPT_SACK_PERMITTED, 0 };
	if (t->opt_mask & TCPI_OPT_WSCALE)
		o[n++] = (struct tcp_repair_opt){ TCPOPT_WINDOW, t->snd_wscale | t->rcv_wscale << 16 };
	if (t->opt_mask & TCPI_OPT_TIMESTAMPS)
		o[n++] = (struct tcp_repair_opt){ TCPOPT_TIMESTAMP, 0 };
	if (t->mss_clamp)
		o[n++] = (struct tcp_repair_opt){ TCPOPT_MAXSEG, t->mss_clamp };
	if (n && setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, o, n * sizeof(o[0])) < 0)
		return -errno;
	return t->opt_mask & TCPI_OPT_TIMESTAMPS ? opt_set(fd, TCP_TIMESTAMP, (int)t->timestamp) : 0;
}

static int stream_connect(struct session *s, const struct stream *st)
{
	const TcpStreamEntry *t = st->t;
	struct sockaddr_storage a;
	int fd = st->o->fd;
	socklen_t n = inet_addr_get(fd, st->e, false, &a);

	if (bind(fd, (void *)&a, n) < 0)
		return conn_fail(s, -errno, st->e,
				 errno == EADDRNOTAVAIL ? "bind: its address is not on this host"
							: "bind it to its address");
	if (seq_set(fd, TCP_SEND_QUEUE, t->outq_seq - t->outq_len - fin_sent(st->e->state)) < 0 ||
	    seq_set(fd, TCP_RECV_QUEUE, t->inq_seq - t->inq_len - fin_received(st->e->state)) < 0)
		return conn_fail(s, -errno, st->e, "set its sequence numbers");
	n = inet_addr_get(fd, st->e, true, &a);
	if (connect(fd, (void *)&a, n) < 0)
		return conn_fail(s, -errno, st->e, "connect in repair mode");
	return 0;
}

int inet_tcp_make(struct session *s, struct fd_obj *o, int fd)
{
	struct stream *st = vec_add(&streams(s)->all);
	int r;

	*st = (struct stream){ .o = o, .e = o->entry->isk };
	o->fd = fd;
	r = stream_read(s, st);
	if (r < 0)
		return r;
	r = sock_lock(fd);
	if (r == 0)
		r = stream_room(st);
	if (r == 0)
		r = opt_set(fd, TCP_REPAIR, TCP_REPAIR_ON);
	if (r < 0)
		return conn_fail(s, r, st->e, "prepare it");
	r = stream_connect(s, st);
	if (r < 0)
		return r;
	r = stream_options(fd, st->t);
	return r < 0 ? conn_fail(s, r, st->e, "set its options") : 0;
}

/* Bytes into the queue that repair mode points to, or, out of repair mode, on their way. */
static int queue_put(int fd, const char *p, size_t n, size_t *done)
{
	size_t step = 1 << 16;

	for (*done = 0; *done < n;) {
		size_t want = n - *done < step ? n - *done : step;
		ssize_t put = send(fd, p + *done, want, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (put > 0)
			*done += put;
		else if (put < 0 && errno == ENOMEM && step > 1024)
			step /= 2; /* the receive queue takes it in one piece of memory */
		else
			return put < 0 ? -errno : -EIO;
	}
	return 0;
}

static int queue_load(struct session *s, const struct stream *st, int queue, const char *p, size_t n)
{
	size_t done = 0;
	int r = opt_set(st->o->fd, TCP_REPAIR_QUEUE, queue);

	if (r == 0)
		r = queue_put(st->o->fd, p, n, &done);
	return r < 0 ? conn_fail(s, r, st->e, "fill a queue") : 0;
}

static int window_set(struct session *s, const struct stream *st, uint32_t fin)
{
	const TcpStreamEntry *t = st->t;
	struct tcp_repair_window w = {
		.snd_wl1 = t->snd_wl1,
		.snd_wnd = t->snd_wnd,
		.max_window = t->max_window,
		.rcv_wnd = t->rcv_wnd + fin,
		.rcv_wup = t->rcv_wup - fin,
	};

	if (!t->has_snd_wnd)
		return 0;
	if (setsockopt(st->o->fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &w, sizeof(w)) < 0)
		return conn_fail(s, -errno, st->e, "set its window");
	return 0;
}

/* ---- packets that the peer has sent once ---- */

static uint32_t sum_words(uint32_t sum, const void *p, size_t n)
{
	const unsigned char *b = p;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)b[i] << 8 | b[i + 1];
	return sum;
}

static uint16_t sum_end(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

struct packet {
	union {
		struct iphdr v4;
		struct ip6_hdr v6;
	} ip;
	struct tcphdr tcp;
};

static bool is_v4(const InetSkEntry *e)
{
	struct in6_addr a;

	if (e->family == AF_INET)
		return true;
	memcpy(&a, e->dst_addr, sizeof(a));
	return IN6_IS_ADDR_V4MAPPED(&a);
}

static void packet_tcp(const struct stream *st, bool fin, uint32_t ack, struct tcphdr *h)
{
	const InetSkEntry *e = st->e;
	const TcpStreamEntry *t = st->t;
	size_t at = is_v4(e) && e->family == AF_INET6 ? 3 : 0, n = is_v4(e) ? 4 : 16;
	uint32_t window = t->snd_wnd >> (t->opt_mask & TCPI_OPT_WSCALE ? t->snd_wscale : 0);
	uint32_t sum;

	memset(h, 0, sizeof(*h));
	h->source = htons(e->dst_port);
	h->dest = htons(e->src_port);
	/* the FIN comes before the acknowledgment of ours, and both are the last thing there is */
	h->seq = htonl(fin ? t->inq_seq - 1 : t->inq_seq);
	h->ack_seq = htonl(ack);
	h->doff = 5;
	h->ack = 1;
	h->fin = fin;
	h->window = htons(window > 65535 ? 65535 : window);
	sum = sum_words(IPPROTO_TCP + sizeof(*h), e->dst_addr + at, n);
	sum = sum_words(sum, e->src_addr + at, n);
	h->check = sum_end(sum_words(sum, h, sizeof(*h)));
}

/* from the peer, to us; at: what is sent, n: its length */
static const void *packet_make(const struct stream *st, bool fin, uint32_t ack, struct packet *p,
			       size_t *n)
{
	const InetSkEntry *e = st->e;
	void *at = &p->tcp;

	packet_tcp(st, fin, ack, &p->tcp);
	if (is_v4(e)) {
		size_t w = e->family == AF_INET ? 0 : 3;
		struct iphdr h = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP };

		h.saddr = e->dst_addr[w];
		h.daddr = e->src_addr[w];
		h.tot_len = htons(sizeof(h) + sizeof(p->tcp));
		at = (char *)at - sizeof(h);
		memcpy(at, &h, sizeof(h));
		*n = sizeof(h) + sizeof(p->tcp);
	} else {
		struct ip6_hdr h = { 0 };

		h.ip6_flow = htonl(6u << 28);
		h.ip6_plen = htons(sizeof(p->tcp));
		h.ip6_nxt = IPPROTO_TCP;
		h.ip6_hlim = 64;
		memcpy(&h.ip6_src, e->dst_addr, 16);
		memcpy(&h.ip6_dst, e->src_addr, 16);
		at = (char *)at - sizeof(h);
		memcpy(at, &h, sizeof(h));
		*n = sizeof(h) + sizeof(p->tcp);
	}
	return at;
}

static socklen_t packet_to(const InetSkEntry *e, struct sockaddr_storage *ret)
{
	struct sockaddr_in *a4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (is_v4(e)) {
		a4->sin_family = AF_INET;
		a4->sin_addr.s_addr = e->src_addr[e->family == AF_INET ? 0 : 3];
		return sizeof(*a4);
	}
	a6->sin6_family = AF_INET6;
	memcpy(&a6->sin6_addr, e->src_addr, 16);
	return sizeof(*a6);
}

/* The connection gets a FIN or an acknowledgment and goes on to the next state. */
static int peer_says(struct session *s, const struct stream *st, bool fin, uint32_t ack)
{
	const InetSkEntry *e = st->e;
	own_fd int raw = ns_socket(s, e->has_ns_id ? e->ns_id : 0, is_v4(e) ? AF_INET : AF_INET6,
				   SOCK_RAW, IPPROTO_RAW);
	int mark = SOCK_LOCK_MARK, was = inet_tcp_state(st->o->fd);
	struct sockaddr_storage to;
	struct packet p;
	size_t n;
	const void *at = packet_make(st, fin, ack, &p, &n);

	if (raw < 0)
		return raw;
	if (setsockopt(raw, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
	    sendto(raw, at, n, 0, (void *)&to, packet_to(e, &to)) < 0)
		return conn_fail(s, -errno, e, "repeat its peer's last packet");
	for (unsigned ms = 0; ms < 2000; ms++) {
		if (inet_tcp_state(st->o->fd) != was)
			return 0;
		poll(NULL, 0, 1);
	}
	return conn_fail(s, -ETIMEDOUT, e,
			 "its peer's last packet does not arrive; does a firewall drop packets with mark 0xC114 on lo?");
}

static int own_fin(struct session *s, const struct stream *st)
{
	/* pointing to the send queue it is put there and counts as sent */
	if (opt_set(st->o->fd, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE) < 0 ||
	    shutdown(st->o->fd, SHUT_WR) < 0)
		return conn_fail(s, -errno, st->e, "end its sending side");
	return 0;
}

/* What we send to ourselves comes in by lo. */
static void stream_device(const struct stream *st, const char *name)
{
	if (st->e->opts->so_bound_dev && name)
		setsockopt(st->o->fd, SOL_SOCKET, SO_BINDTODEVICE, name, strlen(name));
}

/* From ESTABLISHED to the state it had, by what led to it. */
static int stream_state(struct session *s, const struct stream *st)
{
	unsigned state = st->e->state;
	bool first = state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING;
	/* what the peer knows of us: all but our FIN, or that too */
	uint32_t una = st->t->outq_seq - st->t->outq_len - fin_sent(state);
	int r = window_set(s, st, fin_received(state));

	stream_device(st, "");
	if (r == 0 && first)
		r = own_fin(s, st);
	if (r == 0 && fin_received(state))
		r = peer_says(s, st, true, una);
	if (r == 0 && fin_sent(state) && !first)
		r = own_fin(s, st);
	if (r == 0 && (state == TCP_FIN_WAIT2 || state == TCP_CLOSE))
		r = peer_says(s, st, false, st->t->outq_seq);
	stream_device(st, st->e->opts->so_bound_dev);
	if (r == 0 && state != TCP_CLOSE)
		r = window_set(s, st, 0);
	if (r == 0 && inet_tcp_state(st->o->fd) != (int)state)
		r = conn_fail(s, -EIO, st->e, "bring it into its state");
	return r;
}

/* Data that was never sent is sent when it lives, unless our FIN is behind it. */
static size_t unsent(const struct stream *st)
{
	return fin_sent(st->e->state) ? 0 : st->t->unsq_len;
}

int inet_tcp_fill(struct session *s)
{
	struct streams *a = streams(s);
	int r = 0;

	for (size_t i = 0; r == 0 && i < a->all.n; i++) {
		struct stream *st = &a->all.v[i];

		r = queue_load(s, st, TCP_RECV_QUEUE, st->in, st->t->inq_len);
		if (r == 0)
			r = queue_load(s, st, TCP_SEND_QUEUE, st->out, st->t->outq_len - unsent(st));
		if (r == 0)
			r = stream_state(s, st);
		if (r == 0 && st->e->shutdown == SK_SHUTDOWN__READ && !fin_received(st->e->state))
			shutdown(st->o->fd, SHUT_RD);
	}
	return r;
}

static int stream_unlock(struct session *s, const struct stream *st)
{
	const InetSkEntry *e = st->e;
	const TcpOptsEntry *o = e->tcp_opts;
	size_t n = unsent(st), done = 0;
	int fd = st->o->fd, r = sock_repair_end(fd, e->opts->reuseaddr);

	if (r == 0)
		r = opt_set(fd, TCP_NODELAY, (o && o->nodelay) || st->t->nodelay);
	if (r == 0)
		r = opt_set(fd, TCP_CORK, (o && o->cork) || st->t->cork);
	if (r < 0)
		return conn_fail(s, r, e, "switch repair mode off");
	sock_unlock(fd);
	r = queue_put(fd, st->out + (st->t->outq_len - n), n, &done);
	if (r < 0 && done < n)
		return conn_fail(s, r, e, "send what was not sent yet");
	return sock_opts_set(s, fd, e->opts);
}

int inet_tcp_unlock(struct session *s)
{
	struct streams *a = streams(s);
	int r = 0;

	for (size_t i = 0; r == 0 && i < a->all.n; i++)
		r = stream_unlock(s, &a->all.v[i]);
	for (size_t i = 0; i < a->all.n; i++) {
		tcp_stream_entry__free_unpacked(a->all.v[i].t, NULL);
		free(a->all.v[i].in);
		free(a->all.v[i].out);
	}
	a->all.n = 0;
	return r;
}
