// SPDX-License-Identifier: Apache-2.0
/*
 * sk-queue: what waits in receive queues.
 *
 * Kept:   bytes, borders of messages, descriptors at their place, senders where the receiver asks for them.
 * Lost:   names of senders that are gone, where urgent data was that has been read, an empty message that a former
 *         look (of the task or of a dump) has marked as seen and that is not the first. Refused: urgent data behind
 *         descriptors, or of a socket with SO_PASSCRED or SO_PEEK_OFF, where its place does not show.
 * Kernel: net/unix/af_unix.c, unix_stream_read_generic(), __unix_dgram_recvmsg().
 *
 * Queues are read with MSG_PEEK at an offset (SO_PEEK_OFF), which is put back afterwards; a stream without
 * descriptors in it, the usual case, in one piece without touching even that.
 */
#include "kind/sk-queue.h"

#include "base/list.h"
#include "image/record.h"
#include "kind/fd.h"
#include "kind/ids.h"
#include "kind/inet-queue.h"
#include "kind/unix-urgent.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define QUEUE_MAX (1u << 30)
#define SCM_MAX 253 /* the kernel's SCM_MAX_FD */
#define LOOK_STACK (256u << 10)
#define SNDBUF_FILL (INT32_MAX / 2)

#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

/* a packet that was seen; it is written when the socket is as it was again */
struct seen {
	struct seen *next;
	char *data;
	size_t n;
	int *fds;
	uint32_t *rights; /* their ids */
	size_t n_fds;
	bool has_cred;
	struct ucred cred;
	struct inet_head *inet; /* of UDP */
	bool urgent;
};

/* what one look at a queue shows */
struct peek {
	char *buf;
	size_t max; /* of buf; a stream: bytes in the queue */
	size_t n;   /* bytes seen; may be more than max when the message is cut */
	int fds[SCM_MAX];
	size_t n_fds;
	bool has_cred;
	struct ucred cred;
	bool cut, end;
	bool udp;
	struct inet_head inet;
	struct unix_urgent urgent;
	struct seen *first, **last;
};

static void peek_close(struct peek *p)
{
	for (size_t i = 0; i < p->n_fds; i++)
		fd_close(p->fds[i]);
	p->n_fds = 0;
}

static void peek_control(struct peek *p, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS && n <= sizeof(p->fds)) {
			memcpy(p->fds, CMSG_DATA(c), n);
			p->n_fds = n / sizeof(int);
			for (size_t i = 0; i < p->n_fds; i++)
				p->fds[i] = fd_high(p->fds[i]);
		} else if (c->cmsg_type == SCM_CREDENTIALS && n == sizeof(p->cred)) {
			p->has_cred = true;
			memcpy(&p->cred, CMSG_DATA(c), n);
		} else if (c->cmsg_type == SCM_PIDFD) {
			int fd;

			memcpy(&fd, CMSG_DATA(c), sizeof(fd));
			fd_close(fd);
		}
	}
}

/* off < 0: from the start, the peek offset is not used */
static int peek_at(struct session *s, int fd, struct peek *p, int64_t off, size_t max)
{
	char control[2048] __attribute__((aligned(16)));
	struct iovec io = { p->buf, max };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };
	int at = off;
	ssize_t n;

	m.msg_control = control;
	m.msg_controllen = sizeof(control);
	if (p->udp) {
		m.msg_name = &p->inet.from;
		m.msg_namelen = sizeof(p->inet.from);
	}
	p->n = p->n_fds = 0;
	p->has_cred = p->cut = p->end = false;
	if (off >= 0 && setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &at, sizeof(at)) < 0)
		return session_fail(s, -errno, "socket: look into its queue (SO_PEEK_OFF)");
	n = recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) {
		p->end = true;
		return 0;
	}
	if (n < 0)
		return session_fail(s, -errno, "socket: look into its queue");
	peek_control(p, &m);
	if (p->udp)
		inet_head_read(&p->inet, &m);
	p->n = n;
	p->cut = m.msg_flags & MSG_TRUNC;
	if (m.msg_flags & MSG_CTRUNC) {
		peek_close(p);
		return session_fail(s, -EIO, "socket: look at the descriptors in its queue");
	}
	return 0;
}

