// SPDX-License-Identifier: Apache-2.0
/*
 * unix: unix sockets of all types, alone, in pairs, connected through listeners.
 *
 * Kept:   names with their files, peers, shutdown, options, queues with message borders and descriptors
 *         in them, connections that wait to be accepted (unix-pending.h). A task that asked for its own dump finds
 *         the answer, that it was restored, in its socket to us.
 * Lost:   pending errors, messages whose receiver has since been connected elsewhere; SO_PEERCRED where
 *         the other side is no task of the tree, or connected by a name that leads elsewhere now.
 * Kernel: net/unix/af_unix.c, diag.c; see kind/unix-diag.h, unix-name.h, sk-queue.h.
 */
#include "kind/fd.h"

#include "base/list.h"
#include "base/text.h"
#include "kind/lsm.h"
#include "kind/ns.h"
#include "kind/sk-queue.h"
#include "kind/sock-opts.h"
#include "kind/unix-diag.h"
#include "kind/unix-name.h"
#include "kind/unix-pending.h"
#include "kind/unix-urgent.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { UFLAG_EXTERN = 1, UFLAG_SERVICE = 2, UFLAG_INHERIT = 8 };

static bool unix_is(const struct fd_view *v)
{
	int family = 0;
	socklen_t n = sizeof(family);

	return S_ISSOCK(v->st.st_mode) &&
	       getsockopt(v->fd, SOL_SOCKET, SO_DOMAIN, &family, &n) == 0 && family == AF_UNIX;
}

static bool connects(int type)
{
	return type == SOCK_STREAM || type == SOCK_SEQPACKET;
}

#define CLOSED_ROOM (256u << 10) /* bytes that one may have sent which is closed; nothing tells */
#define PATIENCE 48 /* stops that hit clients who are not accepted yet */

/* ---- preflight: is every peer in the tree, or allowed to be elsewhere ---- */

static bool may_be_outside(const struct session *s, uint32_t ino, uint32_t peer)
{
	char key[2][16];

	snprintf(key[0], sizeof(key[0]), "%u", ino);
	snprintf(key[1], sizeof(key[1]), "%u", peer);
	for (size_t i = 0; i < s->opts->n_unix_sk_ino; i++)
		if (s->opts->unix_sk_ino[i]->inode == ino || s->opts->unix_sk_ino[i]->inode == peer)
			return true;
	/* a list of inodes allows no others */
	if (s->opts->ext_unix_sk && !s->opts->n_unix_sk_ino)
		return true;
	return external_find(s, "unix", key[0]) || external_find(s, "unix", key[1]);
}

/* Is this the other end of the connection by which we were asked? */
static bool is_caller(const struct session *s, uint32_t peer)
{
	struct stat st;

	return s->caller >= 0 && peer && fstat(s->caller, &st) == 0 && (uint32_t)st.st_ino == peer;
}

static int refuse_outside(struct session *s, const struct fd_view *v, uint32_t peer, const char *who)
{
	return session_fail(s, -ENOTSUP,
			    "task %d: descriptor %d is a unix socket connected to one outside the tree%s; close it, or allow it by --external unix[%u] (it is then connected anew)",
			    v->task->vpid, v->num, who, peer);
}

/* Inodes of the sockets that a task has; with a map of null: is one of them ino? */
static bool task_sockets(int proc, uint32_t ino, struct map *all)
{
	int fd = openat(proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	char link[40];
	struct dirent *e;

	while (d && (e = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		uint32_t its;

		if (n < 0)
			continue;
		link[n] = 0;
		if (!text_starts(link, "socket:["))
			continue;
		its = strtoul(link + strlen("socket:["), NULL, 10);
		if (all)
			map_put(all, its, all);
		else if (its == ino)
			return true;
	}
	return false;
}

static void tree_sockets(const struct task *k, struct map *all)
{
	if (k->proc >= 0)
		task_sockets(k->proc, 0, all);
	for (const struct task *c = k->first_child; c; c = c->next)
		tree_sockets(c, all);
}

/* Who outside has it? A socket that nobody has is in a queue, and may well be the tree's. */
static bool outsider(uint32_t ino, char *who, size_t n)
{
	own_dir DIR *d = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d))) {
		own_fd int proc = -1;
		own_mem char *comm = NULL;

		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		proc = openat(dirfd(d), e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (proc < 0 || !task_sockets(proc, ino, NULL))
			continue;
		text_read(proc, "comm", &comm, NULL);
		if (comm)
			comm[strcspn(comm, "\n")] = 0;
		snprintf(who, n, " (process %.10s, %.16s)", e->d_name, comm ? comm : "ended");
		return true;
	}
	return false;
}

static bool foreign(const struct task *k, const char *ns)
{
	char path[32];
	struct stat its, own;

	snprintf(path, sizeof(path), "/proc/self/%s", ns);
	return fstatat(k->proc, ns, &its, 0) < 0 || stat(path, &own) < 0 || its.st_ino != own.st_ino;
}

