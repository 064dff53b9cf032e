// SPDX-License-Identifier: Apache-2.0
/* inet-tcp, restore: see inet-tcp.c for what is kept. */
#include "kind/inet-tcp-own.h"

#include "base/list.h"
#include "base/res.h"
#include "image/record.h"
#include "kind/inet-map.h"
#include "kind/inet-more.h"
#include "kind/ns.h"
#include "kind/sock-opts.h"
#include "task/sock-lock.h"
#include "task/warden.h"

#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define DIAL_MS 1000

struct streams {
	struct {
		struct stream *v;
		size_t n, max;
	} all, again;
	struct {
		struct fd_obj **v;
		size_t n, max;
	} anew;
};

static struct streams *streams(struct session *s)
{
	return session_state(s, "inet tcp restore", sizeof(struct streams));
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

/* Does the way to its peer begin at its address? Asked by a socket of UDP, which sends nothing. */
static bool is_chosen(struct session *s, const InetSkEntry *e)
{
	own_fd int fd = ns_socket(s, e->has_ns_id ? e->ns_id : 0, AF_INET6, SOCK_DGRAM, 0);
	struct sockaddr_storage peer;
	struct sockaddr_in6 a = { 0 };
	socklen_t n = sizeof(a);

	return fd >= 0 && connect(fd, (void *)&peer, inet_addr_get(fd, e, true, &peer)) == 0 &&
	       getsockname(fd, (void *)&a, &n) == 0 && !memcmp(&a.sin6_addr, e->src_addr, sizeof(a.sin6_addr));
}

socklen_t inet_bind_get(struct session *s, int fd, const InetSkEntry *e, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 *a = (struct sockaddr_in6 *)ret;
	socklen_t n = inet_addr_get(fd, e, false, ret);

	if (e->family == AF_INET6 && !e->v6only && e->dst_port && e->n_src_addr == 4 && !e->opts->so_bound_dev &&
	    !IN6_IS_ADDR_V4MAPPED(&a->sin6_addr) && !IN6_IS_ADDR_UNSPECIFIED(&a->sin6_addr) && is_chosen(s, e))
		a->sin6_addr = in6addr_any;
	return n;
}

static int stream_check(struct session *s, const InetSkEntry *e, const TcpStreamEntry *t)
{
	const char *bad = NULL;

	if (t->inq_len > TCP_QUEUE_MAX || t->outq_len > TCP_QUEUE_MAX || t->unsq_len > t->outq_len)
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
	else if (t->urgent > t->inq_len || (t->has_urgent && !t->urgent))
		bad = "the place of its urgent data";
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
		return session_fail(s, -EBADMSG, "image tcp-stream-%x.img: is missing or empty; the checkpoint is not whole", st->e->ino);
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

int inet_tcp_again(struct session *s, struct fd_obj *o)
{
	struct stream *st = vec_add(&streams(s)->again);
	int r;

	*st = (struct stream){ .o = o, .e = o->entry->isk };
	r = stream_read(s, st);
	if (r < 0)
		return r;
	r = stream_room(st);
	return r < 0 ? conn_fail(s, r, st->e, "prepare it") : 0;
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

/* What the peer knows of us: all but our FIN, or that too. */
static uint32_t first_unacked(const struct stream *st)
{
	return st->t->outq_seq - st->t->outq_len - fin_sent(st->e->state);
}

static int stream_connect(struct session *s, const struct stream *st)
{
	const TcpStreamEntry *t = st->t;
	struct sockaddr_storage a;
	int fd = st->o->fd;
	socklen_t n = inet_bind_get(s, fd, st->e, &a);

	if (bind(fd, (void *)&a, n) < 0)
		return conn_fail(s, -errno, st->e,
				 errno == EADDRNOTAVAIL ? "bind: its address is not on this host; give --address-map or --address-policy"
							: "bind it to its address");
	if (seq_set(fd, TCP_SEND_QUEUE, first_unacked(st)) < 0 ||
	    seq_set(fd, TCP_RECV_QUEUE, t->inq_seq - t->inq_len - fin_received(st->e->state)) < 0)
		return conn_fail(s, -errno, st->e, "set its sequence numbers");
	n = inet_addr_get(fd, st->e, true, &a);
	if (connect(fd, (void *)&a, n) < 0)
		return conn_fail(s, -errno, st->e,
				 errno == EADDRNOTAVAIL
					 ? "the same connection still exists here, maybe of tasks that were killed just now; wait until `ss -tan` no longer shows it"
				 : errno == ENETUNREACH ? "there is no route to its peer"
							: "connect in repair mode");
	return 0;
}

int inet_tcp_make(struct session *s, struct fd_obj *o, int fd)
{
	struct stream *st = vec_add(&streams(s)->all);
	bool lent;
	int r;

	*st = (struct stream){ .o = o, .e = o->entry->isk };
	o->fd = fd;
	r = stream_read(s, st);
	if (r < 0)
		return r;
	r = sock_lock(fd, false);
	if (r == 0)
		r = stream_room(st);
	if (r == 0)
		r = opt_set(fd, TCP_REPAIR, TCP_REPAIR_ON);
	if (r < 0)
		return conn_fail(s, r, st->e, "prepare it");
	lent = inet_borrow(s, fd, st->e);
	r = stream_connect(s, st);
	if (lent)
		inet_return(fd, st->e);
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

static int in_load(struct session *s, const struct stream *st)
{
	const TcpStreamEntry *t = st->t;
	size_t before = t->has_urgent ? t->urgent - 1 : t->inq_len, done = before + t->has_urgent;
	int r = queue_load(s, st, TCP_RECV_QUEUE, st->in, before);

	if (r == 0 && t->has_urgent)
		r = urgent_put(s, st);
	return r < 0 ? r : queue_load(s, st, TCP_RECV_QUEUE, st->in + done, t->inq_len - done);
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

/*
 * Our FIN was not sent yet, as data is before it. Were both put back as sent, they would have to time out first, and a
 * network made anew knows no round trip times: 3, 6, 12 seconds. So both are sent when it lives. In CLOSING that goes
 * with a packet of ours, which bears no signature.
 */
static bool fin_waits(const struct stream *st)
{
	unsigned state = st->e->state;

	return st->t->unsq_len &&
	       (state == TCP_FIN_WAIT1 || state == TCP_LAST_ACK || (state == TCP_CLOSING && !st->e->n_md5));
}

/* The state it is in till then. */
static unsigned state_before(const struct stream *st)
{
	if (!fin_waits(st))
		return st->e->state;
	return st->e->state == TCP_LAST_ACK ? TCP_CLOSE_WAIT : TCP_ESTABLISHED;
}

/* From ESTABLISHED to the state it had, by what led to it. */
static int stream_state(struct session *s, const struct stream *st)
{
	unsigned state = state_before(st);
	bool first = state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING;
	uint32_t una = first_unacked(st);
	int r = window_set(s, st, fin_received(st->e->state));

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
	if (r == 0 && state != TCP_CLOSE && fin_received(state) == fin_received(st->e->state))
		r = window_set(s, st, 0);
	if (r == 0 && inet_tcp_state(st->o->fd) != (int)state)
		r = conn_fail(s, -EIO, st->e, "bring it into its state");
	return r;
}

/* Data that was never sent is sent when it lives, unless our FIN, which was, is behind it. */
static size_t unsent(const struct stream *st)
{
	return fin_sent(state_before(st)) ? 0 : st->t->unsq_len;
}

int inet_tcp_fill(struct session *s)
{
	struct streams *a = streams(s);
	int r = 0;

	for (size_t i = 0; r == 0 && i < a->all.n; i++) {
		struct stream *st = &a->all.v[i];

		r = in_load(s, st);
		if (r == 0)
			r = queue_load(s, st, TCP_SEND_QUEUE, st->out, st->t->outq_len - unsent(st));
		if (r == 0)
			r = stream_state(s, st);
		if (r == 0) /* not before: the packets that we make bear no signature */
			r = inet_more_keys(s, st->o->fd, st->e);
		if (r == 0 && st->e->shutdown == SK_SHUTDOWN__READ && !fin_received(st->e->state))
			shutdown(st->o->fd, SHUT_RD);
	}
	return r;
}

int inet_tcp_dial(int fd, const struct sockaddr_storage *to, socklen_t len, const char *data, size_t n)
{
	int flags = fcntl(fd, F_GETFL), r = 0;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	size_t done = 0;

	if (fcntl(fd, F_SETFL, (flags | O_NONBLOCK) & ~O_ASYNC) < 0 ||
	    (connect(fd, (const void *)to, len) < 0 && errno != EINPROGRESS))
		r = -errno;
	else if (poll(&p, 1, DIAL_MS) != 1)
		r = -ETIMEDOUT;
	else if (n)
		r = queue_put(fd, data, n, &done);
	fcntl(fd, F_SETFL, flags);
	return r;
}

static void stream_free(struct stream *st)
{
	tcp_stream_entry__free_unpacked(st->t, NULL);
	free(st->in);
	free(st->out);
}

/* How much of the send queue has come already, though its acknowledgment has not: it may be delayed. */
static size_t came(const struct stream *st, const uint32_t *next)
{
	int32_t n = next ? *next - first_unacked(st) : 0;

	return n < 0 ? 0 : (uint32_t)n > st->t->outq_len ? st->t->outq_len : (uint32_t)n;
}

int inet_tcp_reconnect(struct session *s, uint32_t id, const char *sent, size_t n, const uint32_t *next)
{
	struct streams *a = streams(s);
	struct stream *st = NULL;
	const TcpOptsEntry *o;
	struct sockaddr_storage to;
	size_t done = 0, skip;
	socklen_t len;
	int r, room = n < TCP_QUEUE_MAX / 2 ? n + (1 << 20) : TCP_QUEUE_MAX;

	for (size_t i = 0; i < a->again.n; i++)
		if (a->again.v[i].e->id == id)
			st = &a->again.v[i];
	if (!st)
		return 0; /* it has another fate */
	setsockopt(st->o->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	len = inet_addr_get(st->o->fd, st->e, true, &to);
	r = inet_tcp_dial(st->o->fd, &to, len, sent, n);
	skip = came(st, next);
	if (r == 0)
		r = queue_put(st->o->fd, st->out + skip, st->t->outq_len - skip, &done);
	o = st->e->tcp_opts;
	if (r == 0)
		r = opt_set(st->o->fd, TCP_NODELAY, (o && o->nodelay) || st->t->nodelay);
	if (r == 0)
		r = opt_set(st->o->fd, TCP_CORK, (o && o->cork) || st->t->cork);
	stream_free(st);
	st->t = NULL;
	st->in = st->out = NULL;
	return r < 0 ? conn_fail(s, r, st->e, "connect it once more, as nobody has accepted it yet") : 0;
}

static int stream_unlock(struct session *s, const struct stream *st)
{
	const InetSkEntry *e = st->e;
	const TcpOptsEntry *o = e->tcp_opts;
	int fd = st->o->fd, r = sock_repair_end(fd, e->opts->reuseaddr);

	if (r == 0)
		r = opt_set(fd, TCP_NODELAY, (o && o->nodelay) || st->t->nodelay);
	if (r == 0)
		r = opt_set(fd, TCP_CORK, (o && o->cork) || st->t->cork);
	return r < 0 ? conn_fail(s, r, e, "switch repair mode off") : 0;
}

static int fin_send(struct session *s, const struct stream *st)
{
	int r = 0;

	if (shutdown(st->o->fd, SHUT_WR) < 0)
		return conn_fail(s, -errno, st->e, "end its sending side");
	if (st->e->state != TCP_CLOSING)
		return 0;
	stream_device(st, "");
	r = peer_says(s, st, true, first_unacked(st));
	stream_device(st, st->e->opts->so_bound_dev);
	return r;
}

static int stream_send(struct session *s, const struct stream *st)
{
	size_t n = unsent(st), done = 0;
	int r = queue_put(st->o->fd, st->out + (st->t->outq_len - n), n, &done);

	if (r < 0 && done < n)
		return conn_fail(s, r, st->e, "send what was not sent yet");
	r = fin_waits(st) ? fin_send(s, st) : 0;
	return r < 0 ? r : sock_opts_set(s, st->o->fd, st->e->opts);
}

int inet_tcp_anew(struct session *s, struct fd_obj *o)
{
	*vec_add(&streams(s)->anew) = o;
	return 0;
}

/* The program may sleep in connect(), which it calls once more and then waits, or in poll(). */
static int stream_anew(struct session *s, const struct fd_obj *o)
{
	const InetSkEntry *e = o->entry->isk;
	int flags = fcntl(o->fd, F_GETFL), reuse = e->opts->reuseaddr, r = sock_opts_set(s, o->fd, e->opts);
	struct sockaddr_storage a;
	socklen_t n = inet_addr_get(o->fd, e, true, &a);

	if (r == 0 && (setsockopt(o->fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)) < 0 ||
		       fcntl(o->fd, F_SETFL, flags | O_NONBLOCK) < 0))
		r = conn_fail(s, -errno, e, "begin it anew");
	if (r == 0 && connect(o->fd, (void *)&a, n) < 0 && errno != EINPROGRESS)
		session_warn(s, "TCP connection 0x%x (port %u to %u): was just being made; begun anew: %s", e->id,
			     e->src_port, e->dst_port, strerror(errno));
	if (r == 0 && fcntl(o->fd, F_SETFL, flags) < 0)
		r = conn_fail(s, -errno, e, "begin it anew");
	return r;
}

/* From here on whoever ends the tasks must see to it that no peer is told, see sock_hold_all(). */
static void conn_note(struct session *s, int fd)
{
	struct trace_table *tt = warden_table(s);
	struct stat st;

	if (tt->n_conns < TRACE_CONNS && fstat(fd, &st) == 0)
		tt->conns[tt->n_conns++] = st.st_ino;
	tt->repairing = true;
}

/* Nothing that comes in is taken before all else is done: a restore that fails till then has swallowed nothing. */
int inet_tcp_unlock(struct session *s)
{
	struct streams *a = streams(s);
	int r = 0;

	for (size_t i = 0; i < a->all.n; i++)
		conn_note(s, a->all.v[i].o->fd);
	for (size_t i = 0; i < a->anew.n; i++)
		conn_note(s, a->anew.v[i]->fd);
	for (size_t i = 0; r == 0 && i < a->all.n; i++)
		r = stream_unlock(s, &a->all.v[i]);
	for (size_t i = 0; r == 0 && i < a->all.n; i++)
		sock_unlock(a->all.v[i].o->fd);
	for (size_t i = 0; r == 0 && i < a->all.n; i++)
		r = stream_send(s, &a->all.v[i]);
	for (size_t i = 0; r == 0 && i < a->all.n; i++)
		resend_note(s, &a->all.v[i]);
	for (size_t i = 0; r == 0 && i < a->anew.n; i++)
		r = stream_anew(s, a->anew.v[i]);
	for (size_t i = 0; i < a->all.n; i++)
		stream_free(&a->all.v[i]);
	a->all.n = 0;
	return r;
}