static void packet_cred(struct session *s, SkPacketEntry *e, const struct ucred *c)
{
	e->uid = uid_in(s, c->uid);
	e->gid = gid_in(s, c->gid);
	/* somebody from outside is nobody inside: as if it had not been told */
	e->has_uid = e->has_gid = !ids_mapped(s) || (e->uid != ID_NONE && e->gid != ID_NONE);
	for (size_t i = 0; i < s->tree->n; i++)
		if (s->tree->all[i]->tgid == c->pid) {
			e->has_pid = true;
			e->pid = s->tree->all[i]->vpid;
		}
}

/* The descriptors it carries get their entries. */
static int packet_note(struct session *s, struct task *task, struct seen *p, const struct sk_sink *to)
{
	int r = 0;

	p->rights = xalloc((p->n_fds + 1) * sizeof(*p->rights));
	for (size_t i = 0; r == 0 && i < p->n_fds; i++)
		r = to->note(s, task, p->fds[i], &p->rights[i]);
	return r;
}

static int packet_put(struct session *s, uint32_t id, const struct seen *p, const struct sk_sink *to)
{
	SkPacketEntry e = SK_PACKET_ENTRY__INIT;
	ScmEntry scm = SCM_ENTRY__INIT, *scms[] = { &scm };
	InetHeadEntry inet = INET_HEAD_ENTRY__INIT;

	scm.type = SCM_RIGHTS;
	scm.rights = p->rights;
	scm.n_rights = p->n_fds;
	e.scm = scms;
	e.n_scm = p->n_fds ? 1 : 0;
	e.id_for = id;
	e.length = p->n;
	e.has_urgent = e.urgent = p->urgent;
	if (p->has_cred)
		packet_cred(s, &e, &p->cred);
	if (p->inet && inet_head_entry(p->inet, &inet))
		e.inet = &inet;
	return to->put(s, to->arg, &e, p->data);
}

static int put_shared(struct session *s, void *arg, const SkPacketEntry *e, const char *data)
{
	struct image *img = image_shared(s, MAGIC_SK_QUEUES, "sk-queues.img");
	int r = img ? image_write(img, &e->base) : -EIO;

	return r < 0 || !e->length ? r : image_write_raw(img, data, e->length);
}

/* Remember the first n bytes of what was seen, with its descriptors. */
static int peek_keep(struct peek *p, size_t n, bool urgent)
{
	struct seen *k = xalloc(sizeof(*k));

	k->data = xmemdup(p->buf, n);
	k->n = n;
	k->urgent = urgent;
	k->fds = xmemdup(p->fds, p->n_fds * sizeof(int));
	k->n_fds = p->n_fds;
	k->has_cred = p->has_cred;
	k->cred = p->cred;
	k->inet = p->udp ? xmemdup(&p->inet, sizeof(p->inet)) : NULL;
	p->n_fds = 0;
	*p->last = k;
	p->last = &k->next;
	return 0;
}

/* No packet goes anywhere unless the files of all can be described. */
static int seen_write(struct session *s, struct task *task, uint32_t id, struct peek *p, int r,
		      const struct sk_sink *to)
{
	for (struct seen *k = p->first; r == 0 && k; k = k->next)
		r = packet_note(s, task, k, to);
	for (struct seen *k = p->first, *next; k; k = next) {
		if (r == 0)
			r = packet_put(s, id, k, to);
		for (size_t i = 0; i < k->n_fds; i++)
			fd_close(k->fds[i]);
		next = k->next;
		free(k->data);
		free(k->fds);
		free(k->rights);
		free(k->inet);
		free(k);
	}
	return r;
}

/*
 * A look at a stream ends behind the first packet with descriptors, wherever that begins. Its begin shows
 * when there is no memory for its last byte: the kernel then tells of the packets before it only.
 */
static int rights_begin(struct session *s, int fd, const struct peek *p, size_t off, size_t n, size_t *ret)
{
	struct iovec io = { p->buf + page_up(p->max) - (n - 1), n };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };
	int at = off;
	ssize_t got = -1;

	if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &at, sizeof(at)) == 0)
		got = recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT);
	if ((got < 0 && errno != EFAULT) || got >= (ssize_t)n)
		return session_fail(s, got < 0 ? -errno : -EIO, "socket: find the descriptors in its queue");
	*ret = got < 0 ? 0 : got;
	return 0;
}

