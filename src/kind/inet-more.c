// SPDX-License-Identifier: Apache-2.0
/*
 * inet-more: what a socket has beside numbers.
 *
 * Kept:   IP options, headers of IPv6 that go with every packet, memberships in multicast groups with the
 *         senders they are limited to, MD5 keys of TCP.
 * Lost:   memberships in anycast groups, flow labels (the option to send them is kept), IPsec policies, MD5 keys of a
 *         socket that is neither connected nor listens: the kernel shows none of them. IPV6_PKTINFO as an option,
 *         which it shows of TCP only, and not beside IPV6_MULTICAST_IF.
 * Kernel: no list of a socket's groups; but it answers MCAST_MSFILTER for those that it is in, and
 *         /proc/net/igmp, igmp6 tell all that there are. Keys: sock_diag (INET_DIAG_MD5SIG).
 */
#include "kind/inet-more.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/inet-diag.h"
#include "kind/ns.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define BYTES_MAX 2048 /* of one option */
#define GROUPS_MAX 4096
#define SOURCES_MAX 512 /* of one group: the sysctl igmp_max_msf is 10 */
#define KEYS_MAX 4096

static const struct bytes_opt {
	int level, name;
} bytes_opts[] = {
	{ IPPROTO_IP, 4 /* IP_OPTIONS */ },
	{ IPPROTO_IPV6, 54 /* IPV6_HOPOPTS */ },
	{ IPPROTO_IPV6, 57 /* IPV6_RTHDR */ },
	{ IPPROTO_IPV6, 55 /* IPV6_RTHDRDSTOPTS: needs a routing header */ },
	{ IPPROTO_IPV6, 59 /* IPV6_DSTOPTS */ },
	{ IPPROTO_IPV6, 50 /* IPV6_PKTINFO: see get_sender() */ },
	{ IPPROTO_TCP, 33 /* TCP_FASTOPEN_KEY: a new socket has the namespace's */ },
};

/* ---- dump ---- */

/*
 * What was set by IPV6_PKTINFO, which only IPV6_2292PKTOPTIONS shows, beside what else the socket asks to receive: asked for
 * meanwhile.
 */
static int get_sender(int fd, void *buf, socklen_t *len)
{
	static const struct in6_pktinfo none;
	char room[1024] __attribute__((aligned(8)));
	struct msghdr m = { .msg_control = room };
	int asked = 0, v = 1, r;
	socklen_t n = sizeof(asked), all = sizeof(room);

	if (getsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &v, &n) < 0 || v ||
	    getsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &asked, &n) < 0)
		return -1;
	if (!asked)
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &(int){ 1 }, sizeof(int));
	r = getsockopt(fd, IPPROTO_IPV6, IPV6_2292PKTOPTIONS, room, &all);
	if (!asked)
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &asked, sizeof(asked));
	m.msg_controllen = r < 0 ? 0 : all;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO && memcmp(CMSG_DATA(c), &none, sizeof(none))) {
			memcpy(buf, CMSG_DATA(c), *len = sizeof(none));
			return 0;
		}
	return -1;
}

static int get_option(int fd, const struct bytes_opt *o, void *buf, socklen_t *len)
{
	if (o->level == IPPROTO_IPV6 && o->name == IPV6_PKTINFO)
		return get_sender(fd, buf, len);
	return getsockopt(fd, o->level, o->name, buf, len);
}

/* Has a new socket the same? */
static bool is_fresh(struct session *s, const InetSkEntry *e, const struct bytes_opt *o, const void *p, size_t n)
{
	own_fd int fresh = o->level == IPPROTO_TCP ? ns_socket(s, e->ns_id, e->family, e->type, e->proto) : -1;
	unsigned char buf[BYTES_MAX];
	socklen_t m = sizeof(buf);

	return fresh >= 0 && getsockopt(fresh, o->level, o->name, buf, &m) == 0 && m == n && !memcmp(buf, p, n);
}

static void get_bytes(struct session *s, int fd, InetSkEntry *e)
{
	e->bytes = xalloc(ARRAY_SIZE(bytes_opts) * sizeof(*e->bytes));
	for (size_t i = 0; i < ARRAY_SIZE(bytes_opts); i++) {
		unsigned char buf[BYTES_MAX];
		socklen_t n = sizeof(buf);
		InetBytesOpt *o;

		if ((bytes_opts[i].level == IPPROTO_IPV6 && e->family == AF_INET) ||
		    ((bytes_opts[i].level == IPPROTO_TCP || bytes_opts[i].name == IPV6_PKTINFO) && e->type != SOCK_STREAM) ||
		    get_option(fd, &bytes_opts[i], buf, &n) < 0 || !n ||
		    is_fresh(s, e, &bytes_opts[i], buf, n))
			continue;
		o = e->bytes[e->n_bytes++] = xalloc(sizeof(*o));
		inet_bytes_opt__init(o);
		o->level = bytes_opts[i].level;
		o->name = bytes_opts[i].name;
		o->value.len = n;
		o->value.data = xmemdup(buf, n);
	}
}

