// SPDX-License-Identifier: Apache-2.0
/*
 * inet-map: see inet-map.h.
 *
 * --address-map OLD=NEW,...: a socket bound to OLD gets NEW. A connection goes on if its peer is a socket of the
 * same address (both are mapped) or of the loopback network; another peer knows OLD only: the policy decides, reset
 * if there is none.
 * --address-policy [ADDRESS[:PORT]=]keep|close|reset|rebind,...: for sockets whose address was replaced, or is not
 * there. Rebound, a connection goes on from NEW, whatever its peer knows; a socket without NEW is bound to all.
 * The most exact item counts, of those the last.
 */
#include "kind/inet-map.h"

#include "base/list.h"
#include "base/res.h"
#include "kind/ns.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#define ITEMS_MAX 65536

struct pair {
	struct in6_addr old, new; /* IPv4 as ::ffff:a.b.c.d */
};
struct policy {
	struct in6_addr addr; /* :: any */
	unsigned port;	      /* 0 any */
	enum inet_fate fate;
};
struct inet_map {
	struct {
		struct pair *v;
		size_t n, max;
	} map;
	struct {
		struct policy *v;
		size_t n, max;
	} policies;
	bool read;
};

static const char *const fates[] = { [INET_KEEP] = "keep", [INET_CLOSE] = "close", [INET_RESET] = "reset", [INET_REBIND] = "rebind" };

/* ---- reading the options ---- */

static bool addr_read(const char *text, struct in6_addr *ret)
{
	struct in_addr four;

	if (inet_pton(AF_INET6, text, ret) == 1)
		return true;
	if (inet_pton(AF_INET, text, &four) != 1)
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->s6_addr[10] = ret->s6_addr[11] = 0xff;
	memcpy(&ret->s6_addr[12], &four, 4);
	return true;
}

static int pair_read(struct session *s, char *item, void *arg)
{
	struct inet_map *m = arg;
	char *eq = strchr(item, '=');
	struct pair p;

	if (eq)
		*eq++ = 0;
	if (!eq || !addr_read(item, &p.old) || !addr_read(eq, &p.new) ||
	    IN6_IS_ADDR_V4MAPPED(&p.old) != IN6_IS_ADDR_V4MAPPED(&p.new))
		return session_fail(s, -EINVAL, "--address-map %s: give OLD=NEW, two addresses of one family", item);
	*vec_add(&m->map) = p;
	return 0;
}

/* ADDRESS, ADDRESS:PORT, [ADDRESS6]:PORT */
static bool place_read(char *text, struct policy *p)
{
	char *port = NULL, *end;

	if (*text == '[' && (end = strchr(text, ']'))) {
		text++;
		*end++ = 0;
		port = *end == ':' ? end + 1 : NULL;
		if (*end && !port)
			return false;
	} else if ((end = strchr(text, ':')) && !strchr(end + 1, ':')) {
		*end = 0;
		port = end + 1;
	}
	if (port) {
		p->port = strtoul(port, &end, 10);
		if (end == port || *end || !p->port || p->port > 65535)
			return false;
	}
	return addr_read(text, &p->addr);
}

static int policy_read(struct session *s, char *item, void *arg)
{
	struct inet_map *m = arg;
	own_mem char *copy = xstrdup(item);
	char *eq = strchr(copy, '='), *word = eq ? eq + 1 : copy;
	struct policy p = { .fate = INET_KEEP };
	size_t i = 0;

	while (i < ARRAY_SIZE(fates) && strcmp(word, fates[i]))
		i++;
	if (eq)
		*eq = 0;
	if (i == ARRAY_SIZE(fates) || (eq && !place_read(copy, &p)))
		return session_fail(s, -EINVAL,
				    "--address-policy %s: give keep, close, reset or rebind, with ADDRESS= or ADDRESS:PORT= before it for some sockets",
				    item);
	p.fate = i;
	*vec_add(&m->policies) = p;
	return 0;
}