/* Bytes from off on: those before a packet with descriptors, or that packet; or the urgent one. */
static int stream_piece(struct session *s, int fd, struct peek *p,
			size_t off, size_t *ret_n)
{
	bool urgent = p->urgent.any && !p->urgent.hidden && off == p->urgent.at;
	size_t plain = 0;
	int r = peek_at(s, fd, p, off, urgent ? 1 : p->max - off);

	if (r < 0 || p->end || !p->n)
		return r < 0 ? r : session_fail(s, -EIO, "socket: its queue shows less than is in it");
	if (p->n_fds)
		r = rights_begin(s, fd, p, off, p->n, &plain);
	if (r < 0) {
		peek_close(p);
		return r;
	}
	if (plain) { /* the next round begins with what is shown here already */
		peek_close(p);
		r = peek_at(s, fd, p, off, plain);
		peek_close(p);
		p->n = plain;
	} else if (p->n_fds) { /* finding out has written over it */
		peek_close(p);
		r = peek_at(s, fd, p, off, p->n);
	}
	*ret_n = p->n;
	return r < 0 ? r : peek_keep(p, p->n, urgent);
}

static int stream_pieces(struct session *s, int fd, struct peek *p)
{
	size_t n = 0;
	int r = 0;

	for (size_t off = 0; r == 0 && off < p->max; off += n)
		r = stream_piece(s, fd, p, off, &n);
	return r;
}

/* All of a stream in one look, which changes nothing; 1: it was not all, or has descriptors. */
static int stream_whole(struct session *s, int fd, struct peek *p, size_t total)
{
	int r;

	p->buf = xalloc(total);
	r = peek_at(s, fd, p, -1, total);
	if (r == 0 && (p->n_fds || p->n != total))
		r = 1;
	peek_close(p);
	if (r == 0)
		r = peek_keep(p, total, false);
	free(p->buf);
	p->buf = NULL;
	return r;
}

/* The page behind the buffer cannot be written: see rights_begin(). */
static int stream_look(struct session *s, int fd, struct peek *p, size_t total)
{
	size_t len = page_up(total) + PAGE;
	int r = 0;

	if (!total)
		return 0;
	p->buf = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->buf == MAP_FAILED || mprotect(p->buf + len - PAGE, PAGE, PROT_NONE) < 0) {
		p->buf = NULL;
		return session_fail(s, -errno, "socket: memory for its queue");
	}
	p->max = total;
	if (p->urgent.hidden) {
		p->max--;
		p->buf[0] = p->urgent.byte;
		r = peek_keep(p, 1, true);
	}
	if (r == 0)
		r = stream_pieces(s, fd, p);
	munmap(p->buf, len);
	p->buf = NULL;
	return r;
}

/* Nothing but no message: a connection that is shut gives that for ever. */
static bool at_end(const struct peek *p, int fd, int type)
{
	struct pollfd ask = { fd, POLLRDHUP, 0 };

	return p->end || (!p->n && !p->n_fds && type == SOCK_SEQPACKET && poll(&ask, 1, 0) == 1);
}

static int message_room(struct session *s, struct peek *p)
{
	peek_close(p);
	if (p->n > QUEUE_MAX || p->n <= p->max)
		return session_fail(s, -EIO, "socket: a message of %zu bytes", p->n);
	free(p->buf);
	p->buf = xalloc(p->max = p->n);
	return 0;
}

/*
 * An empty message is shown at an offset once only, then it is marked as seen and passed over, also by
 * the next dump. Without an offset the first message is shown always: marked or not, it is taken here.
 */
static int first_empty(struct session *s, int fd, struct peek *p, int type)
{
	int none = -1, r;

	if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &none, sizeof(none)) < 0)
		return session_fail(s, -errno, "socket: look into its queue (SO_PEEK_OFF)");
	r = peek_at(s, fd, p, -1, p->max);
	if (r < 0 || p->n || at_end(p, fd, type)) {
		peek_close(p);
		return r;
	}
	return peek_keep(p, 0, false);
}

