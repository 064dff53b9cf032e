// SPDX-License-Identifier: Apache-2.0
/*
 * packet: packet sockets (AF_PACKET).
 *
 * Kept:   type, protocol, device, options, multicast memberships, fanout group, filters, rings: kind/packet-ring.c.
 * Lost:   packets that were not read yet, as on a slow reader: reported; those in rings are kept.
 * Kernel: packet(7), sock_diag (net/packet/diag.c), SIOCGSKNS.
 */
#include "kind/fd.h"

#include "base/res.h"
#include "images/packet-sock.pb-c.h"
#include "kind/mem.h"
#include "kind/net-rtnl.h"
#include "kind/ns.h"
#include "kind/packet-ring.h"
#include "kind/sock-opts.h"
#include "task/lend.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define FANOUT_TYPE(v) ((unsigned)(v) >> 16 & 0xff)
#define MCLIST_MAX 1024 /* memberships of one socket we take */

/* what the kernel says of one socket */
struct packet_note {
	ino_t ino;
	PacketSockEntry *e;
	bool found;
};

/* those that the image has no place for; 0 is what a new socket has */
static const int more_opts[] = { 19 /* PACKET_TX_HAS_OFF */, 20 /* PACKET_QDISC_BYPASS */,
				 23 /* PACKET_IGNORE_OUTGOING */, 24 /* PACKET_VNET_HDR_SZ */ };

static bool packet_is(const struct fd_view *v)
{
	int family = 0;
	socklen_t n = sizeof(family);

	return S_ISSOCK(v->st.st_mode) && v->fd >= 0 &&
	       getsockopt(v->fd, SOL_SOCKET, SO_DOMAIN, &family, &n) == 0 && family == AF_PACKET;
}

static PacketMclist *membership(const struct packet_diag_mclist *d)
{
	PacketMclist *m = xalloc(sizeof(*m));

	packet_mclist__init(m);
	m->index = d->pdmc_index;
	m->type = d->pdmc_type;
	m->addr.len = d->pdmc_alen <= sizeof(d->pdmc_addr) ? d->pdmc_alen : 0;
	m->addr.data = xmemdup(d->pdmc_addr, m->addr.len);
	return m;
}

/* One that was joined several times is left as often: it stands there as often. */
static void note_mclist(PacketSockEntry *e, const struct nlattr *a)
{
	size_t n = a ? mnl_attr_get_payload_len(a) / sizeof(struct packet_diag_mclist) : 0;
	const char *at = a ? mnl_attr_get_payload(a) : NULL;
	struct packet_diag_mclist d;

	e->mclist = n ? xalloc(MCLIST_MAX * sizeof(*e->mclist)) : NULL;
	for (size_t i = 0; i < n; i++) {
		memcpy(&d, at + i * sizeof(d), sizeof(d));
		for (uint32_t k = 0; k < d.pdmc_count && e->n_mclist < MCLIST_MAX; k++)
			e->mclist[e->n_mclist++] = membership(&d);
	}
}

static PacketRing *note_ring(const struct nlattr *a)
{
	struct packet_diag_ring d;

	if (!a || mnl_attr_get_payload_len(a) < sizeof(d))
		return NULL;
	memcpy(&d, mnl_attr_get_payload(a), sizeof(d));
	return packet_ring_geometry(&d);
}

static int note_take(const struct nlmsghdr *h, void *arg)
{
	const struct packet_diag_msg *m = h ? mnl_nlmsg_get_payload(h) : NULL;
	struct packet_note *n = arg;
	struct packet_diag_info i = { 0 };
	const struct nlattr *a;

	if (!m || mnl_nlmsg_get_payload_len(h) < sizeof(*m) || m->pdiag_ino != (uint32_t)n->ino ||
	    n->found)
		return 0;
	n->found = true;
	n->e->rx_ring = note_ring(attr_find(h, sizeof(*m), PACKET_DIAG_RX_RING));
	n->e->tx_ring = note_ring(attr_find(h, sizeof(*m), PACKET_DIAG_TX_RING));
	n->e->protocol = htons(m->pdiag_num);
	a = attr_find(h, sizeof(*m), PACKET_DIAG_INFO);
	if (a && mnl_attr_get_payload_len(a) >= sizeof(i))
		memcpy(&i, mnl_attr_get_payload(a), sizeof(i));
	n->e->ifindex = i.pdi_index;
	n->e->version = i.pdi_version;
	n->e->reserve = i.pdi_reserve;
	n->e->copy_thresh = i.pdi_copy_thresh;
	n->e->timestamp = i.pdi_tstamp;
	n->e->aux_data = i.pdi_flags & PDI_AUXDATA;
	n->e->orig_dev = i.pdi_flags & PDI_ORIGDEV;
	n->e->vnet_hdr = i.pdi_flags & PDI_VNETHDR;
	n->e->loss = i.pdi_flags & PDI_LOSS;
	n->e->has_fanout = attr_find(h, sizeof(*m), PACKET_DIAG_FANOUT) != NULL;
	note_mclist(n->e, attr_find(h, sizeof(*m), PACKET_DIAG_MCLIST));
	return 0;
}