static int items_read(struct session *s, char **v, size_t n, struct inet_map *m,
		      int (*fn)(struct session *s, char *item, void *arg))
{
	for (size_t i = 0; i < n; i++) {
		own_mem char *list = xstrdup(v[i]);
		char *save = NULL;

		for (char *w = strtok_r(list, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
			int r = m->map.n + m->policies.n < ITEMS_MAX
					? fn(s, w, m)
					: session_fail(s, -E2BIG, "--address-map: has more than %d items", ITEMS_MAX);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int map_get_read(struct session *s, struct inet_map **ret)
{
	struct map *at = session_map(s, "inet map");
	struct inet_map *m = map_get(at, 0);
	int r = 0;

	if (!m) {
		m = xalloc(sizeof(*m));
		map_put(at, 0, m);
	}
	if (!m->read) {
		m->read = true;
		r = items_read(s, s->opts->address_map, s->opts->n_address_map, m, pair_read);
		if (r == 0)
			r = items_read(s, s->opts->address_policy, s->opts->n_address_policy, m, policy_read);
	}
	*ret = m;
	return r;
}

/* ---- addresses of images ---- */

static void words_get(const uint32_t *w, size_t n, struct in6_addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (n >= 4) {
		memcpy(ret, w, 16);
	} else if (n == 1) {
		ret->s6_addr[10] = ret->s6_addr[11] = 0xff;
		memcpy(&ret->s6_addr[12], w, 4);
	}
}

static bool map_words(const struct inet_map *m, uint32_t *w, size_t n)
{
	struct in6_addr a;

	words_get(w, n, &a);
	for (size_t i = 0; i < m->map.n; i++) {
		if (!IN6_ARE_ADDR_EQUAL(&a, &m->map.v[i].old))
			continue;
		if (n >= 4)
			memcpy(w, &m->map.v[i].new, 16);
		else
			memcpy(w, &m->map.v[i].new.s6_addr[12], 4);
		return true;
	}
	return false;
}

int inet_map_words(struct session *s, uint32_t *words, size_t n, bool *ret)
{
	struct inet_map *m;
	int r = map_get_read(s, &m);

	*ret = r == 0 && n && map_words(m, words, n);
	return r;
}

static bool is_any(const struct in6_addr *a)
{
	return IN6_IS_ADDR_UNSPECIFIED(a) || (IN6_IS_ADDR_V4MAPPED(a) && !a->s6_addr32[3]);
}

static bool is_loopback(const uint32_t *w, size_t n)
{
	struct in6_addr a;

	words_get(w, n, &a);
	return IN6_IS_ADDR_LOOPBACK(&a) || (IN6_IS_ADDR_V4MAPPED(&a) && a.s6_addr[12] == 127);
}

/* The most exact policy for an address and port; false: none. */
static bool policy_find(const struct inet_map *m, const struct in6_addr *a, unsigned port, enum inet_fate *ret)
{
	int best = -1;

	for (size_t i = 0; i < m->policies.n; i++) {
		const struct policy *p = &m->policies.v[i];
		bool any = IN6_IS_ADDR_UNSPECIFIED(&p->addr);
		int weight = !any + (p->port != 0);

		if ((!any && !IN6_ARE_ADDR_EQUAL(&p->addr, a)) || (p->port && p->port != port) || weight < best)
			continue;
		best = weight;
		*ret = p->fate;
	}
	return best >= 0;
}

bool inet_map_kept(struct session *s, const uint32_t *words, size_t n, unsigned port)
{
	enum inet_fate fate = INET_RESET;
	uint32_t copy[4] = { 0 };
	struct in6_addr a;
	struct inet_map *m;

	if (map_get_read(s, &m) < 0 || n > ARRAY_SIZE(copy))
		return false;
	memcpy(copy, words, n * sizeof(*copy));
	words_get(copy, n, &a);
	return map_words(m, copy, n) && policy_find(m, &a, port, &fate) && fate == INET_KEEP;
}

static bool in_network(const struct in6_addr *a, const struct in6_addr *net, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	return !memcmp(a, net, bytes) && (!rest || !((a->s6_addr[bytes] ^ net->s6_addr[bytes]) >> (8 - rest)));
}

bool inet_map_moves(struct session *s, const uint32_t *words, size_t n, unsigned bits, bool old)
{
	struct in6_addr net;
	struct inet_map *m;

	if (map_get_read(s, &m) < 0 || bits > n * 32 || n > 4)
		return false;
	words_get(words, n, &net);
	bits += n == 1 ? 96 : 0;
	for (size_t i = 0; i < m->map.n; i++) {
		const struct pair *p = &m->map.v[i];

		if (in_network(old ? &p->old : &p->new, &net, bits) && !in_network(old ? &p->new : &p->old, &net, bits))
			return true;
	}
	return false;
}

/* Is the address one of the socket's network namespace? Asked by binding a socket to any port of it. */
static int addr_is_here(struct session *s, const InetSkEntry *e, const struct in6_addr *a)
{
	own_fd int fd = ns_socket(s, e->has_ns_id ? e->ns_id : 0, e->family, SOCK_DGRAM, 0);
	struct sockaddr_in a4 = { .sin_family = AF_INET };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_addr = *a };

	if (fd < 0)
		return fd;
	memcpy(&a4.sin_addr, &a->s6_addr[12], 4);
	if ((e->family == AF_INET ? bind(fd, (void *)&a4, sizeof(a4)) : bind(fd, (void *)&a6, sizeof(a6))) == 0)
		return 1;
	/* a scoped one cannot be asked for so: left to the bind() that follows */
	return errno != EADDRNOTAVAIL;
}

static void fate_put(struct session *s, const InetSkEntry *e, enum inet_fate fate)
{
	map_put(session_map(s, "inet fate"), e->id, (void *)(uintptr_t)(fate + 1));
	session_debug(s, "socket 0x%x: port %u: its address is another or gone: %s", e->id, e->src_port, fates[fate]);
}

enum inet_fate inet_fate_of(struct session *s, uint32_t id)
{
	uintptr_t v = (uintptr_t)map_get(session_map(s, "inet fate"), id);

	return v ? v - 1 : INET_KEEP;
}

/* The old address is gone; a connection to somebody who knows only that one. */
static void map_connection(struct session *s, const struct inet_map *m, InetSkEntry *e, const struct in6_addr *old,
			   uint32_t *was)
{
	enum inet_fate fate = INET_RESET;

	policy_find(m, old, e->src_port, &fate);
	if (fate == INET_REBIND)
		return; /* its peer is told of the new address, too, or sees another anyway */
	if (fate == INET_KEEP)
		memcpy(e->src_addr, was, e->n_src_addr * sizeof(*was));
	fate_put(s, e, fate);
}

int inet_map_apply(struct session *s, InetSkEntry *e, bool connection)
{
	struct inet_map *m;
	struct in6_addr old, now;
	uint32_t was[4] = { 0 };
	enum inet_fate fate = INET_KEEP;
	bool mine, theirs;
	int r = map_get_read(s, &m), here;

	if (r < 0 || !e->n_src_addr || e->n_src_addr > 4 || (!m->map.n && !m->policies.n))
		return r;
	memcpy(was, e->src_addr, e->n_src_addr * sizeof(*was));
	words_get(e->src_addr, e->n_src_addr, &old);
	mine = map_words(m, e->src_addr, e->n_src_addr);
	theirs = e->dst_port && e->n_dst_addr && map_words(m, e->dst_addr, e->n_dst_addr);
	if (mine && connection && !theirs && !is_loopback(e->dst_addr, e->n_dst_addr)) {
		map_connection(s, m, e, &old, was);
		return 0;
	}
	words_get(e->src_addr, e->n_src_addr, &now);
	if (is_any(&now) || !policy_find(m, &old, e->src_port, &fate))
		return 0;
	here = addr_is_here(s, e, &now);
	if (here == 0 && fate == INET_REBIND && !connection)
		memset(e->src_addr + (IN6_IS_ADDR_V4MAPPED(&now) && e->n_src_addr == 4 ? 3 : 0), 0,
		       (IN6_IS_ADDR_V4MAPPED(&now) ? 1 : 4) * sizeof(*e->src_addr));
	else if (here == 0)
		fate_put(s, e, fate == INET_REBIND ? INET_RESET : fate);
	return here < 0 ? here : 0;
}

/* ---- sockets ---- */

bool inet_gone(struct session *s, uint32_t id)
{
	return inet_fate_of(s, id) != INET_KEEP;
}

/* Only a transparent socket may also connect from an address that is not there. */
static int transparent(int fd, const InetSkEntry *e, int on)
{
	return e->family == AF_INET ? setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on))
				    : setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on));
}