static socklen_t group_address(struct sockaddr_storage *a, const void *addr, size_t n)
{
	memset(a, 0, sizeof(*a));
	a->ss_family = n == 4 ? AF_INET : AF_INET6;
	memcpy(n == 4 ? (void *)&((struct sockaddr_in *)a)->sin_addr :
			(void *)&((struct sockaddr_in6 *)a)->sin6_addr,
	       addr, n);
	return n == 4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static const void *address_of(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET ? (const void *)&((const struct sockaddr_in *)a)->sin_addr :
					 (const void *)&((const struct sockaddr_in6 *)a)->sin6_addr;
}

/* Is it in that group? Then it becomes one of the entry's. */
static void get_group(int fd, uint32_t ifindex, const void *addr, size_t n, InetSkEntry *e)
{
	own_mem struct group_filter *f = xalloc(GROUP_FILTER_SIZE(SOURCES_MAX));
	socklen_t len = GROUP_FILTER_SIZE(SOURCES_MAX);
	InetGroup *g;

	f->gf_interface = ifindex;
	f->gf_numsrc = SOURCES_MAX;
	group_address(&f->gf_group, addr, n);
	if (e->n_groups >= GROUPS_MAX ||
	    getsockopt(fd, n == 4 ? IPPROTO_IP : IPPROTO_IPV6, MCAST_MSFILTER, f, &len) < 0)
		return;
	g = xalloc(sizeof(*g));
	inet_group__init(g);
	g->ifindex = ifindex;
	g->group.len = n;
	g->group.data = xmemdup(addr, n);
	g->exclude = f->gf_fmode == MCAST_EXCLUDE;
	g->source = xalloc((f->gf_numsrc + 1) * sizeof(*g->source));
	for (uint32_t i = 0; i < f->gf_numsrc && i < SOURCES_MAX; i++) {
		g->source[g->n_source].len = n;
		g->source[g->n_source++].data = xmemdup(address_of(&f->gf_slist[i]), n);
	}
	e->groups = realloc(e->groups, (e->n_groups + 1) * sizeof(*e->groups));
	assert(e->groups);
	e->groups[e->n_groups++] = g;
}

/* The file of the socket's network namespace, which maybe no task is in, read once. */
static const char *groups_text(struct session *s, const struct fd_view *v, const char *file)
{
	struct map *m = session_map(s, file);
	const struct ns *ns = ns_find(s, v->net_ns_id);
	const struct task *k = ns && ns->task ? ns->task : v->task;
	bool held = ns && ns->own && !ns->task;
	own_mem char *path = xprintf("%snet/%s", held ? "thread-self/" : "", file);
	uint64_t key = v->net_ns_id + 1;
	char *text = map_get(m, key);

	if (text)
		return text;
	if ((held && ns_enter_net(s, ns->id) < 0) || text_read(held ? ns_proc(s) : k->proc, path, &text, NULL) < 0)
		text = xstrdup("");
	if (held)
		ns_enter_net(s, 0);
	map_put(m, key, text);
	return text;
}

/* Source: a line "INDEX DEVICE : ..." and beneath it a line for every group, "\t\t\t\tE00000FB ...". */
static void get_groups4(struct session *s, const struct fd_view *v, InetSkEntry *e)
{
	unsigned ifindex = 0, word;

	for (const char *p = groups_text(s, v, "igmp"); p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		uint32_t addr;

		if (p[0] != '\t') {
			ifindex = strtoul(p, NULL, 10);
		} else if (sscanf(p, " %8x", &word) == 1) {
			addr = word;
			get_group(v->fd, ifindex, &addr, 4, e);
		}
	}
}

/* Source: a line "INDEX DEVICE ff02...01 USERS FLAGS TIMER" for every group. */
static void get_groups6(struct session *s, const struct fd_view *v, InetSkEntry *e)
{
	for (const char *p = groups_text(s, v, "igmp6"); p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		unsigned ifindex, byte;
		unsigned char addr[16];
		char hex[33] = "";
		size_t i = 0;

		if (sscanf(p, "%u %*s %32s", &ifindex, hex) != 2)
			continue;
		for (; i < 16 && sscanf(hex + 2 * i, "%2x", &byte) == 1; i++)
			addr[i] = byte;
		if (i == 16)
			get_group(v->fd, ifindex, addr, 16, e);
	}
}

static void get_keys(struct session *s, InetSkEntry *e)
{
	const struct inet_tcp_seen *k = e->proto == IPPROTO_TCP ? inet_diag_tcp(s, e) : NULL;

	if (!k || !k->n)
		return;
	e->md5 = xalloc(k->n * sizeof(*e->md5));
	for (size_t i = 0; i < k->n; i++) {
		TcpMd5Key *to = e->md5[e->n_md5++] = xalloc(sizeof(*to));

		tcp_md5_key__init(to);
		to->addr.len = k->keys[i].family == AF_INET ? 4 : 16;
		to->addr.data = xmemdup(k->keys[i].addr, to->addr.len);
		to->prefix = k->keys[i].prefix;
		to->key.len = k->keys[i].len <= sizeof(k->keys[i].key) ? k->keys[i].len : 0;
		to->key.data = xmemdup(k->keys[i].key, to->key.len);
	}
}

void inet_more_get(struct session *s, const struct fd_view *v, InetSkEntry *e)
{
	get_bytes(s, v->fd, e);
	if (e->type == SOCK_STREAM) {
		get_keys(s, e);
		return;
	}
	get_groups4(s, v, e);
	if (e->family == AF_INET6)
		get_groups6(s, v, e);
}

void inet_more_free(InetSkEntry *e)
{
	for (size_t i = 0; i < e->n_bytes; i++)
		inet_bytes_opt__free_unpacked(e->bytes[i], NULL);
	for (size_t i = 0; i < e->n_groups; i++)
		inet_group__free_unpacked(e->groups[i], NULL);
	for (size_t i = 0; i < e->n_md5; i++)
		tcp_md5_key__free_unpacked(e->md5[i], NULL);
	free(e->bytes);
	free(e->groups);
	free(e->md5);
	e->n_bytes = e->n_groups = e->n_md5 = 0;
}

/* ---- restore ---- */

static void set_bytes(struct session *s, int fd, const InetSkEntry *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(bytes_opts); i++)
		for (size_t k = 0; k < e->n_bytes; k++) {
			const InetBytesOpt *o = e->bytes[k];

			if (o->level != (uint32_t)bytes_opts[i].level || o->name != (uint32_t)bytes_opts[i].name ||
			    o->value.len > BYTES_MAX)
				continue;
			if (setsockopt(fd, o->level, o->name, o->value.data, o->value.len) < 0)
				session_warn(s, "socket 0x%x: option %u of level %u cannot be set: %s", e->id,
					     o->name, o->level, strerror(errno));
		}
}