/* Messages have borders; a look at an offset shows the message that begins there. */
static int messages_look(struct session *s, int fd, struct peek *p,
			 int type)
{
	int64_t off = 0;
	int r;

	p->buf = xalloc(p->max = 64 << 10);
	r = first_empty(s, fd, p, type);
	while (r == 0) {
		r = peek_at(s, fd, p, off, p->max);
		if (r < 0 || at_end(p, fd, type))
			return r;
		if (p->n > p->max || p->cut) { /* again, with room for it */
			r = message_room(s, p);
			continue;
		}
		off += p->n;
		r = off > INT32_MAX ? session_fail(s, -E2BIG, "socket: too much in its queue")
				    : peek_keep(p, p->n, false);
	}
	return r;
}

struct look {
	struct session *s;
	struct peek *p;
	int fd, type, bytes, was, r;
};

static int look_run(void *arg)
{
	struct look *l = arg;
	uint32_t asked = l->p->udp ? inet_head_ask(l->fd) : 0;

	if (l->type == SOCK_STREAM)
		l->r = stream_look(l->s, l->fd, l->p, l->bytes);
	else
		l->r = messages_look(l->s, l->fd, l->p, l->type);
	inet_head_ask_end(l->fd, asked);
	setsockopt(l->fd, SOL_SOCKET, SO_PEEK_OFF, &l->was, sizeof(l->was));
	return 0;
}

/*
 * While one looks, the socket's peek offset is another. A child does it, in our memory and with our
 * descriptors, while we wait: it ends what it has begun even when we are killed.
 */
static int look(struct look *l)
{
	char *stack = mmap(NULL, LOOK_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK,
			   -1, 0);
	pid_t pid;

	if (stack == MAP_FAILED)
		return session_fail(l->s, -errno, "socket: memory for looking into its queue");
	l->r = -EIO;
	pid = clone(look_run, stack + LOOK_STACK, CLONE_VM | CLONE_FILES | CLONE_VFORK | SIGCHLD, l);
	if (pid < 0)
		l->r = session_fail(l->s, -errno, "socket: start a child that looks into its queue");
	else
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	munmap(stack, LOOK_STACK);
	return l->r;
}

int sk_queue_dump(struct session *s, struct task *task, int fd, uint32_t id, int type, bool udp)
{
	return sk_queue_dump_to(s, task, fd, id, type, udp, &(struct sk_sink){ fd_note, put_shared, NULL });
}

int sk_queue_dump_to(struct session *s, struct task *task, int fd, uint32_t id, int type, bool udp,
		     const struct sk_sink *to)
{
	struct look l = { .s = s, .fd = fd, .type = type, .was = -1 };
	struct pollfd ask = { fd, POLLIN | POLLPRI, 0 };
	socklen_t len = sizeof(l.was);
	int r = 1;

	if (poll(&ask, 1, 0) <= 0 || !(ask.revents & (POLLIN | POLLPRI)))
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &l.was, &len) < 0 ||
	    (type != SOCK_DGRAM && ioctl(fd, FIONREAD, &l.bytes) < 0))
		return session_fail(s, -errno, "socket 0x%x: how much is in its queue", id);
	l.p = xalloc(sizeof(*l.p));
	l.p->last = &l.p->first;
	l.p->udp = udp;
	if (!udp && unix_urgent_look(fd, &l.p->urgent) < 0)
		r = session_fail(s, -ENOTSUP, "socket 0x%x: " UNIX_URGENT_UNTOLD, id);
	else if (type == SOCK_STREAM && l.was < 0 && !l.p->urgent.any)
		r = l.bytes ? stream_whole(s, fd, l.p, l.bytes) : 0;
	r = seen_write(s, task, id, l.p, r == 1 ? look(&l) : r, to);
	free(l.p->buf);
	free(l.p);
	return r;
}

int sk_queue_dump_end(struct session *s)
{
	return image_shared_end(s, "sk-queues.img");
}

/* ---- restore ---- */

struct sk_queue {
	struct sk_packet *first, **last;
};

int sk_packet_read(struct session *s, struct image *img, SkPacketEntry *e, struct sk_packet **ret)
{
	struct sk_packet *p = xalloc(sizeof(*p));

	*ret = p;
	p->e = e;
	if (e->length > QUEUE_MAX || e->length > image_left(img) || e->n_scm > 1 ||
	    (e->n_scm && (e->scm[0]->type != SCM_RIGHTS || !e->scm[0]->n_rights ||
			  e->scm[0]->n_rights > SCM_MAX)) ||
	    !inet_head_check(e->inet))
		return session_fail(s, -EBADMSG, "%s: a packet for socket 0x%x is damaged", img->name, e->id_for);
	p->data = xalloc(e->length);
	return image_read_raw(img, p->data, e->length);
}

