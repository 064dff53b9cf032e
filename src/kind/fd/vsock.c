// SPDX-License-Identifier: Apache-2.0
/*
 * vsock: sockets between a virtual machine and its host (AF_VSOCK), as long as they are not connected.
 *
 * Kept:   type, address, listening, sizes of buffers, time to connect, options common to all sockets.
 * Lost:   the length of a listener's backlog, which is not shown: it is the largest. Connections, also those that wait to be
 *         accepted or are just being made, are refused: the peer is outside, and the kernel gives back no state.
 * Kernel: net/vmw_vsock/af_vsock.c. An address of another machine's is not to be had: then any is taken.
 */
#include "kind/fd.h"

#include "base/res.h"
#include "images/vsock.pb-c.h"
#include "kind/sock-opts.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <linux/vm_sockets.h>

#define BACKLOG 4096
#define CONNECT_TIMEOUT 8 /* SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW */

static int sock_int(int fd, int name)
{
	int v = 0;
	socklen_t n = sizeof(v);

	return getsockopt(fd, SOL_SOCKET, name, &v, &n) < 0 ? 0 : v;
}

static bool vsock_is(const struct fd_view *v)
{
	return S_ISSOCK(v->st.st_mode) && v->fd >= 0 && sock_int(v->fd, SO_DOMAIN) == AF_VSOCK;
}

static bool has_peer(int fd)
{
	struct sockaddr_vm a;
	socklen_t n = sizeof(a);

	return getpeername(fd, (void *)&a, &n) == 0;
}

/* Readable, or with an end: a listener's client, or what a connection has left. */
static bool has_more(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };

	return poll(&p, 1, 0) == 1 && p.revents;
}

/* One that is neither connected nor connecting could be written to, as the kernel says. */
static bool is_connecting(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return sock_int(fd, SO_TYPE) != SOCK_DGRAM && !sock_int(fd, SO_ACCEPTCONN) && poll(&p, 1, 0) == 0;
}

static int vsock_preflight(struct session *s, const struct fd_view *v)
{
	if (!has_peer(v->fd))
		return 0;
	return session_fail(s, -ENOTSUP,
			    "task %d: descriptor %d is a connection to the virtual machine's host or guests (AF_VSOCK), which the kernel does not give back; let the program close it first",
			    v->task->vpid, v->num);
}

static int vsock_passing(struct session *s, const struct fd_view *v)
{
	return has_peer(v->fd) ? -1 : has_more(v->fd) || is_connecting(v->fd);
}

static int vsock_check(struct session *s, const struct fd_view *v)
{
	int r = vsock_preflight(s, v);

	if (r < 0 || !vsock_passing(s, v))
		return r;
	return session_fail(s, -ENOTSUP,
			    "task %d: descriptor %d is a socket of AF_VSOCK with a connection that is just being made, or that has ended and was not read to its end; let the program take it first",
			    v->task->vpid, v->num);
}

static void get_u64(int fd, int name, protobuf_c_boolean *has, uint64_t *ret)
{
	socklen_t n = sizeof(*ret);

	*has = getsockopt(fd, AF_VSOCK, name, ret, &n) == 0 && n == sizeof(*ret);
}

static void note_sizes(int fd, VsockFileEntry *e)
{
	int64_t tv[2];
	socklen_t n = sizeof(tv);

	get_u64(fd, SO_VM_SOCKETS_BUFFER_MIN_SIZE, &e->has_buffer_min, &e->buffer_min);
	get_u64(fd, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &e->has_buffer_max, &e->buffer_max);
	get_u64(fd, SO_VM_SOCKETS_BUFFER_SIZE, &e->has_buffer_size, &e->buffer_size);
	e->has_connect_timeout = getsockopt(fd, AF_VSOCK, CONNECT_TIMEOUT, tv, &n) == 0 && n == sizeof(tv);
	e->connect_timeout = e->has_connect_timeout ? tv[0] * 1000000 + tv[1] : 0;
}