/* A sock_diag socket in the network namespace of a socket. */
static int diag_open(int sock, struct rtnl *n)
{
	own_fd int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	own_fd int ns = ioctl(sock, SIOCGSKNS);
	int r;

	if (home < 0 || ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		return -errno;
	r = rtnl_open_bus(n, NETLINK_SOCK_DIAG);
	return setns(home, CLONE_NEWNET) < 0 ? -errno : r;
}

static int packet_note(struct session *s, const struct fd_view *v, struct packet_note *note)
{
	char buf[256] __attribute__((aligned(8)));
	own_rtnl struct rtnl n = { 0 };
	struct packet_diag_req *q;
	struct nlmsghdr *h = rtnl_begin(buf, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof(*q), &q);
	int r = diag_open(v->fd, &n);

	q->sdiag_family = AF_PACKET;
	q->pdiag_show = PACKET_SHOW_INFO | PACKET_SHOW_MCLIST | PACKET_SHOW_RING_CFG |
			PACKET_SHOW_FANOUT;
	note->ino = v->st.st_ino;
	if (r == 0)
		r = rtnl_talk(&n, h, note_take, note);
	if (r == 0 && !note->found)
		r = -ENOENT;
	return r < 0 ? session_fail(s, r, "task %d: descriptor %d: read a packet socket%s",
				    v->task->vpid, v->num, n.why)
		     : 0;
}

static void entry_free(PacketSockEntry *e)
{
	for (size_t i = 0; i < e->n_mclist; i++)
		packet_mclist__free_unpacked(e->mclist[i], NULL);
	free(e->mclist);
	for (size_t i = 0; i < e->n_other; i++)
		sk_other_opt__free_unpacked(e->other[i], NULL);
	free(e->other);
	packet_ring_free(e->rx_ring);
	packet_ring_free(e->tx_ring);
}

static int rings_note(struct session *s, const struct fd_view *v, PacketSockEntry *e)
{
	char who[80];

	snprintf(who, sizeof(who), "task %d: packet socket (descriptor %d)", v->task->vpid, v->num);
	return packet_ring_note(s, v->fd, who, e);
}

static int packet_preflight(struct session *s, const struct fd_view *v)
{
	PacketSockEntry e = PACKET_SOCK_ENTRY__INIT;
	struct packet_note note = { .e = &e };
	int r = packet_note(s, v, &note);

	if (r == 0 && e.tx_ring)
		r = rings_note(s, v, &e);
	entry_free(&e);
	return r;
}

static void note_more(int fd, PacketSockEntry *e)
{
	e->other = xalloc(ARRAY_SIZE(more_opts) * sizeof(*e->other));
	for (size_t i = 0; i < ARRAY_SIZE(more_opts); i++) {
		int v = 0;
		socklen_t n = sizeof(v);
		SkOtherOpt *o;

		if (getsockopt(fd, SOL_PACKET, more_opts[i], &v, &n) < 0 || !v)
			continue;
		o = e->other[e->n_other++] = xalloc(sizeof(*o));
		sk_other_opt__init(o);
		o->name = more_opts[i];
		o->value.len = sizeof(v);
		o->value.data = xmemdup(&v, sizeof(v));
	}
}

static int packet_fill(struct session *s, const struct fd_view *v, PacketSockEntry *e)
{
	struct packet_note note = { .e = e };
	struct pollfd p = { .fd = v->fd };
	socklen_t n = sizeof(int);
	int type = 0, fanout = 0, queued = 0, r = packet_note(s, v, &note);

	if (r < 0)
		return r;
	getsockopt(v->fd, SOL_SOCKET, SO_TYPE, &type, &n);
	n = sizeof(int);
	if (e->has_fanout && getsockopt(v->fd, SOL_PACKET, PACKET_FANOUT, &fanout, &n) < 0)
		return session_fail(s, -errno, "packet socket 0x%x: read its fanout group", v->id);
	e->fanout = (uint32_t)fanout;
	if (e->has_fanout && (FANOUT_TYPE(fanout) == PACKET_FANOUT_CBPF || FANOUT_TYPE(fanout) == PACKET_FANOUT_EBPF))
		session_warn(s, "packet socket 0x%x: the program that spreads packets over its fanout group is not kept; whoever set it (PACKET_FANOUT_DATA) must do so again",
			     v->id);
	r = rings_note(s, v, e);
	if (r < 0)
		return r;
	if (e->rx_ring || e->tx_ring)
		packet_ring_known(s, v->st.st_ino, v->id);
	note_more(v->fd, e);
	e->type = (uint32_t)type;
	e->id = v->id;
	e->flags = v->flags;
	e->has_ns_id = v->net_ns_id;
	e->ns_id = v->net_ns_id;
	if (ioctl(v->fd, SIOCINQ, &queued) == 0 && queued > 0)
		session_warn(s, "packet socket 0x%x: packets that were not read yet are lost", v->id);
	if (poll(&p, 1, 0) == 1 && p.revents & POLLERR)
		session_warn(s, "packet socket 0x%x: errors and time stamps that wait to be read (MSG_ERRQUEUE) are lost", v->id);
	return sock_opts_get(s, v->fd, e->opts);
}

static int packet_dump(struct session *s, const struct fd_view *v)
{
	PacketSockEntry e = PACKET_SOCK_ENTRY__INIT;
	SkOptsEntry opts = SK_OPTS_ENTRY__INIT;
	int r;

	e.fown = v->fown;
	e.opts = &opts;
	r = packet_fill(s, v, &e);
	if (r == 0)
		r = fd_put(s, v, &e.base);
	sock_opts_free(&opts);
	entry_free(&e);
	return r;
}

/* ---- restore ---- */

static int packet_set(struct session *s, const PacketSockEntry *e, int fd)
{
	const struct {
		int name;
		uint32_t value;
		const char *what;
	} all[] = {
		{ PACKET_VERSION, e->version, "version" },
		{ PACKET_RESERVE, e->reserve, "reserve" },
		{ PACKET_AUXDATA, e->aux_data, "auxdata" },
		{ PACKET_ORIGDEV, e->orig_dev, "origdev" },
		{ PACKET_VNET_HDR, e->vnet_hdr, "vnet_hdr" },
		{ PACKET_LOSS, e->loss, "loss" },
		{ PACKET_TIMESTAMP, e->timestamp, "timestamp" },
		{ PACKET_COPY_THRESH, e->copy_thresh, "copy_thresh" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].value && setsockopt(fd, SOL_PACKET, all[i].name, &all[i].value,
					       sizeof(all[i].value)) < 0)
			return session_fail(s, -errno, "packet socket 0x%x: set %s", e->id, all[i].what);
	for (size_t i = 0; i < ARRAY_SIZE(more_opts); i++)
		for (size_t k = 0; k < e->n_other; k++)
			if (e->other[k]->name == (uint32_t)more_opts[i] && e->other[k]->value.len == sizeof(int) &&
			    setsockopt(fd, SOL_PACKET, more_opts[i], e->other[k]->value.data, sizeof(int)) < 0)
				session_warn(s, "packet socket 0x%x: option %d cannot be set: %s", e->id,
					     more_opts[i], strerror(errno));
	return 0;
}

static int packet_join(struct session *s, const PacketSockEntry *e, int fd)
{
	for (size_t i = 0; i < e->n_mclist && i < MCLIST_MAX; i++) {
		const PacketMclist *m = e->mclist[i];
		struct {
			struct packet_mreq q;
			unsigned char more[24]; /* addresses of up to 32 bytes go beyond the structure */
		} j = { .q = { .mr_ifindex = (int)m->index, .mr_type = m->type } };

		if (m->addr.len > 32)
			return session_fail(s, -EBADMSG, "packet socket 0x%x: address of %zu bytes", e->id,
					    m->addr.len);
		j.q.mr_alen = m->addr.len;
		if (m->addr.len)
			memcpy((char *)&j + offsetof(struct packet_mreq, mr_address), m->addr.data, m->addr.len);
		if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &j, sizeof(j)) < 0)
			return session_fail(s, -errno, "packet socket 0x%x: join on device %u", e->id,
					    m->index);
	}
	return 0;
}