static int packet_read(struct session *s, struct image *img, SkPacketEntry *e)
{
	struct map *queues = session_map(s, "sk queues");
	struct sk_queue *q = map_get(queues, e->id_for);

	if (!q) {
		q = xalloc(sizeof(*q));
		q->last = &q->first;
		map_put(queues, e->id_for, q);
	}
	while (*q->last)
		q->last = &(*q->last)->next;
	return sk_packet_read(s, img, e, q->last);
}

static int queues_read(struct session *s)
{
	own_image struct image img = { 0 };
	ProtobufCMessage *m;
	int r = image_open(s, &img, MAGIC_SK_QUEUES, "sk-queues.img");

	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, &sk_packet_entry__descriptor, &m)) == 1)
		r = packet_read(s, &img, (SkPacketEntry *)m);
	return r;
}

int sk_queue_get(struct session *s, uint32_t id, struct sk_packet **ret)
{
	struct map *read = session_map(s, "sk queues read");
	struct sk_queue *q;
	int r = 0;

	if (!map_get(read, 0)) {
		map_put(read, 0, read);
		r = queues_read(s);
	}
	q = map_get(session_map(s, "sk queues"), id);
	*ret = q ? q->first : NULL;
	return r;
}

int sk_queue_make(struct session *s, const struct sk_packet *p)
{
	for (; p; p = p->next)
		for (size_t i = 0; p->e->n_scm && i < p->e->scm[0]->n_rights; i++)
			if (!fd_obj_get(s, p->e->scm[0]->rights[i]))
				return s->why_r ? s->why_r : -EIO;
	return 0;
}

static void control_add(struct msghdr *m, struct cmsghdr **at, int type, const void *p, size_t n)
{
	struct cmsghdr *c = *at;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), p, n);
	*at = (struct cmsghdr *)((char *)c + CMSG_SPACE(n));
	m->msg_controllen = (char *)*at - (char *)m->msg_control;
}

/* The sender as it was, if it still is; else its user with our pid. */
static void control_cred(struct session *s, struct msghdr *m, struct cmsghdr **at,
			 const SkPacketEntry *e)
{
	struct task *k = e->has_pid ? task_find(s->tree, e->pid) : NULL;
	struct ucred c = { .pid = k ? k->pid : getpid(), .uid = uid_out(s, e->uid), .gid = gid_out(s, e->gid) };

	if (e->has_uid && e->has_gid)
		control_add(m, at, SCM_CREDENTIALS, &c, sizeof(c));
}

static int packet_send(struct session *s, const struct sk_packet *p, int fd, int type)
{
	char control[2048] __attribute__((aligned(16))) = { 0 };
	struct cmsghdr *at = (struct cmsghdr *)control;
	struct iovec io = { p->data, p->e->length };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control };
	int fds[SCM_MAX];
	ssize_t n;

	for (size_t i = 0; p->e->n_scm && i < p->e->scm[0]->n_rights; i++) {
		const struct fd_obj *o = fd_obj_get(s, p->e->scm[0]->rights[i]);

		if (!o)
			return s->why_r ? s->why_r : -EIO;
		fds[i] = o->fd;
	}
	if (p->e->n_scm)
		control_add(&m, &at, SCM_RIGHTS, fds, p->e->scm[0]->n_rights * sizeof(int));
	control_cred(s, &m, &at, p->e);
	do {
		n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL | (p->e->urgent ? MSG_OOB : 0));
		if (n < 0 && errno != EINTR)
			return session_fail(s, -errno, "socket 0x%x: put %u bytes into its queue",
					    p->e->id_for, p->e->length);
		if (n > 0) { /* descriptors travelled with the first byte */
			io.iov_base = (char *)io.iov_base + n;
			io.iov_len -= n;
			m.msg_controllen = 0;
		}
	} while (io.iov_len);
	return 0;
}

int sk_queue_send(struct session *s, const struct sk_packet *p, int fd, int type)
{
	int size = SNDBUF_FILL, r = 0;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	for (; r == 0 && p; p = p->next)
		if (p->e->length || type != SOCK_STREAM)
			r = packet_send(s, p, fd, type);
	return r;
}