static int unix_preflight(struct session *s, const struct fd_view *v)
{
	struct map *live = session_map(s, "unix live"), *loaded = session_map(s, "unix live loaded");
	struct map *held = session_map(s, "unix held");
	const struct task *root = v->task;
	struct unix_urgent urgent;
	const struct unix_diag *d;
	char who[80];
	int r = 0;

	if (unix_urgent_look(v->fd, &urgent) < 0)
		return session_fail(s, -ENOTSUP, "task %d: descriptor %d is a unix socket that " UNIX_URGENT_UNTOLD,
				    v->task->vpid, v->num);
	if (foreign(v->task, "ns/net")) /* looked at when it is stopped */
		return 0;
	if (!map_get(loaded, 0)) {
		map_put(loaded, 0, loaded);
		r = unix_diag_load(s, 0, live);
	}
	d = r < 0 ? NULL : map_get(live, v->st.st_ino);
	if (!d || !d->peer || is_caller(s, d->peer) || may_be_outside(s, d->ino, d->peer))
		return r;
	while (root->parent)
		root = root->parent;
	if (!held->n)
		tree_sockets(root, held);
	if (map_get(held, d->peer) || !outsider(d->peer, who, sizeof(who)))
		return 0;
	return refuse_outside(s, v, d->peer, who);
}

/* Clients that wait to be accepted: a server at work takes them soon. */
static int unix_passing(struct session *s, const struct fd_view *v)
{
	struct map *seen = session_map(s, "unix passing");
	uintptr_t times = (uintptr_t)map_get(seen, v->st.st_ino);
	struct pollfd p = { .fd = v->fd, .events = POLLIN };
	int listens = 0;
	socklen_t n = sizeof(listens);

	if (getsockopt(v->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) < 0 || !listens)
		return -1;
	if (poll(&p, 1, 0) != 1)
		return 0;
	map_put(seen, v->st.st_ino, (void *)(times + 1));
	return times < PATIENCE;
}

/* ---- dump ---- */

/* A socket that has been described; its entry is written in the end, when the order is known. */
struct note {
	struct fd_view v; /* fd is a copy that stays */
	UnixSkEntry e;
	SkOptsEntry opts;
	FownEntry fown;
	const struct unix_diag *d;
	bool written;
};

struct unix_dumping {
	struct {
		struct note **v;
		size_t n, max;
	} notes;
	size_t queues; /* so many have had their queue dumped */
	bool draining;
	struct map by_ino; /* notes */
};

static struct unix_dumping *dumping(struct session *s)
{
	return session_state(s, "unix dumping", sizeof(struct unix_dumping));
}

static int diag_of(struct session *s, const struct fd_view *v, const struct unix_diag **ret)
{
	struct map *all = session_map(s, "unix sockets"), *nets = session_map(s, "unix nets");

	if (!map_get(nets, v->net_ns_id)) {
		int r = unix_diag_load(s, v->net_ns_id, all);

		if (r < 0)
			return r;
		map_put(nets, v->net_ns_id, nets);
	}
	*ret = map_get(all, v->st.st_ino);
	if (!*ret)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a unix socket of another network namespace, which cannot be checkpointed yet",
				    v->task->vpid, v->num);
	return 0;
}

/* Connected to what? */
static int note_peer(struct session *s, struct note *n)
{
	const struct unix_diag *d = n->d;

	n->e.peer = d->peer ? d->peer : d->listener;
	if (d->has_peer && !n->e.peer && connects(d->type) && d->shutdown != SK_SHUTDOWN__BOTH)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a unix socket whose peer cannot be found; it may be in another network namespace",
				    n->v.task->vpid, n->v.num);
	return 0;
}

static int note_fill(struct session *s, struct note *n)
{
	const struct unix_diag *d = n->d;
	UnixSkEntry *e = &n->e;
	int r;

	e->id = n->v.id;
	e->ino = d->ino;
	e->type = d->type;
	e->state = d->state;
	e->flags = n->v.flags;
	e->backlog = d->wqueue;
	e->fown = &n->fown;
	e->opts = &n->opts;
	e->name.data = (uint8_t *)d->name;
	e->name.len = d->name_len;
	e->has_shutdown = d->shutdown != 0;
	e->shutdown = d->shutdown;
	e->has_ns_id = n->v.net_ns_id;
	e->ns_id = n->v.net_ns_id;
	if (is_caller(s, d->peer)) {
		e->uflags = UFLAG_SERVICE;
		e->state = SK_CLOSE;
		return sock_opts_get(s, n->v.fd, &n->opts);
	}
	unix_caller_note(s, n->v.task, n->v.fd, e);
	r = note_peer(s, n);
	if (r == 0)
		r = sock_opts_get(s, n->v.fd, &n->opts);
	return r < 0 ? r : unix_name_note(s, n->v.task, n->v.fd, e);
}

static void note_close(struct note *n)
{
	fd_close(n->v.fd);
	n->v.fd = -1;
}

/* Queues hold descriptors of sockets that have queues: one after another, not one within another. */
static int queues_drain(struct session *s, struct unix_dumping *u)
{
	int r = 0;

	if (u->draining)
		return 0;
	u->draining = true;
	for (; r == 0 && u->queues < u->notes.n; u->queues++) {
		struct note *n = u->notes.v[u->queues];

		if (n->e.state != SK_LISTEN)
			r = sk_queue_dump(s, n->v.task, n->v.fd, n->e.id, n->e.type, false);
		if (!n->d->n_icons) /* else see clients_write() */
			note_close(n);
	}
	u->draining = false;
	return r;
}