/* Binding starts it: it gets packets from here on. */
static int packet_bind(struct session *s, const PacketSockEntry *e, int fd)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = e->protocol,
				 .sll_ifindex = (int)e->ifindex };

	if (!e->protocol && !e->ifindex)
		return 0;
	if (e->type == SOCK_PACKET) /* was given its protocol when it was made */
		return e->ifindex ? session_fail(s, -ENOTSUP,
						 "packet socket 0x%x: of type SOCK_PACKET and bound to a device, which cannot be restored",
						 e->id)
				  : 0;
	return bind(fd, (void *)&a, sizeof(a)) < 0
		       ? session_fail(s, -errno, "packet socket 0x%x: bind to device %u", e->id, e->ifindex)
		       : 0;
}

static int packet_restore(struct session *s, struct fd_obj *o)
{
	const PacketSockEntry *e = o->entry->psk;
	int r;

	if (!e || (e->type != SOCK_RAW && e->type != SOCK_DGRAM && e->type != SOCK_PACKET) ||
	    e->protocol > 0xffff)
		return session_fail(s, -EBADMSG, "files.img: packet socket 0x%x is damaged", o->id);
	o->fd = sock_make(s, e->has_ns_id ? e->ns_id : 0, AF_PACKET, e->type,
			  e->type == SOCK_PACKET ? e->protocol : 0, e->opts);
	if (o->fd < 0)
		return o->fd;
	r = packet_set(s, e, o->fd);
	if (r == 0)
		r = packet_ring_make(s, o->fd, e);
	if (r == 0)
		r = sock_opts_set(s, o->fd, e->opts);
	if (r == 0)
		r = packet_join(s, e, o->fd);
	if (r == 0)
		r = packet_bind(s, e, o->fd);
	if (r == 0 && e->has_fanout && e->fanout != UINT32_MAX &&
	    setsockopt(o->fd, SOL_PACKET, PACKET_FANOUT, &e->fanout, sizeof(e->fanout)) < 0)
		r = session_fail(s, -errno, "packet socket 0x%x: join its fanout group", o->id);
	return r;
}