static int group_join(int fd, const InetGroup *g)
{
	int level = g->group.len == 4 ? IPPROTO_IP : IPPROTO_IPV6;
	struct group_req q = { .gr_interface = g->ifindex };
	own_mem struct group_filter *f = NULL;

	if ((g->group.len != 4 && g->group.len != 16) || g->n_source > SOURCES_MAX)
		return -EBADMSG;
	group_address(&q.gr_group, g->group.data, g->group.len);
	if (setsockopt(fd, level, MCAST_JOIN_GROUP, &q, sizeof(q)) < 0)
		return -errno;
	if (g->exclude && !g->n_source)
		return 0;
	f = xalloc(GROUP_FILTER_SIZE(g->n_source + 1));
	f->gf_interface = g->ifindex;
	f->gf_group = q.gr_group;
	f->gf_fmode = g->exclude ? MCAST_EXCLUDE : MCAST_INCLUDE;
	for (size_t i = 0; i < g->n_source; i++) {
		if (g->source[i].len != g->group.len)
			return -EBADMSG;
		group_address(&f->gf_slist[f->gf_numsrc++], g->source[i].data, g->group.len);
	}
	return setsockopt(fd, level, MCAST_MSFILTER, f, GROUP_FILTER_SIZE(f->gf_numsrc)) < 0 ? -errno : 0;
}

void inet_more_set(struct session *s, int fd, const InetSkEntry *e)
{
	set_bytes(s, fd, e);
	for (size_t i = 0; i < e->n_groups && i < GROUPS_MAX; i++) {
		int r = group_join(fd, e->groups[i]);

		if (r < 0)
			session_warn(s, "socket 0x%x (port %u): cannot join a multicast group on device %u: %s",
				     e->id, e->src_port, e->groups[i]->ifindex, strerror(-r));
	}
}

int inet_more_keys(struct session *s, int fd, const InetSkEntry *e)
{
	for (size_t i = 0; i < e->n_md5 && i < KEYS_MAX; i++) {
		const TcpMd5Key *k = e->md5[i];
		struct tcp_md5sig sig = { .tcpm_flags = TCP_MD5SIG_FLAG_PREFIX };

		if ((k->addr.len != 4 && k->addr.len != 16) || k->key.len > sizeof(sig.tcpm_key) ||
		    k->prefix > 8 * k->addr.len)
			return session_fail(s, -EBADMSG, "files.img: socket 0x%x: an MD5 key is damaged", e->id);
		group_address((struct sockaddr_storage *)&sig.tcpm_addr, k->addr.data, k->addr.len);
		if (k->addr.len == 4 && e->family == AF_INET6) { /* the kernel wants it as ::ffff:a.b.c.d */
			unsigned char a[16] = { [10] = 0xff, [11] = 0xff };

			memcpy(a + 12, k->addr.data, 4);
			group_address((struct sockaddr_storage *)&sig.tcpm_addr, a, 16);
		}
		sig.tcpm_prefixlen = k->prefix;
		sig.tcpm_keylen = k->key.len;
		memcpy(sig.tcpm_key, k->key.data, k->key.len);
		if (setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, &sig, sizeof(sig)) < 0)
			return session_fail(s, -errno, "socket 0x%x (port %u): set its MD5 key", e->id,
					    e->src_port);
	}
	return 0;
}
