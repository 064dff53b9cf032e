// SPDX-License-Identifier: Apache-2.0
/*
 * sock-opts: options common to all sockets, and whose they are.
 *
 * Kept:   owner and permissions (fstat(2)), buffers and their locks, timeouts, reuse, priority, low water mark, mark,
 *         passing of credentials, pidfds and rights, device, classic filter and its lock, peek offset, linger, ...
 *         And, as far as they differ from a new socket's, all others that can be read: see others[].
 * Lost:   programs that choose within a SO_REUSEPORT group (the kernel does not give them back), SO_BUSY_POLL_BUDGET,
 *         SO_INQ of unix sockets, which it does not show; eBPF filters are refused.
 * Kernel: net/core/sock.c; SO_GET_FILTER gives back the program as it was attached. net/socket.c: a socket belongs to
 *         fsuid and fsgid of its maker, or whom fchown(2) gave it to; netfilter asks for its maker (f_cred) alone.
 */
#include "kind/sock-opts.h"

#include "base/res.h"
#include "kind/ids.h"
#include "kind/lsm.h"
#include "kind/ns.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#define MODE_FRESH 0777 /* permissions of a new socket */
#define FILTER_MAX 4096 /* the kernel's BPF_MAXINSNS */

#ifndef SOCK_SNDBUF_LOCK
#define SOCK_SNDBUF_LOCK 1
#define SOCK_RCVBUF_LOCK 2
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* What images have no place of their own for. fresh: the value of a socket that was just made */
static const struct other_opt {
	int name, size;
	int64_t fresh, fresh2;
} others[] = {
	{ 29 /* SO_TIMESTAMP */, 4, 0, 0 },
	{ 35 /* SO_TIMESTAMPNS */, 4, 0, 0 },
	{ 37 /* SO_TIMESTAMPING */, 8, 0, 0 },
	{ 63 /* SO_TIMESTAMP_NEW, in place of the three above */, 4, 0, 0 },
	{ 64 /* SO_TIMESTAMPNS_NEW */, 4, 0, 0 },
	{ 65 /* SO_TIMESTAMPING_NEW */, 8, 0, 0 },
	{ 40 /* SO_RXQ_OVFL */, 4, 0, 0 },
	{ 41 /* SO_WIFI_STATUS */, 4, 0, 0 },
	{ 43 /* SO_NOFCS */, 4, 0, 0 },
	{ 45 /* SO_SELECT_ERR_QUEUE */, 4, 0, 0 },
	{ 46 /* SO_BUSY_POLL */, 4, 0, 0 },
	{ 47 /* SO_MAX_PACING_RATE */, 8, -1, -1 },
	{ 49 /* SO_INCOMING_CPU */, 4, -1, -1 },
	{ 60 /* SO_ZEROCOPY */, 4, 0, 0 },
	{ 61 /* SO_TXTIME */, 8, 0, 0 },
	{ 69 /* SO_PREFER_BUSY_POLL */, 4, 0, 0 },
	{ 73 /* SO_RESERVE_MEM */, 4, 0, 0 },
	{ 74 /* SO_TXREHASH: unset, or by the sysctl when it listens or connects */, 4, 255, 1 },
	{ 75 /* SO_RCVMARK */, 4, 0, 0 },
	{ 82 /* SO_RCVPRIORITY */, 4, 0, 0 },
};

static bool opt_get(int fd, int opt, int *ret)
{
	socklen_t n = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, opt, ret, &n) == 0;
}

static void get_u32(int fd, int opt, protobuf_c_boolean *has, uint32_t *ret)
{
	int v;

	*has = opt_get(fd, opt, &v);
	if (*has)
		*ret = v;
}

static void get_bool(int fd, int opt, protobuf_c_boolean *has, protobuf_c_boolean *ret)
{
	int v;

	*has = opt_get(fd, opt, &v);
	if (*has)
		*ret = v != 0;
}

static int get_time(struct session *s, int fd, int opt, uint64_t *sec, uint64_t *usec)
{
	struct timeval tv = { 0 };
	socklen_t n = sizeof(tv);

	if (getsockopt(fd, SOL_SOCKET, opt, &tv, &n) < 0)
		return session_fail(s, -errno, "socket: read its timeout");
	*sec = tv.tv_sec;
	*usec = tv.tv_usec;
	return 0;
}