bool inet_borrow(struct session *s, int fd, const InetSkEntry *e)
{
	int level = e->family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, on = 0;
	int opt = e->family == AF_INET ? IP_TRANSPARENT : IPV6_TRANSPARENT;
	socklen_t n = sizeof(on);

	if (!map_get(session_map(s, "inet fate"), e->id) || inet_gone(s, e->id) ||
	    getsockopt(fd, level, opt, &on, &n) < 0 || on)
		return false;
	return transparent(fd, e, 1) == 0;
}

void inet_return(int fd, const InetSkEntry *e)
{
	transparent(fd, e, 0);
}

/*
 * ECONNRESET: a connection that exists in repair mode only, to lo where nobody listens, is given up. The packet
 * that says so answers nothing.
 */
static int reset_leave(int fd, const InetSkEntry *e)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = in6addr_loopback };
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int on = TCP_REPAIR_ON, off = TCP_REPAIR_OFF_NO_WP, r = 0;

	if (e->n_src_addr == 4 && IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)e->src_addr)) {
		memset(&a6.sin6_addr, 0, sizeof(a6.sin6_addr));
		a6.sin6_addr.s6_addr[10] = a6.sin6_addr.s6_addr[11] = 0xff;
		memcpy(&a6.sin6_addr.s6_addr[12], &a4.sin_addr, 4);
	}
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0)
		return -errno;
	if ((e->family == AF_INET ? connect(fd, (void *)&a4, sizeof(a4)) : connect(fd, (void *)&a6, sizeof(a6))) < 0)
		r = -errno;
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)) < 0 && r == 0)
		r = -errno;
	if (r == 0 && connect(fd, &none, sizeof(none)) < 0)
		r = -errno;
	return r;
}

int inet_shut(struct session *s, int fd, const InetSkEntry *e)
{
	int r = 0;

	if (e->type == SOCK_STREAM && e->dst_port && inet_fate_of(s, e->id) == INET_RESET)
		r = reset_leave(fd, e);
	if (r < 0)
		session_warn(s, "socket 0x%x: is closed, but without ECONNRESET: %s", e->id, strerror(-r));
	if (shutdown(fd, SHUT_RDWR) < 0 && errno != ENOTCONN)
		return session_fail(s, -errno, "socket 0x%x: close it", e->id);
	return 0;
}
