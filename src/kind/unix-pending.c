// SPDX-License-Identifier: Apache-2.0
/*
 * unix-pending: what clients of unix sockets have sent before they were accepted, or before they were closed again.
 *
 * Kept:   those connections in their order, data with the descriptors in them, whom a closed client shows
 *         (SO_PEERCRED).
 * Lost:   the name of a closed client, and its security context. A descriptor in such data that nobody else has
 *         open: the connection is reported, and its client sees its end. A dump that lets the tasks run on refuses, as it can
 *         only be had by accepting.
 * Kernel: net/unix/af_unix.c: the socket that accept() would return is in the queue of the listener, and nothing
 *         else shows it. A client that connects anew can send at once.
 */
#include "kind/unix-pending.h"

#include "base/list.h"
#include "base/res.h"
#include "image/record.h"
#include "kind/unix-caller.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define RECORD_ROOM 512 /* bytes of the records of one connection without its data are fewer, mostly */

/* ---- dump ---- */

struct listener {
	struct task *task;
	int fd, num, type;
	uint32_t id;
	struct unix_guest *guests;
	size_t n;
};

struct listeners {
	struct {
		struct listener *v;
		size_t n, max;
	} all;
	struct image img;
	size_t room;
};

static struct listeners *listeners(struct session *s)
{
	return session_state(s, "unix pending dump", sizeof(struct listeners));
}

/* The image is made while a failure costs nothing, as large as it will be. */
int unix_pending_note(struct session *s, const struct fd_view *v, const struct unix_guest *g, size_t n, size_t room)
{
	struct listeners *all = listeners(s);
	struct listener l = { .task = v->task, .num = v->num, .id = v->id, .n = n };
	socklen_t len = sizeof(l.type);
	int r = all->img.s ? 0 : image_create(s, &all->img, MAGIC_UNIX_PENDING, "unix-pending.img");

	if (r < 0)
		return r;
	all->room += room + n * RECORD_ROOM;
	if (fallocate(all->img.fd, FALLOC_FL_KEEP_SIZE, 0, all->room) < 0 && errno != EOPNOTSUPP)
		return session_fail(s, -errno, "image unix-pending.img: reserve %zu bytes", all->room);
	l.fd = fcntl(v->fd, F_DUPFD_CLOEXEC, 3);
	if (l.fd < 0 || getsockopt(l.fd, SOL_SOCKET, SO_TYPE, &l.type, &len) < 0)
		return session_fail(s, -errno, "socket 0x%x: keep it", v->id);
	l.guests = xalloc(n * sizeof(*g));
	memcpy(l.guests, g, n * sizeof(*g));
	*vec_add(&all->all) = l;
	return 0;
}

/* where a connection goes, and its packets */
struct sink {
	struct image *img;
	UnixPendingEntry e;
	bool begun;
};

static int connection_put(struct sink *k)
{
	bool begun = k->begun;

	k->begun = true;
	return begun ? 0 : image_write(k->img, &k->e.base);
}

static int packet_put(struct session *s, void *arg, const SkPacketEntry *p, const char *data)
{
	struct sink *k = arg;
	int r = connection_put(k);

	k->e.packet = (SkPacketEntry *)p;
	if (r == 0)
		r = image_write(k->img, &k->e.base);
	return r < 0 || !p->length ? r : image_write_raw(k->img, data, p->length);
}

static void guest_shows(struct session *s, const struct listener *l, int fd, UnixPendingEntry *e)
{
	UnixSkEntry shown = UNIX_SK_ENTRY__INIT;

	unix_caller_note(s, l->task, fd, &shown);
	e->has_pid = shown.has_peer_pid;
	e->pid = shown.peer_pid;
	e->has_uid = shown.has_peer_uid;
	e->uid = shown.peer_uid;
	e->has_gid = shown.has_peer_gid;
	e->gid = shown.peer_gid;
}