/* An instruction is one number: code<<48 | jt<<40 | jf<<32 | k. */
static int get_filter(struct session *s, int fd, SkOptsEntry *e)
{
	own_mem struct sock_filter *f = NULL;
	socklen_t n = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &n) < 0)
		return session_fail(s, -ENOTSUP,
				    "socket: has an eBPF filter, which cannot be checkpointed yet; detach it first");
	get_bool(fd, SO_LOCK_FILTER, &e->has_so_lock_filter, &e->so_lock_filter);
	e->has_so_lock_filter = e->so_lock_filter;
	if (!n)
		return 0;
	f = xalloc(n * sizeof(*f));
	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, f, &n) < 0)
		return session_fail(s, -errno, "socket: read its filter");
	e->n_so_filter = n;
	e->so_filter = xalloc(n * sizeof(uint64_t));
	for (socklen_t i = 0; i < n; i++)
		e->so_filter[i] = (uint64_t)f[i].code << 48 | (uint64_t)f[i].jt << 40 |
				  (uint64_t)f[i].jf << 32 | f[i].k;
	return 0;
}

static void get_device(int fd, SkOptsEntry *e)
{
	char name[64] = "";
	socklen_t n = sizeof(name) - 1;

	if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &n) == 0 && n && name[0])
		e->so_bound_dev = xstrdup(name);
}

/* What only unix and netlink sockets pass; others answer with zero or an error. */
static void get_passing(int fd, SkOptsEntry *e)
{
	int family = 0;

	if (!opt_get(fd, SO_DOMAIN, &family) || (family != AF_UNIX && family != AF_NETLINK))
		return;
	get_bool(fd, SO_PASSCRED, &e->has_so_passcred, &e->so_passcred);
	get_bool(fd, SO_PASSSEC, &e->has_so_passsec, &e->so_passsec);
	get_bool(fd, SO_PASSPIDFD, &e->has_so_passpidfd, &e->so_passpidfd);
	e->has_so_passpidfd = e->has_so_passpidfd && e->so_passpidfd;
	if (family != AF_UNIX)
		return;
	get_bool(fd, SO_PASSRIGHTS, &e->has_so_passrights, &e->so_passrights);
	e->has_so_passrights = e->has_so_passrights && !e->so_passrights; /* on is the default */
}

static void get_rare(int fd, SkOptsEntry *e)
{
	struct linger l = { 0 };
	socklen_t n = sizeof(l);
	int v;

	get_u32(fd, SO_MARK, &e->has_so_mark, &e->so_mark);
	e->has_so_mark = e->so_mark != 0;
	if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &n) == 0 && l.l_onoff) {
		e->has_so_linger = true;
		e->so_linger = l.l_linger;
	}
	if (opt_get(fd, SO_PEEK_OFF, &v) && v >= 0) {
		e->has_so_peek_off = true;
		e->so_peek_off = v;
	}
}

/* The value, as it lies in memory, or false if there is none of that size. */
static bool other_read(int fd, const struct other_opt *o, int64_t *ret)
{
	int32_t v4 = 0;
	int64_t v8 = 0;
	socklen_t n = o->size;

	if (getsockopt(fd, SOL_SOCKET, o->name, n == 4 ? (void *)&v4 : &v8, &n) < 0 || n != (socklen_t)o->size)
		return false;
	*ret = n == 4 ? v4 : v8;
	return true;
}

static void get_others(int fd, SkOptsEntry *e)
{
	int64_t v;

	e->other = xalloc(ARRAY_SIZE(others) * sizeof(*e->other));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		const struct other_opt *o = &others[i];
		SkOtherOpt *to;

		if (!other_read(fd, o, &v) || v == o->fresh || v == o->fresh2)
			continue;
		to = e->other[e->n_other++] = xalloc(sizeof(*to));
		sk_other_opt__init(to);
		to->name = o->name;
		to->value.len = o->size;
		to->value.data = xmemdup(&v, sizeof(v)); /* little endian: the first 4 are the number */
	}
}