static int vsock_dump(struct session *s, const struct fd_view *v)
{
	VsockFileEntry e = VSOCK_FILE_ENTRY__INIT;
	SkOptsEntry o = SK_OPTS_ENTRY__INIT;
	struct sockaddr_vm a = { 0 };
	socklen_t n = sizeof(a);
	int r = vsock_check(s, v);

	if (r == 0 && getsockname(v->fd, (void *)&a, &n) < 0)
		r = session_fail(s, -errno, "task %d: descriptor %d: read its address", v->task->vpid, v->num);
	if (r == 0)
		r = sock_opts_get(s, v->fd, &o);
	e.id = v->id;
	e.flags = v->flags;
	e.fown = v->fown;
	e.opts = &o;
	e.type = sock_int(v->fd, SO_TYPE);
	e.cid = a.svm_cid;
	e.port = a.svm_port;
	e.listens = sock_int(v->fd, SO_ACCEPTCONN);
	e.has_ns_id = true;
	e.ns_id = v->net_ns_id;
	note_sizes(v->fd, &e);
	if (r == 0)
		r = fd_put(s, v, &e.base);
	sock_opts_free(&o);
	return r;
}

/* ---- restore ---- */

static void set_u64(struct session *s, int fd, uint32_t id, int name, bool has, uint64_t v)
{
	uint64_t now = 0;
	socklen_t n = sizeof(now);

	if (has && (getsockopt(fd, AF_VSOCK, name, &now, &n) < 0 || now != v) &&
	    setsockopt(fd, AF_VSOCK, name, &v, sizeof(v)) < 0)
		session_warn(s, "vsock 0x%x: option %d cannot be set: %s", id, name, strerror(errno));
}

/* Each is kept within the others: the limits come first. */
static void set_sizes(struct session *s, int fd, const VsockFileEntry *e)
{
	int64_t tv[2] = { e->connect_timeout / 1000000, e->connect_timeout % 1000000 };

	set_u64(s, fd, e->id, SO_VM_SOCKETS_BUFFER_MAX_SIZE, e->has_buffer_max, e->buffer_max);
	set_u64(s, fd, e->id, SO_VM_SOCKETS_BUFFER_MIN_SIZE, e->has_buffer_min, e->buffer_min);
	set_u64(s, fd, e->id, SO_VM_SOCKETS_BUFFER_SIZE, e->has_buffer_size, e->buffer_size);
	if (e->has_connect_timeout && setsockopt(fd, AF_VSOCK, CONNECT_TIMEOUT, tv, sizeof(tv)) < 0)
		session_warn(s, "vsock 0x%x: its time to connect cannot be set: %s", e->id, strerror(errno));
}

static int bind_it(struct session *s, int fd, const VsockFileEntry *e)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = e->cid, .svm_port = e->port };

	if (e->port == VMADDR_PORT_ANY || bind(fd, (void *)&a, sizeof(a)) == 0)
		return 0;
	a.svm_cid = VMADDR_CID_ANY;
	if (errno == EADDRNOTAVAIL && e->cid != VMADDR_CID_ANY && bind(fd, (void *)&a, sizeof(a)) == 0) {
		session_warn(s, "vsock 0x%x: this machine has not the address (CID) %u; it has any", e->id, e->cid);
		return 0;
	}
	return session_fail(s, -errno, "vsock 0x%x: bind it to port %u", e->id, e->port);
}

static int vsock_restore(struct session *s, struct fd_obj *o)
{
	const VsockFileEntry *e = o->entry->vsock;
	int r;

	if (!e || (e->type != SOCK_STREAM && e->type != SOCK_SEQPACKET && e->type != SOCK_DGRAM))
		return session_fail(s, -EBADMSG, "files.img: vsock 0x%x is damaged", o->id);
	o->fd = sock_make(s, e->has_ns_id ? e->ns_id : 0, AF_VSOCK, e->type, 0, e->opts);
	if (o->fd < 0)
		return o->fd;
	set_sizes(s, o->fd, e);
	r = sock_opts_set(s, o->fd, e->opts);
	if (r == 0)
		r = bind_it(s, o->fd, e);
	if (r == 0 && e->listens && listen(o->fd, BACKLOG) < 0)
		r = session_fail(s, -errno, "vsock 0x%x: listen", o->id);
	return r;
}

const struct fd_kind fd_kind_vsock = {
	.name = "vsock",
	.type = FD_TYPES__VSOCK,
	.is = vsock_is,
	.dump = vsock_dump,
	.restore = vsock_restore,
	.preflight = vsock_preflight,
	.passing = vsock_passing,
};