static int unix_dump(struct session *s, const struct fd_view *v)
{
	struct unix_dumping *u = dumping(s);
	struct note *n = xalloc(sizeof(*n));
	int r = diag_of(s, v, &n->d);

	if (r < 0)
		return r;
	n->v = *v;
	n->v.link = n->v.info = NULL;
	n->v.fd = fcntl(v->fd, F_DUPFD_CLOEXEC, 3);
	if (n->v.fd < 0)
		return session_fail(s, -errno, "task %d: descriptor %d: keep a copy", v->task->vpid, v->num);
	unix_sk_entry__init(&n->e);
	sk_opts_entry__init(&n->opts);
	n->fown = *v->fown;
	r = note_fill(s, n);
	if (r < 0)
		return r;
	*vec_add(&u->notes) = n;
	map_put(&u->by_ino, n->d->ino, n);
	return queues_drain(s, u);
}

/* The peer that we leave behind: an entry that only says what it is called. */
static int outside_write(struct session *s, const struct note *n, const struct unix_diag *d)
{
	struct map *done = session_map(s, "unix outside");
	UnixSkEntry e = UNIX_SK_ENTRY__INIT;
	SkOptsEntry opts = SK_OPTS_ENTRY__INIT;
	FownEntry fown = FOWN_ENTRY__INIT;

	if (map_get(done, n->e.peer))
		return 0;
	map_put(done, n->e.peer, done);
	if (!may_be_outside(s, n->e.ino, n->e.peer))
		return refuse_outside(s, &n->v, n->e.peer, "");
	if (!d || !d->name_len)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a unix socket whose peer outside the tree has no name, so that it cannot be connected to again",
				    n->v.task->vpid, n->v.num);
	e.id = fd_new_id(s);
	e.ino = n->e.peer;
	e.type = d->type;
	e.state = connects(d->type) ? SK_LISTEN : SK_CLOSE;
	e.uflags = UFLAG_EXTERN;
	e.fown = &fown;
	e.opts = &opts;
	e.name.data = (uint8_t *)d->name;
	e.name.len = d->name_len;
	return fd_put_id(s, FD_TYPES__UNIXSK, e.id, &e.base);
}

/* Sockets that others are connected to come first: readers make one-way connections in this order. */
static int note_write(struct session *s, struct note *n, unsigned depth)
{
	struct map *all = session_map(s, "unix sockets");
	struct note *peer = n->e.peer ? map_get(&dumping(s)->by_ino, n->e.peer) : NULL;
	int r = 0;

	if (n->written)
		return 0;
	n->written = true;
	if (n->e.peer && !peer)
		r = outside_write(s, n, map_get(all, n->e.peer));
	else if (peer && peer->e.peer != n->e.ino && depth < 1000)
		r = note_write(s, peer, depth + 1);
	return r < 0 ? r : fd_put_id(s, FD_TYPES__UNIXSK, n->e.id, &n->e.base);
}

/* One of those who wait: is it kept, and what has it sent? */
static int client_write(struct session *s, const struct note *n, uint32_t ino, struct unix_guest *g, size_t *room)
{
	struct note *c = map_get(&dumping(s)->by_ino, ino);

	if (!ino) {
		*room += CLOSED_ROOM;
		return 0;
	}
	if (c) {
		g->client = c->e.id;
		*room += c->d->wqueue;
		return note_write(s, c, 0);
	}
	if (!may_be_outside(s, ino, n->d->ino))
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a unix socket at which a client outside the tree waits to be accepted; let the server accept it, then close it, or allow its loss by --external unix[%u]",
				    n->v.task->vpid, n->v.num, n->d->ino);
	session_warn(s, "unix socket %u: a client outside the tree waits to be accepted; that connection is not kept",
		     n->d->ino);
	g->stranger = true;
	return 0;
}

/* Waiting clients in the order in which they wait. */
static int clients_write(struct session *s, const struct note *n)
{
	own_mem struct unix_guest *g = xalloc(n->d->n_icons * sizeof(*g));
	size_t room = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n->d->n_icons; i++)
		r = client_write(s, n, n->d->icons[i], &g[i], &room);
	if (r < 0 || !room)
		return r;
	if (s->opts->leave_running || s->opts->leave_stopped)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is a unix socket with clients that have sent data, or were closed, before they were accepted, which cannot be read while the tasks are to run on; let the server accept them, then try again",
				    n->v.task->vpid, n->v.num);
	return unix_pending_note(s, &n->v, g, n->d->n_icons, room);
}

static int unix_dump_end(struct session *s)
{
	struct unix_dumping *u = dumping(s);
	int r = sk_queue_dump_end(s);

	for (size_t i = 0; r == 0 && i < u->notes.n; i++)
		r = clients_write(s, u->notes.v[i]);
	for (size_t i = 0; r == 0 && i < u->notes.n; i++)
		r = note_write(s, u->notes.v[i], 0);
	for (size_t i = 0; i < u->notes.n; i++) {
		note_close(u->notes.v[i]);
		sock_opts_free(&u->notes.v[i]->opts);
	}
	return r;
}

/* ---- restore: what is there ---- */

struct sk {
	struct fd_obj *o;
	const UnixSkEntry *e;
	struct sk *peer; /* entry that e->peer names */
	struct sk *pair; /* made together with it: its other end */
	int fd;		 /* made, but not asked for yet; else -1 */
	int other;	 /* the other end of a pair of which only this is left, until its queue is full */
	bool made;
	bool carried; /* what its queue carries has been made */
	bool linked;  /* as one of those who wait at its peer */
	struct sk *next; /* listener whose name has the same hash */
	struct sk_packet *queue;
	struct unix_pending *pending; /* LISTEN: clients that have sent something, all that wait */
};