/* One of somebody whom the tasks' user namespace does not know belongs to its root afterwards. */
static void get_owner(struct session *s, int fd, SkOptsEntry *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return;
	e->uid = uid_in(s, st.st_uid);
	e->gid = gid_in(s, st.st_gid);
	e->mode = st.st_mode & 07777;
	e->has_uid = e->uid && e->uid != ID_NONE;
	e->has_gid = e->gid && e->gid != ID_NONE;
	e->has_mode = e->mode != MODE_FRESH;
}

int sock_opts_get(struct session *s, int fd, SkOptsEntry *e)
{
	int snd, rcv, r;

	if (!opt_get(fd, SO_SNDBUF, &snd) || !opt_get(fd, SO_RCVBUF, &rcv))
		return session_fail(s, -errno, "socket: read the size of its buffers");
	e->so_sndbuf = snd;
	e->so_rcvbuf = rcv;
	get_u32(fd, SO_BUF_LOCK, &e->has_so_buf_lock, &e->so_buf_lock);
	get_bool(fd, SO_REUSEADDR, &e->has_reuseaddr, &e->reuseaddr);
	get_bool(fd, SO_REUSEPORT, &e->has_so_reuseport, &e->so_reuseport);
	get_u32(fd, SO_PRIORITY, &e->has_so_priority, &e->so_priority);
	get_u32(fd, SO_RCVLOWAT, &e->has_so_rcvlowat, &e->so_rcvlowat);
	get_bool(fd, SO_DONTROUTE, &e->has_so_dontroute, &e->so_dontroute);
	get_bool(fd, SO_NO_CHECK, &e->has_so_no_check, &e->so_no_check);
	get_bool(fd, SO_BROADCAST, &e->has_so_broadcast, &e->so_broadcast);
	get_bool(fd, SO_KEEPALIVE, &e->has_so_keepalive, &e->so_keepalive);
	get_u32(fd, SO_OOBINLINE, &e->has_so_oobinline, &e->so_oobinline);
	get_passing(fd, e);
	get_rare(fd, e);
	get_device(fd, e);
	get_others(fd, e);
	get_owner(s, fd, e);
	e->label = lsm_socket_label(fd);
	r = get_time(s, fd, SO_SNDTIMEO, &e->so_snd_tmo_sec, &e->so_snd_tmo_usec);
	if (r == 0)
		r = get_time(s, fd, SO_RCVTIMEO, &e->so_rcv_tmo_sec, &e->so_rcv_tmo_usec);
	return r < 0 ? r : get_filter(s, fd, e);
}

void sock_opts_free(SkOptsEntry *e)
{
	for (size_t i = 0; i < e->n_other; i++)
		sk_other_opt__free_unpacked(e->other[i], NULL);
	free(e->other);
	e->other = NULL;
	e->n_other = 0;
	free(e->so_filter);
	free(e->so_bound_dev);
	free(e->label);
	e->label = NULL;
	e->so_filter = NULL;
	e->n_so_filter = 0;
	e->so_bound_dev = NULL;
}

/* ---- restore ---- */

/* one number: the option is set only when the socket does not have that value yet */
static int opt_set(struct session *s, int fd, bool has, int opt, int v, const char *what)
{
	int now;

	if (!has || (opt_get(fd, opt, &now) && now == v))
		return 0;
	if (setsockopt(fd, SOL_SOCKET, opt, &v, sizeof(v)) < 0)
		return session_fail(s, -errno, "socket: set its %s to %d", what, v);
	return 0;
}

/* getsockopt() says twice what was set; FORCE, as the tasks may have had more than is allowed now. */
static int set_buffer(struct session *s, int fd, int opt, int force, uint32_t size, const char *what)
{
	int now, half = size / 2;

	if (size > INT32_MAX)
		return session_fail(s, -EBADMSG, "files.img: a socket's %s of %u bytes is out of range",
				    what, size);
	if (opt_get(fd, opt, &now) && (uint32_t)now == size)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, force, &half, sizeof(half)) < 0 &&
	    setsockopt(fd, SOL_SOCKET, opt, &half, sizeof(half)) < 0)
		return session_fail(s, -errno, "socket: set its %s to %u bytes", what, size);
	return 0;
}