static bool is_mapped(const VmaEntry *m, const struct fd_obj *o)
{
	return m->status & VMA_SOCKET && m->shmid == o->id;
}

/* Over the memory that kept its place, which had its advice. */
static int map_into(struct session *s, struct task *k, const struct fd_obj *o)
{
	static const int advice[] = { MADV_DONTFORK, MADV_DONTDUMP };
	struct batch b;
	int num, r = lend_fd(s, task_leader(k), o->fd, &num);

	if (r < 0)
		return r;
	batch_start(s, &b, task_leader(k));
	for (size_t i = 0; r == 0 && i < k->mm->n_vmas; i++) {
		const VmaEntry *e = k->mm->vmas[i];
		uint64_t len = e->end - e->start;

		if (!is_mapped(e, o))
			continue;
		batch_call(&b, "packet socket: map its ring", SYS_mmap, e->start, len, e->prot,
			   MAP_SHARED | MAP_FIXED | (e->flags & MAP_LOCKED), num, 0);
		for (size_t j = 0; j < ARRAY_SIZE(advice); j++)
			if (e->has_madv && e->madv & 1ULL << advice[j])
				call3(&b, "packet socket: advice on its ring", SYS_madvise, e->start, len, advice[j]);
		r = batch_run(&b);
		batch_clear(&b);
	}
	call1(&b, NULL, SYS_close, num);
	return r < 0 ? r : batch_run(&b);
}

static int packet_in_task(struct session *s, struct fd_obj *o, struct batch *b, int num)
{
	const PacketSockEntry *e = o->entry->psk;
	int r = 0;

	for (size_t i = 0; r == 0 && (e->rx_ring || e->tx_ring) && i < s->tree->n; i++) {
		struct task *k = s->tree->all[i];
		bool has = false;

		for (size_t n = 0; k->state != TASK_DEAD && !k->helper && !k->mm_of && n < k->mm->n_vmas; n++)
			has = has || is_mapped(k->mm->vmas[n], o);
		if (has)
			r = map_into(s, k, o);
	}
	return r;
}

const struct fd_kind fd_kind_packet = {
	.name = "packet",
	.type = FD_TYPES__PACKETSK,
	.is = packet_is,
	.dump = packet_dump,
	.restore = packet_restore,
	.in_task = packet_in_task,
	.preflight = packet_preflight,
};