struct unix_restoring {
	struct {
		struct sk **v;
		size_t n, max;
	} all, carriers;
	struct map by_ino, by_id;
	struct map listeners; /* by name_key() */
	struct {
		struct listener {
			const UnixSkEntry *e;
			int fd;
		} *v;
		size_t n, max;
	} temps; /* listeners that are gone, for those that they accepted */
	bool indexed, filled, linked;
};

static struct unix_restoring *restoring(struct session *s)
{
	return session_state(s, "unix restoring", sizeof(struct unix_restoring));
}

static bool is_extern(const struct sk *k)
{
	return k && k->e->uflags & UFLAG_EXTERN;
}

static int sk_fd(const struct sk *k)
{
	return k->o->fd >= 0 ? k->o->fd : k->fd;
}

static int entry_check(struct session *s, const UnixSkEntry *e)
{
	bool ok = e->type == SOCK_STREAM || e->type == SOCK_DGRAM || e->type == SOCK_SEQPACKET;

	ok = ok && (e->state == SK_ESTABLISHED || e->state == SK_CLOSE || e->state == SK_LISTEN) &&
	     e->shutdown <= SK_SHUTDOWN__BOTH && e->opts && e->ino;
	if (!ok)
		return session_fail(s, -EBADMSG, "files.img: unix socket 0x%x is damaged", e->id);
	if (e->uflags & ~(UFLAG_EXTERN | UFLAG_SERVICE | UFLAG_INHERIT))
		return session_fail(s, -ENOTSUP,
				    "files.img: unix socket 0x%x belongs to a plugin (flags 0x%x), which is not supported",
				    e->id, e->uflags);
	return unix_name_check(s, e);
}

static int index_add(struct session *s, struct unix_restoring *u, struct fd_obj *o)
{
	struct sk *k = xalloc(sizeof(*k));

	k->o = o;
	k->e = o->entry->usk;
	k->fd = k->other = -1;
	if (!k->e || map_get(&u->by_ino, k->e->ino))
		return session_fail(s, -EBADMSG, "files.img: unix socket 0x%x is damaged or there twice", o->id);
	map_put(&u->by_ino, k->e->ino, k);
	map_put(&u->by_id, o->id, k);
	*vec_add(&u->all) = k;
	return entry_check(s, k->e);
}

static int index_peer(struct session *s, struct unix_restoring *u, struct sk *k)
{
	struct sk *p = k->e->peer ? map_get(&u->by_ino, k->e->peer) : NULL;

	if (!k->e->peer || k->e->uflags & UFLAG_SERVICE)
		return 0;
	if (!p || p == k || p->e->type != k->e->type || k->e->state == SK_LISTEN)
		return p == k && k->e->type == SOCK_DGRAM && k->e->name.len
			       ? (k->peer = p, 0) /* connected to itself */
			       : session_fail(s, -EBADMSG, "files.img: unix socket 0x%x has no possible peer",
					      k->e->id);
	k->peer = p;
	if (is_extern(p) || is_extern(k))
		return 0;
	if (p->e->peer == k->e->ino)
		k->pair = p;
	else if (connects(k->e->type) && p->e->state != SK_LISTEN)
		return session_fail(s, -EBADMSG, "files.img: unix socket 0x%x: its peer is connected to another",
				    k->e->id);
	return 0;
}

/*
 * A datagram socket can be connected one way to one without a name only if they were a pair, and the
 * other went elsewhere.
 */
static int index_lost_pair(struct session *s, struct sk *k)
{
	struct sk *p = k->peer;

	if (k->pair || !p || k->e->type != SOCK_DGRAM || p->e->name.len || is_extern(p))
		return 0;
	if (p->pair)
		return session_fail(s, -EBADMSG, "files.img: unix socket 0x%x cannot be connected to 0x%x",
				    k->e->id, p->e->id);
	k->pair = p;
	p->pair = k;
	return 0;
}

static uint64_t name_key(const UnixSkEntry *e)
{
	uint64_t key = 0xcbf29ce484222325ULL; /* FNV-1a */

	for (size_t i = 0; i < e->name.len; i++)
		key = (key ^ e->name.data[i]) * 0x100000001b3ULL;
	return key;
}

static void index_listener(struct unix_restoring *u, struct sk *k)
{
	if (k->e->state != SK_LISTEN || !k->e->name.len || is_extern(k))
		return;
	k->next = map_get(&u->listeners, name_key(k->e));
	map_put(&u->listeners, name_key(k->e), k);
}

/* The listener that has accepted a socket of this name; it may be gone. */
static struct sk *listener_of(struct session *s, const struct sk *k)
{
	struct sk *l = map_get(&restoring(s)->listeners, name_key(k->e));

	/* the same name, bound again after its file was removed, is another's */
	while (l && (l->e->type != k->e->type || !unix_name_same(l->e, k->e) ||
		     !l->e->deleted != !k->e->deleted))
		l = l->next;
	return l;
}

static int index_pending(struct session *s, struct unix_restoring *u, struct sk *k)
{
	int r = unix_pending_get(s, k->o->id, &k->pending);

	for (const struct unix_pending *p = k->pending; r == 0 && p; p = p->next) {
		const struct sk *c = p->e->client ? map_get(&u->by_id, p->e->client) : NULL;

		if (k->e->state != SK_LISTEN || is_extern(k) || ((p->e->client || p->e->lost) && (!c || c->peer != k)))
			r = session_fail(s, -EBADMSG, "unix-pending.img: unix socket 0x%x is no listener, or not that of 0x%x",
					 k->e->id, p->e->client);
	}
	return r;
}