static int set_time(struct session *s, int fd, int opt, uint64_t sec, uint64_t usec)
{
	struct timeval tv = { .tv_sec = sec, .tv_usec = usec };

	if (sec > INT32_MAX || usec > 999999)
		return session_fail(s, -EBADMSG, "files.img: a socket's timeout is out of range");
	if ((sec || usec) && setsockopt(fd, SOL_SOCKET, opt, &tv, sizeof(tv)) < 0)
		return session_fail(s, -errno, "socket: set its timeout");
	return 0;
}

static int set_lock(struct session *s, int fd, const SkOptsEntry *e)
{
	return opt_set(s, fd, e->has_so_lock_filter, SO_LOCK_FILTER, e->so_lock_filter, "filter's lock");
}

static int set_filter(struct session *s, int fd, const SkOptsEntry *e)
{
	own_mem struct sock_filter *f = NULL;
	struct sock_fprog p = { 0 };

	if (!e->n_so_filter)
		return set_lock(s, fd, e);
	if (e->n_so_filter > FILTER_MAX)
		return session_fail(s, -EBADMSG, "files.img: a socket's filter has %zu instructions",
				    e->n_so_filter);
	f = xalloc(e->n_so_filter * sizeof(*f));
	for (size_t i = 0; i < e->n_so_filter; i++) {
		f[i].code = e->so_filter[i] >> 48;
		f[i].jt = e->so_filter[i] >> 40;
		f[i].jf = e->so_filter[i] >> 32;
		f[i].k = e->so_filter[i];
	}
	p.len = e->n_so_filter;
	p.filter = f;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p)) < 0)
		return session_fail(s, -errno, "socket: attach its filter");
	return set_lock(s, fd, e);
}

static int set_rare(struct session *s, int fd, const SkOptsEntry *e)
{
	struct linger l = { .l_onoff = 1, .l_linger = e->so_linger };

	if (e->has_so_linger && setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) < 0)
		return session_fail(s, -errno, "socket: set its SO_LINGER");
	if (e->so_bound_dev && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, e->so_bound_dev,
					  strlen(e->so_bound_dev)) < 0)
		return session_fail(s, -errno, "socket: bind it to the device %.32s", e->so_bound_dev);
	return 0;
}

/*
 * Setting a size locks it against tuning by the kernel: the locks come after the sizes. MPTCP never unlocks one: it goes on
 * to tune what it tuned.
 */
static int set_buffers(struct session *s, int fd, const SkOptsEntry *e)
{
	int protocol, r = 0;
	bool mptcp = opt_get(fd, SO_PROTOCOL, &protocol) && protocol == IPPROTO_MPTCP;

	if (!mptcp || e->so_buf_lock & SOCK_SNDBUF_LOCK)
		r = set_buffer(s, fd, SO_SNDBUF, SO_SNDBUFFORCE, e->so_sndbuf, "send buffer");
	if (r == 0 && (!mptcp || e->so_buf_lock & SOCK_RCVBUF_LOCK))
		r = set_buffer(s, fd, SO_RCVBUF, SO_RCVBUFFORCE, e->so_rcvbuf, "receive buffer");
	return r < 0 || mptcp ? r : opt_set(s, fd, e->has_so_buf_lock, SO_BUF_LOCK, e->so_buf_lock, "buffer locks");
}

/* This kernel may know less than the one of the dump: said, and no reason to give up. */
static void set_others(struct session *s, int fd, const SkOptsEntry *e)
{
	int64_t now;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		for (size_t k = 0; k < e->n_other; k++) {
			const SkOtherOpt *o = e->other[k];

			if (o->name != (uint32_t)others[i].name || o->value.len != (size_t)others[i].size ||
			    (other_read(fd, &others[i], &now) && !memcmp(&now, o->value.data, o->value.len)))
				continue;
			if (setsockopt(fd, SOL_SOCKET, others[i].name, o->value.data, o->value.len) < 0)
				session_warn(s, "socket: its option %u of SOL_SOCKET cannot be set: %s", o->name,
					     strerror(errno));
		}
}