/* The files in messages may be unknown, and no more can be described: then nothing is put. */
static int guest_take(struct session *s, struct image *img, const struct listener *l, const struct unix_guest *g, int fd)
{
	struct sink k = { .img = img, .e = UNIX_PENDING_ENTRY__INIT };
	int r;

	k.e.listener = l->id;
	k.e.client = g->client;
	if (!g->client)
		guest_shows(s, l, fd, &k.e);
	r = sk_queue_dump_to(s, l->task, fd, l->id, l->type, false, &(struct sk_sink){ fd_note_known, packet_put, &k });
	if (r == 0)
		return connection_put(&k);
	if (k.begun)
		return r;
	session_warn(s, "task %d: descriptor %d: a connection that waits there to be accepted is not kept: %s",
		     l->task->vpid, l->num, s->why);
	session_forget(s);
	k.e.has_lost = k.e.lost = true;
	return g->client ? connection_put(&k) : 0;
}

static int listener_take(struct session *s, struct image *img, const struct listener *l)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->n; i++) {
		struct pollfd p = { .fd = l->fd, .events = POLLIN };
		own_fd int fd = poll(&p, 1, 0) == 1 ? fd_high(accept4(l->fd, NULL, NULL, SOCK_CLOEXEC)) : -1;

		if (fd < 0)
			return session_fail(s, -EIO, "socket 0x%x: accept what waits there", l->id);
		if (!l->guests[i].stranger)
			r = guest_take(s, img, l, &l->guests[i], fd);
	}
	return r;
}

int unix_pending_take(struct session *s)
{
	struct listeners *all = listeners(s);
	int r = 0;

	for (size_t i = 0; r == 0 && i < all->all.n; i++)
		r = listener_take(s, &all->img, &all->all.v[i]);
	return r < 0 ? r : image_close(&all->img);
}

void unix_pending_end(struct session *s)
{
	struct listeners *all = listeners(s);

	for (size_t i = 0; i < all->all.n; i++) {
		fd_close(all->all.v[i].fd);
		free(all->all.v[i].guests);
	}
	all->all.n = 0;
	image_close(&all->img);
}

/* ---- restore ---- */

struct waiting {
	struct unix_pending *first, **last;
};

static struct unix_pending *pending_add(struct session *s, UnixPendingEntry *e)
{
	struct map *all = session_map(s, "unix pending");
	struct waiting *w = map_get(all, e->listener);
	struct unix_pending *p = xalloc(sizeof(*p));

	if (!w) {
		w = xalloc(sizeof(*w));
		w->last = &w->first;
		map_put(all, e->listener, w);
	}
	p->e = e;
	*w->last = p;
	w->last = &p->next;
	return p;
}

static int pending_read(struct session *s)
{
	own_image struct image img = { 0 };
	struct unix_pending *last = NULL;
	struct sk_packet **at = NULL;
	ProtobufCMessage *m;
	int r = image_open(s, &img, MAGIC_UNIX_PENDING, "unix-pending.img");

	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, &unix_pending_entry__descriptor, &m)) == 1) {
		UnixPendingEntry *e = (UnixPendingEntry *)m;

		if (!e->packet) {
			last = pending_add(s, e);
			at = &last->queue;
			r = 0;
		} else if (!last || last->e->listener != e->listener || last->e->client != e->client) {
			unix_pending_entry__free_unpacked(e, NULL);
			r = session_fail(s, -EBADMSG, "unix-pending.img: is damaged");
		} else {
			r = sk_packet_read(s, &img, e->packet, at);
			at = &(*at)->next;
		}
	}
	return r;
}

int unix_pending_get(struct session *s, uint32_t listener, struct unix_pending **ret)
{
	struct map *read = session_map(s, "unix pending read");
	struct waiting *w;
	int r = 0;

	if (!map_get(read, 0)) {
		map_put(read, 0, read);
		r = pending_read(s);
	}
	w = map_get(session_map(s, "unix pending"), listener);
	*ret = w ? w->first : NULL;
	return r;
}