/* All unix sockets of the image, at the first call. */
static int index_all(struct session *s)
{
	struct unix_restoring *u = restoring(s);
	struct fd_obj *o;
	int r = 0;

	if (u->indexed)
		return 0;
	u->indexed = true;
	for (size_t i = 0; r == 0 && (o = fd_obj_at(s, i)); i++)
		if (o->entry->type == FD_TYPES__UNIXSK)
			r = index_add(s, u, o);
	for (size_t i = 0; r == 0 && i < u->all.n; i++)
		r = index_peer(s, u, u->all.v[i]);
	for (size_t i = 0; r == 0 && i < u->all.n; i++)
		r = index_lost_pair(s, u->all.v[i]);
	for (size_t i = 0; r == 0 && i < u->all.n; i++)
		index_listener(u, u->all.v[i]);
	for (size_t i = 0; r == 0 && i < u->all.n; i++)
		r = sk_queue_get(s, u->all.v[i]->o->id, &u->all.v[i]->queue);
	for (size_t i = 0; r == 0 && i < u->all.n; i++)
		r = index_pending(s, u, u->all.v[i]);
	return r;
}

/* ---- restore: sockets are made and named ---- */

static int plain_make(struct session *s, const struct sk *k, int *ret)
{
	own_fd int fd = fd_high(socket(AF_UNIX, k->e->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	int r;

	if (fd < 0)
		return session_fail(s, -errno, "unix socket 0x%x: make", k->e->id);
	r = unix_name_bind(s, fd, k->e);
	if (r == 0)
		*ret = take_fd(fd);
	return r;
}

/* Its own backlog suffices for our connections: accepted ones come one by one, the others were there. */
static int listener_make(struct session *s, const UnixSkEntry *e, int backlog,
			 const struct unix_caller *by, int *ret)
{
	own_fd int fd = -1;
	int num, r = unix_caller_socket(s, by, e->type, &num, &fd);

	if (r == 0)
		r = unix_name_bind(s, fd, e);
	if (r == 0 && (num < 0 || unix_caller_listen(s, by, num, backlog) < 0) && listen(fd, backlog) < 0)
		r = session_fail(s, -errno, "unix socket 0x%x: listen", e->id);
	if (r == 0)
		r = unix_caller_close(s, by, num);
	if (r == 0)
		*ret = take_fd(fd);
	return r;
}

/* Who listens under the name of an accepted socket: one of the image, or one for this restore only. */
static int listener_get(struct session *s, const struct sk *k, const struct unix_caller *by, int *ret)
{
	struct unix_restoring *u = restoring(s);
	struct sk *l = listener_of(s, k);
	int fd, r;

	if (l) {
		if (!fd_obj_get(s, l->o->id))
			return s->why_r ? s->why_r : -EIO;
		*ret = l->o->fd;
		return 0;
	}
	for (size_t i = 0; i < u->temps.n; i++)
		if (u->temps.v[i].e->type == k->e->type && unix_name_same(u->temps.v[i].e, k->e) &&
		    !u->temps.v[i].e->deleted == !k->e->deleted) {
			*ret = u->temps.v[i].fd;
			return 0;
		}
	r = listener_make(s, k->e, 1, by, &fd);
	if (r == 0)
		*vec_add(&u->temps) = (struct listener){ k->e, *ret = fd };
	return r;
}

/* The next one that was made by ourselves: anybody can connect to a name. */
static int accept_ours(int fd, const struct unix_caller *by)
{
	struct pollfd ask = { fd, POLLIN, 0 };

	while (poll(&ask, 1, 0) == 1) {
		int a = fd_high(accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
		struct ucred c = { 0 };
		socklen_t n = sizeof(c);

		if (a < 0 || (getsockopt(a, SOL_SOCKET, SO_PEERCRED, &c, &n) == 0 &&
			      (c.pid == getpid() || (by->task && c.pid == by->task->pid))))
			return a;
		fd_close(a);
	}
	errno = ECONNABORTED;
	return -1;
}

/* An accepted socket has the name of its listener, which only accept() can give. */
static int accepted_make(struct session *s, struct sk *k, struct sk *client, int *ret_client)
{
	/* each shows who made the other: the client the one who listens, and the reverse */
	struct unix_caller by = unix_caller_of(s, k->e, client ? client->o->task : k->o->task);
	struct unix_caller server = client ? unix_caller_of(s, client->e, k->o->task)
					   : unix_caller_self(k->e, k->o->task);
	own_fd int fd = -1;
	int to = -1, num, r = listener_get(s, k, &server, &to);

	if (r == 0)
		r = unix_caller_socket(s, &by, k->e->type, &num, &fd);
	if (r == 0 && client)
		r = unix_name_bind(s, fd, client->e);
	if (r == 0)
		r = unix_name_connect_by(s, &by, num, fd, to, k->e);
	if (r == 0)
		r = unix_caller_close(s, &by, num);
	if (r < 0)
		return r;
	k->fd = accept_ours(to, &by);
	if (k->fd < 0)
		return session_fail(s, -errno, "unix socket 0x%x: accept its connection", k->e->id);
	*ret_client = take_fd(fd);
	return 0;
}

/* Both ends at once. b is NULL when the other end is closed: then ours is kept for its queue. */
static int pair_make(struct session *s, struct sk *a, struct sk *b)
{
	struct unix_caller by = unix_caller_of(s, a->e, a->o->task);
	int p[2], *other = b ? &b->fd : &a->other, r;

	if (b && connects(a->e->type) && b->e->name.len && (!a->e->name.len || listener_of(s, b)))
		return accepted_make(s, b, a, &a->fd);
	if (connects(a->e->type) && a->e->name.len)
		return accepted_make(s, a, b, other);
	r = unix_caller_pair(s, &by, a->e->type, p);
	if (r < 0)
		return r;
	a->fd = p[0];
	*other = p[1];
	r = unix_name_bind(s, a->fd, a->e);
	return r < 0 || !b ? r : unix_name_bind(s, b->fd, b->e);
}

/* It waits for the answer to its request for a dump: here it is, and the end of the connection. */
static int service_make(struct session *s, struct sk *k)
{
	CriuResp resp = CRIU_RESP__INIT;
	CriuDumpResp dump = CRIU_DUMP_RESP__INIT;
	uint8_t buf[64];
	size_t n;
	int p[2], r = 0;

	dump.has_restored = dump.restored = true;
	resp.type = CRIU_REQ_TYPE__DUMP;
	resp.success = true;
	resp.dump = &dump;
	n = criu_resp__get_packed_size(&resp);
	if (n > sizeof(buf))
		return session_fail(s, -EMSGSIZE, "unix socket 0x%x: answer", k->e->id);
	criu_resp__pack(&resp, buf);
	if (socketpair(AF_UNIX, k->e->type | SOCK_CLOEXEC, 0, p) < 0)
		return session_fail(s, -errno, "unix socket 0x%x: make", k->e->id);
	if (send(p[1], buf, n, MSG_NOSIGNAL) != (ssize_t)n)
		r = session_fail(s, -errno, "unix socket 0x%x: answer", k->e->id);
	close(p[1]);
	k->fd = fd_high(p[0]);
	return r;
}

/* By one who makes sockets with its label, and with that of a pair. */
static int sk_make_there(struct session *s, struct sk *k, const struct unix_caller *by)
{
	const UnixSkEntry *e = k->e;
	/* connected, and to nobody: the other end is closed */
	bool half = e->state == SK_ESTABLISHED && !e->peer && (connects(e->type) || !e->name.len);
	int r;

	if (e->uflags & UFLAG_SERVICE)
		r = service_make(s, k);
	else if (k->pair)
		r = pair_make(s, k, k->pair);
	else if (half)
		r = pair_make(s, k, NULL);
	else if (e->state == SK_LISTEN)
		r = listener_make(s, e, e->backlog, by, &k->fd);
	else
		r = plain_make(s, k, &k->fd);
	return r;
}

static int sk_make(struct session *s, struct sk *k)
{
	const UnixSkEntry *e = k->e;
	const char *label = e->opts ? e->opts->label : NULL;
	struct unix_caller by = unix_caller_of(s, e, k->o->task);
	struct thread *who = by.task ? task_leader(by.task) : NULL;
	int r = e->has_ns_id ? ns_enter_net(s, e->ns_id) : 0, back;

	if (r < 0)
		return r;
	if (label)
		r = lsm_sockets(s, NULL, label);
	if (r == 0 && label && who)
		r = lsm_sockets(s, who, label);
	if (r == 0)
		r = sk_make_there(s, k, &by);
	if (r == 0 && label)
		r = lsm_sockets(s, NULL, NULL);
	if (r == 0 && label && who)
		r = lsm_sockets(s, who, NULL);
	k->made = true;
	if (k->pair)
		k->pair->made = true;
	back = e->has_ns_id ? ns_enter_net(s, 0) : 0;
	return r < 0 ? r : back;
}

static int unix_restore(struct session *s, struct fd_obj *o)
{
	int r = index_all(s), fd;
	struct sk *k;
	char key[40];

	if (r < 0)
		return r;
	k = map_get(&restoring(s)->by_id, o->id);
	if (is_extern(k))
		return session_fail(s, -EBADMSG, "files.img: unix socket 0x%x is outside the tree, yet somebody has it",
				    o->id);
	snprintf(key, sizeof(key), "socket:[%u]", k->e->ino);
	fd = inherit_find(s, key);
	if (fd >= 0) {
		o->borrowed = true;
		o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		return o->fd < 0 ? session_fail(s, -errno, "%s: take the caller's", key) : 0;
	}
	if (!k->made)
		r = sk_make(s, k);
	if (r < 0)
		return r;
	o->fd = k->fd;
	k->fd = -1;
	return o->fd < 0 ? session_fail(s, -EBADMSG, "files.img: unix socket 0x%x is damaged", o->id) : 0;
}

/* A queue; a socket that it carries, and that nobody else has, comes to the end of the list. */
static int carried_in(struct session *s, const struct sk_packet *queue)
{
	struct unix_restoring *u = restoring(s);
	int r = sk_queue_make(s, queue);

	for (const struct sk_packet *p = queue; r == 0 && p; p = p->next)
		for (size_t i = 0; p->e->n_scm && i < p->e->scm[0]->n_rights; i++) {
			struct sk *c = map_get(&u->by_id, p->e->scm[0]->rights[i]);

			if (c && !c->carried) {
				c->carried = true;
				*vec_add(&u->carriers) = c;
			}
		}
	return r;
}

static int carried_by(struct session *s, struct sk *k)
{
	int r = carried_in(s, k->queue);

	for (const struct unix_pending *p = k->pending; r == 0 && p; p = p->next)
		r = carried_in(s, p->queue);
	return r;
}

/* What queues carry must exist before the other kinds end theirs. */
static int carried_make(struct session *s)
{
	struct unix_restoring *u = restoring(s);
	int r = 0;

	if (u->filled)
		return 0;
	u->filled = true;
	for (size_t i = 0; i < u->all.n; i++)
		if (u->all.v[i]->o->fd >= 0 && (u->all.v[i]->queue || u->all.v[i]->pending)) {
			u->all.v[i]->carried = true;
			*vec_add(&u->carriers) = u->all.v[i];
		}
	for (size_t i = 0; r == 0 && i < u->carriers.n; i++)
		r = carried_by(s, u->carriers.v[i]);
	return r;
}

/* No call in the task: the moment is what matters, after all tables and before any link(). */
static int unix_in_task(struct session *s, struct fd_obj *o, struct batch *b, int num)
{
	return carried_make(s);
}

/* ---- restore: connections and contents ---- */

static void async_off(struct sk *k)
{
	int flags = fcntl(k->o->fd, F_GETFL);

	if (flags >= 0 && flags & O_ASYNC) /* nobody shall get SIGIO for what we put in */
		fcntl(k->o->fd, F_SETFL, flags & ~O_ASYNC);
}

static int queue_by_stranger(struct session *s, struct sk *k)
{
	own_fd int fd = fd_high(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	int r = fd < 0 ? session_fail(s, -errno, "make a socket") : 0;

	if (r == 0)
		r = unix_name_connect(s, fd, k->o->fd, k->e);
	return r < 0 ? r : sk_queue_send(s, k->queue, fd, k->e->type);
}

/* The owner (F_SETOWN) was told of urgent data already. */
static int queue_by_peer(struct session *s, struct sk *k, int from)
{
	struct f_owner_ex owner = { 0 }, nobody = { .type = F_OWNER_PID };
	int r;

	if (fcntl(k->o->fd, F_GETOWN_EX, &owner) < 0 || (owner.pid && fcntl(k->o->fd, F_SETOWN_EX, &nobody) < 0))
		return session_fail(s, -errno, "unix socket 0x%x: set its owner", k->e->id);
	r = sk_queue_send(s, k->queue, from, k->e->type);
	if (owner.pid && fcntl(k->o->fd, F_SETOWN_EX, &owner) < 0 && r == 0)
		r = session_fail(s, -errno, "unix socket 0x%x: set its owner", k->e->id);
	return r;
}

/* Through the other end; who has none is a datagram socket with a name, to which anybody can send. */
static int link_queue(struct session *s, struct sk *k)
{
	int from = k->pair ? sk_fd(k->pair) : k->other, r, back;

	if (!k->queue)
		return 0;
	if (from >= 0)
		return queue_by_peer(s, k, from);
	if (is_extern(k->peer) && (connects(k->e->type) || !k->e->name.len)) {
		session_warn(s, "unix socket 0x%x: what its peer outside the tree had sent is not kept", k->e->id);
		return 0;
	}
	if (connects(k->e->type))
		return session_fail(s, -EBADMSG, "sk-queues.img: data for unix socket 0x%x, which is not connected",
				    k->e->id);
	r = k->e->has_ns_id ? ns_enter_net(s, k->e->ns_id) : 0;
	if (r < 0)
		return r;
	r = queue_by_stranger(s, k);
	back = k->e->has_ns_id ? ns_enter_net(s, 0) : 0;
	return r < 0 ? r : back;
}

static int link_out(struct session *s, struct sk *k)
{
	if (!may_be_outside(s, k->e->ino, k->e->peer))
		return session_fail(s, -ENOTSUP,
				    "unix socket 0x%x was connected to one outside the tree; allow it by --external unix[%u] to have it connected anew",
				    k->e->id, k->e->peer);
	return unix_name_connect_out(s, k->o->fd, k->peer->e);
}

/* A pair of datagram sockets of which one has gone elsewhere, or nowhere. */
static int link_leave(struct session *s, struct sk *k)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int r = 0, e;
	socklen_t n = sizeof(e);

	if (k->queue)
		return session_fail(s, -ENOTSUP, "unix socket 0x%x: datagrams for a socket that left its peer",
				    k->e->id);
	if (!k->peer && connect(k->o->fd, &none, sizeof(none)) < 0)
		r = session_fail(s, -errno, "unix socket 0x%x: disconnect", k->e->id);
	else if (k->peer)
		r = unix_name_connect(s, k->o->fd, sk_fd(k->peer), k->peer->e);
	getsockopt(sk_fd(k->pair), SOL_SOCKET, SO_ERROR, &e, &n); /* ECONNRESET is old news */
	return r;
}

/* One-way connections of datagram sockets, and those that nobody has accepted yet. */
static int link_connect(struct session *s, struct sk *k)
{
	struct sk *p = k->peer;
	struct unix_caller by = unix_caller_self(k->e, k->o->task);

	if (k->linked)
		return 0;
	if (is_extern(p))
		return link_out(s, k);
	if (k->pair && k->pair != p)
		return link_leave(s, k);
	if (!p || k->pair)
		return 0;
	if (sk_fd(p) < 0 && !fd_obj_get(s, p->o->id))
		return s->why_r ? s->why_r : -EIO;
	return unix_name_connect_by(s, &by, k->o->num, k->o->fd, sk_fd(p), p->e);
}

/* One that was closed before it was accepted: its last words, by whom it shows. */
static int pending_closed(struct session *s, const struct sk *k, const struct unix_pending *p)
{
	UnixSkEntry shown = UNIX_SK_ENTRY__INIT;
	struct unix_caller by;
	own_fd int fd = -1;
	int num, r;

	shown.id = k->e->id;
	shown.has_ns_id = k->e->has_ns_id;
	shown.ns_id = k->e->ns_id;
	shown.has_peer_pid = p->e->has_pid;
	shown.peer_pid = p->e->pid;
	shown.has_peer_uid = p->e->has_uid;
	shown.peer_uid = p->e->uid;
	shown.has_peer_gid = p->e->has_gid;
	shown.peer_gid = p->e->gid;
	by = unix_caller_of(s, &shown, k->o->task);
	r = unix_caller_socket(s, &by, k->e->type, &num, &fd);
	if (r == 0)
		r = unix_name_connect_by(s, &by, num, fd, k->o->fd, k->e);
	if (r == 0)
		r = sk_queue_send(s, p->queue, fd, k->e->type);
	return r < 0 ? r : unix_caller_close(s, &by, num);
}

static int pending_open(struct session *s, const struct sk *k, const struct unix_pending *p)
{
	struct sk *c = map_get(&restoring(s)->by_id, p->e->client);
	int r = 0;

	if (c->o->fd < 0 || c->o->borrowed)
		return session_fail(s, -EBADMSG, "unix-pending.img: nobody has unix socket 0x%x, which waits at 0x%x",
				    c->e->id, k->e->id);
	if (!c->linked)
		r = link_connect(s, c);
	c->linked = true;
	return r < 0 ? r : sk_queue_send(s, p->queue, c->o->fd, k->e->type);
}

/* One that could not be kept is over. Nobody else waits yet. */
static int pending_lost(struct session *s, const struct sk *k, const struct unix_pending *p)
{
	struct pollfd ask = { k->o->fd, POLLIN, 0 };
	int r = pending_open(s, k, p), fd;

	if (r < 0 || poll(&ask, 1, 0) != 1)
		return r;
	fd = accept4(k->o->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		r = session_fail(s, -errno, "unix socket 0x%x: accept a connection", k->e->id);
	fd_close(fd);
	return r;
}

/* Those who wait at a listener, in their order, with what they have sent. */
static int link_pending(struct session *s, struct sk *k)
{
	int r = k->pending && k->e->has_ns_id ? ns_enter_net(s, k->e->ns_id) : 0, back;

	if (!k->pending || r < 0)
		return r;
	for (const struct unix_pending *p = k->pending; r == 0 && p; p = p->next)
		if (p->e->lost)
			r = pending_lost(s, k, p);
	for (const struct unix_pending *p = k->pending; r == 0 && p; p = p->next)
		if (!p->e->lost)
			r = p->e->client ? pending_open(s, k, p) : pending_closed(s, k, p);
	back = k->e->has_ns_id ? ns_enter_net(s, 0) : 0;
	return r < 0 ? r : back;
}

/* Ends that nobody is to have are closed now. */
static int link_close(struct session *s, struct sk *k)
{
	fd_close(k->other);
	fd_close(k->fd);
	k->other = k->fd = -1;
	if (k->o->fd >= 0 && !k->o->borrowed && k->e->shutdown &&
	    shutdown(k->o->fd, k->e->shutdown - 1) < 0 && errno != ENOTCONN)
		return session_fail(s, -errno, "unix socket 0x%x: shut it down", k->e->id);
	return 0;
}

static int link_finish(struct session *s, struct sk *k)
{
	int flags, r;

	r = sock_opts_set(s, k->o->fd, k->e->opts);
	flags = fcntl(k->o->fd, F_GETFL);
	if (r == 0 && k->e->flags & O_ASYNC && fcntl(k->o->fd, F_SETFL, flags | O_ASYNC) < 0)
		r = session_fail(s, -errno, "unix socket 0x%x: set O_ASYNC", k->e->id);
	return r;
}

static int each_made(struct session *s, int (*fn)(struct session *s, struct sk *k))
{
	struct unix_restoring *u = restoring(s);
	int r = 0;

	for (size_t i = 0; r == 0 && i < u->all.n; i++)
		if (u->all.v[i]->o->fd >= 0 && !u->all.v[i]->o->borrowed)
			r = fn(s, u->all.v[i]);
	return r;
}

/* All at the first call, step by step, as they depend on each other. */
static int unix_link(struct session *s, struct fd_obj *o)
{
	struct unix_restoring *u = restoring(s);
	int r = 0;

	if (u->linked)
		return 0;
	u->linked = true;
	for (size_t i = 0; i < u->all.n; i++)
		if (u->all.v[i]->o->fd >= 0 && !u->all.v[i]->o->borrowed)
			async_off(u->all.v[i]);
	r = each_made(s, link_queue);
	if (r == 0)
		r = each_made(s, link_pending);
	if (r == 0)
		r = each_made(s, link_connect);
	for (size_t i = 0; r == 0 && i < u->all.n; i++)
		r = link_close(s, u->all.v[i]);
	for (size_t i = 0; i < u->temps.n; i++)
		fd_close(u->temps.v[i].fd);
	u->temps.n = 0;
	return r < 0 ? r : each_made(s, link_finish);
}

const struct fd_kind fd_kind_unix = {
	.name = "unix socket",
	.type = FD_TYPES__UNIXSK,
	.is = unix_is,
	.dump = unix_dump,
	.restore = unix_restore,
	.link = unix_link,
	.in_task = unix_in_task,
	.dump_end = unix_dump_end,
	.preflight = unix_preflight,
	.passing = unix_passing,
};
