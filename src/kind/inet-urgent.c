// SPDX-License-Identifier: Apache-2.0
/*
 * inet-urgent: urgent data of TCP (MSG_OOB) in a receive queue.
 *
 * Kept:   the byte, the mark, whether it was read.
 * Lost:   a mark whose byte has not come yet; urgent data in the send queue, which goes on as a common byte: the
 *         kernel shows neither.
 * Kernel: tcp_inq() counts up to the mark, with SO_OOBINLINE all; a look (MSG_PEEK) stops there, unless it begins
 *         there (SO_PEEK_OFF, Linux 6.9). A mark is made by a packet of the peer only, which we make.
 */
#include "kind/inet-tcp-own.h"

#include "base/res.h"
#include "kind/inet-diag.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#ifndef SO_PEEK_OFF
#define SO_PEEK_OFF 42
#endif
#define ARRIVE_MS 2000

static int flag_set(int fd, int opt, int v)
{
	return setsockopt(fd, SOL_SOCKET, opt, &v, sizeof(v)) < 0 ? -errno : 0;
}

/* ---- dump ---- */

static int unread(int fd, bool all)
{
	int n = -1;

	return flag_set(fd, SO_OOBINLINE, all) < 0 || ioctl(fd, SIOCINQ, &n) < 0 ? -1 : n;
}

int urgent_find(struct session *s, int fd, const InetSkEntry *e, TcpStreamEntry *t)
{
	const struct inet_tcp_seen *seen = inet_diag_tcp(s, e);
	struct pollfd p = { .fd = fd, .events = POLLPRI | POLLRDHUP };
	int ready = poll(&p, 1, 0), before, all;
	bool pri = ready == 1 && p.revents & POLLPRI, end = ready == 1 && p.revents & POLLRDHUP;

	/* an end counts as a byte for sock_diag */
	if (!pri && (!seen || (uint64_t)t->inq_len + end >= seen->unread))
		return 0;
	before = unread(fd, false);
	all = unread(fd, true);
	flag_set(fd, SO_OOBINLINE, e->opts->so_oobinline);
	if (before < 0 || all < 0)
		return conn_fail(s, -EIO, e, "find its urgent data");
	t->inq_len = all;
	if (before >= all)
		return 0;
	t->has_urgent = true;
	t->urgent = before + 1;
	t->has_urgent_read = t->urgent_read = !pri;
	return 0;
}

static int peek_from(int fd, size_t at, char *buf, size_t n)
{
	int r = flag_set(fd, SO_PEEK_OFF, at);

	if (r < 0 || !n)
		return r;
	return recv(fd, buf, n, MSG_PEEK | MSG_DONTWAIT) == (ssize_t)n ? 0 : -EIO;
}

int urgent_peek(struct session *s, int fd, const InetSkEntry *e, const TcpStreamEntry *t, char **ret)
{
	own_mem char *buf = xalloc(t->inq_len);
	size_t before = t->urgent - 1;
	int r = opt_set(fd, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE);

	if (r == 0)
		r = flag_set(fd, SO_OOBINLINE, true);
	if (r == 0)
		r = peek_from(fd, 0, buf, before);
	if (r == 0)
		r = peek_from(fd, before, buf + before, t->inq_len - before);
	flag_set(fd, SO_PEEK_OFF, -1);
	flag_set(fd, SO_OOBINLINE, e->opts->so_oobinline);
	if (r < 0)
		return conn_fail(s, -ENOTSUP, e, "its queue cannot be read behind urgent data by this kernel; let the program read it first");
	*ret = buf;
	buf = NULL;
	return 0;
}

/* ---- restore ---- */

/* The byte comes by a packet: its owner (F_SETOWN) is not to be told of what it was told of. */
int urgent_put(struct session *s, const struct stream *st)
{
	struct pollfd p = { .fd = st->o->fd, .events = POLLPRI };
	struct f_owner_ex owner = { 0 }, nobody = { .type = F_OWNER_PID };
	char c;
	int r;

	if (fcntl(st->o->fd, F_GETOWN_EX, &owner) < 0 || fcntl(st->o->fd, F_SETOWN_EX, &nobody) < 0)
		return conn_fail(s, -errno, st->e, "set its owner");
	r = peer_urges(s, st, st->in[st->t->urgent - 1]);
	if (r == 0 && (poll(&p, 1, ARRIVE_MS) != 1 || !(p.revents & POLLPRI)))
		r = conn_fail(s, -ETIMEDOUT, st->e, "its urgent data does not arrive");
	if (fcntl(st->o->fd, F_SETOWN_EX, &owner) < 0 && r == 0)
		r = conn_fail(s, -errno, st->e, "set its owner");
	if (r < 0 || !st->t->urgent_read)
		return r;
	if (flag_set(st->o->fd, SO_OOBINLINE, false) < 0 || recv(st->o->fd, &c, 1, MSG_OOB | MSG_DONTWAIT) != 1)
		r = conn_fail(s, -errno, st->e, "take the urgent data that was read");
	flag_set(st->o->fd, SO_OOBINLINE, st->e->opts->so_oobinline);
	return r;
}