static int owned_make(struct session *s, uint32_t net_ns_id, int family, int type, int protocol, const SkOptsEntry *e)
{
	uint32_t uid, gid;
	int fd;

	uid = uid_out(s, e && e->has_uid ? e->uid : 0);
	gid = gid_out(s, e && e->has_gid ? e->gid : 0);
	if (uid == ID_NONE || gid == ID_NONE || ids_swap(&uid, &gid) < 0) /* said by set_owner() */
		return ns_socket(s, net_ns_id, family, type, protocol);
	fd = ns_socket(s, net_ns_id, family, type, protocol);
	if (ids_swap(&uid, &gid) == 0 || fd < 0)
		return fd;
	fd_close(fd);
	return session_fail(s, -EPERM, "socket: be ourselves again");
}

int sock_make(struct session *s, uint32_t net_ns_id, int family, int type, int protocol, const SkOptsEntry *e)
{
	const char *label = e ? e->label : NULL;
	int r = label ? lsm_sockets(s, NULL, label) : 0, fd;

	if (r < 0)
		return r;
	fd = owned_make(s, net_ns_id, family, type, protocol, e);
	r = label ? lsm_sockets(s, NULL, NULL) : 0;
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	return fd;
}

static void set_owner(struct session *s, int fd, const SkOptsEntry *e)
{
	uint32_t uid = e->has_uid ? e->uid : 0, gid = e->has_gid ? e->gid : 0;
	int r = ids_give(s, fd, uid, gid);

	if (r < 0)
		session_warn(s, "socket: it cannot be given to user %u and group %u: %s", uid, gid, strerror(-r));
	if (e->has_mode && e->mode <= 07777 && fchmod(fd, e->mode) < 0)
		session_warn(s, "socket: its permissions 0%o cannot be set: %s", e->mode, strerror(errno));
}

int sock_opts_set(struct session *s, int fd, const SkOptsEntry *e)
{
	const struct {
		bool has;
		int opt, value;
		const char *what;
	} all[] = {
		{ e->has_reuseaddr, SO_REUSEADDR, e->reuseaddr, "SO_REUSEADDR" },
		{ e->has_so_reuseport, SO_REUSEPORT, e->so_reuseport, "SO_REUSEPORT" },
		{ e->has_so_priority, SO_PRIORITY, e->so_priority, "priority" },
		{ e->has_so_rcvlowat, SO_RCVLOWAT, e->so_rcvlowat, "low water mark" },
		{ e->has_so_mark, SO_MARK, e->so_mark, "mark" },
		{ e->has_so_dontroute, SO_DONTROUTE, e->so_dontroute, "SO_DONTROUTE" },
		{ e->has_so_no_check, SO_NO_CHECK, e->so_no_check, "SO_NO_CHECK" },
		{ e->has_so_broadcast, SO_BROADCAST, e->so_broadcast, "SO_BROADCAST" },
		{ e->has_so_keepalive, SO_KEEPALIVE, e->so_keepalive, "SO_KEEPALIVE" },
		{ e->has_so_oobinline, SO_OOBINLINE, e->so_oobinline, "SO_OOBINLINE" },
		{ e->so_passcred, SO_PASSCRED, 1, "SO_PASSCRED" },
		{ e->so_passsec, SO_PASSSEC, 1, "SO_PASSSEC" },
		{ e->so_passpidfd, SO_PASSPIDFD, 1, "SO_PASSPIDFD" },
		{ e->has_so_passrights, SO_PASSRIGHTS, e->so_passrights, "SO_PASSRIGHTS" },
		{ e->has_so_peek_off, SO_PEEK_OFF, e->so_peek_off, "SO_PEEK_OFF" },
	};
	int r = set_buffers(s, fd, e);

	set_owner(s, fd, e);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(all); i++)
		r = opt_set(s, fd, all[i].has, all[i].opt, all[i].value, all[i].what);
	if (r == 0)
		r = set_time(s, fd, SO_SNDTIMEO, e->so_snd_tmo_sec, e->so_snd_tmo_usec);
	if (r == 0)
		r = set_time(s, fd, SO_RCVTIMEO, e->so_rcv_tmo_sec, e->so_rcv_tmo_usec);
	if (r == 0)
		r = set_rare(s, fd, e);
	if (r == 0)
		set_others(s, fd, e);
	return r < 0 ? r : set_filter(s, fd, e);
}
