// SPDX-License-Identifier: Apache-2.0
/*
 * sockopts: finds every option that a socket lets set and read back, has a socket of each kind for each of
 * them, and compares all their options when it gets SIGTERM.
 * Usage: sockopts all DIR. DIR/ready appears when all is set up; DIR/verdict says OK or what has changed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { LONE, LISTEN, CONNECTED };
enum { IP = 1000 }; /* SOL_IP, which is 0 */

static const struct kind {
	const char *name;
	int family, type, protocol, how;
	int levels[4]; /* beside SOL_SOCKET */
} kinds[] = {
	{ "tcp4", AF_INET, SOCK_STREAM, 0, LONE, { IP, SOL_TCP } },
	{ "tcp6", AF_INET6, SOCK_STREAM, 0, LONE, { IP, SOL_TCP, SOL_IPV6 } },
	{ "listen4", AF_INET, SOCK_STREAM, 0, LISTEN, { IP, SOL_TCP } },
	{ "connected4", AF_INET, SOCK_STREAM, 0, CONNECTED, { IP, SOL_TCP } },
	{ "connected6", AF_INET6, SOCK_STREAM, 0, CONNECTED, { IP, SOL_TCP, SOL_IPV6 } },
	{ "udp4", AF_INET, SOCK_DGRAM, 0, LONE, { IP, IPPROTO_UDP } },
	{ "udp6", AF_INET6, SOCK_DGRAM, 0, LONE, { IP, IPPROTO_UDP, SOL_IPV6 } },
	{ "udplite4", AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE, LONE, { IP, IPPROTO_UDPLITE } },
	{ "udplite6", AF_INET6, SOCK_DGRAM, IPPROTO_UDPLITE, LONE, { SOL_IPV6, IPPROTO_UDPLITE } },
	{ "ping4", AF_INET, SOCK_DGRAM, IPPROTO_ICMP, LONE, { IP } },
	{ "ping6", AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6, LONE, { SOL_IPV6 } },
	{ "raw4", AF_INET, SOCK_RAW, 89, LONE, { IP, SOL_RAW } },
	{ "raw6", AF_INET6, SOCK_RAW, 89, LONE, { SOL_IPV6, SOL_RAW } },
	{ "icmp4", AF_INET, SOCK_RAW, IPPROTO_ICMP, LONE, { IP, SOL_RAW } },
	{ "icmp6", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6, LONE, { SOL_IPV6, SOL_RAW, SOL_ICMPV6 } },
	{ "mptcp4", AF_INET, SOCK_STREAM, 262, LONE, { IP, SOL_TCP } },
	{ "mptcp6", AF_INET6, SOCK_STREAM, 262, LISTEN, { IP, SOL_TCP, SOL_IPV6 } },
	{ "unix stream", AF_UNIX, SOCK_STREAM, 0, LONE, { 0 } },
	{ "unix dgram", AF_UNIX, SOCK_DGRAM, 0, LONE, { 0 } },
	{ "unix seqpacket", AF_UNIX, SOCK_SEQPACKET, 0, LONE, { 0 } },
	{ "netlink", AF_NETLINK, SOCK_RAW, 0, LONE, { SOL_NETLINK } },
	{ "packet", AF_PACKET, SOCK_RAW, 0, LONE, { SOL_PACKET } },
};

enum { NAMES = 130, BYTES = 40 };

/* what one socket says to every option */
struct view {
	short len[5][NAMES];
	unsigned char v[5][NAMES][BYTES];
};

static struct sock {
	const struct kind *kind;
	int fd, level, name;
	struct view *was;
} socks[2000];
static int n_socks;
static char wrong[60000];

static int level_of(const struct kind *k, int i)
{
	if (!i)
		return SOL_SOCKET;
	return k->levels[i - 1] == IP ? SOL_IP : k->levels[i - 1] ? k->levels[i - 1] : -1;
}

/* tells what passes by, or does not belong to the socket */
static bool is_passing(const struct kind *k, int level, int name)
{
	if (level == SOL_SOCKET)
		return name == 55 /* SO_MEMINFO */ || name == 56 || name == 57 /* SO_COOKIE */ ||
		       name == 71 /* SO_NETNS_COOKIE */ || name == 77 /* SO_PEERPIDFD */ || name == SO_ERROR ||
		       name == SO_DEBUG || (k->how == CONNECTED && name == 49 /* SO_INCOMING_CPU: the last packet's */);
	if (level == SOL_TCP)
		return name == TCP_INFO || name == TCP_QUICKACK || (name >= 19 && name <= 22) /* repair */ ||
		       name == TCP_CC_INFO || name == 24 /* timestamp */ || name == TCP_REPAIR_WINDOW || name == 35 ||
		       (k->how == CONNECTED && (name == TCP_MAXSEG || name == TCP_WINDOW_CLAMP));
	if (level == SOL_IP) /* what an accepted one has of the packet; multicast routing */
		return name == IP_MTU || (k->how == CONNECTED && name >= 32 && name <= 49);
	if (level == SOL_IPV6)
		return name == IPV6_MTU || name == 1 /* ADDRFORM */ || name == 61 || /* PATHMTU */
		       (k->how == CONNECTED && (name == 17 || name == 29 || name == IPV6_V6ONLY /* as it was bound */));
	if (level == IPPROTO_UDP || level == IPPROTO_UDPLITE)
		return name == 1; /* UDP_CORK: refused */
	if (level == SOL_PACKET)
		return name == PACKET_STATISTICS || name == PACKET_HDRLEN || name == PACKET_FANOUT || name == 21;
	return false;
}

static struct view *look(const struct sock *s)
{
	struct view *v = calloc(1, sizeof(*v));

	for (int i = 0; i < 5 && level_of(s->kind, i) >= 0; i++)
		for (int n = 0; n < NAMES; n++) {
			socklen_t len = BYTES;

			v->len[i][n] = -1;
			if (!is_passing(s->kind, level_of(s->kind, i), n) &&
			    getsockopt(s->fd, level_of(s->kind, i), n, v->v[i][n], &len) == 0)
				v->len[i][n] = len > BYTES ? BYTES : len;
		}
	return v;
}

static void differ(const struct sock *s, const struct view *now)
{
	for (int i = 0; i < 5 && level_of(s->kind, i) >= 0; i++)
		for (int n = 0; n < NAMES; n++) {
			const unsigned char *a = s->was->v[i][n], *b = now->v[i][n];

			if (s->was->len[i][n] == now->len[i][n] && !memcmp(a, b, BYTES))
				continue;
			if (strlen(wrong) < sizeof(wrong) - 300)
				sprintf(wrong + strlen(wrong),
					"%s with %d/%d: option %d/%d was %d (%02x%02x%02x%02x %02x%02x%02x%02x) is %d (%02x%02x%02x%02x %02x%02x%02x%02x)\n",
					s->kind->name, s->level, s->name, level_of(s->kind, i), n,
					s->was->len[i][n], a[3], a[2], a[1], a[0], a[7], a[6], a[5], a[4],
					now->len[i][n], b[3], b[2], b[1], b[0], b[7], b[6], b[5], b[4]);
		}
}

static int one(const struct kind *k)
{
	static int l4 = -1, l6 = -1;
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr *a = k->family == AF_INET ? (void *)&a4 : (void *)&a6;
	socklen_t n = k->family == AF_INET ? sizeof(a4) : sizeof(a6);
	int *l = k->family == AF_INET ? &l4 : &l6, fd = socket(k->family, k->type, k->protocol);

	if (fd < 0 || k->how == LONE)
		return fd;
	if (k->how == LISTEN)
		return bind(fd, a, n) || listen(fd, 5) ? -1 : fd;
	if (*l < 0) {
		*l = socket(k->family, k->type, 0);
		if (bind(*l, a, n) || listen(*l, 5))
			return -1;
	}
	getsockname(*l, a, &n);
	return connect(fd, a, n) || accept(*l, NULL, NULL) < 0 ? -1 : fd;
}

/* Sets the option to something else than it is: does it say so afterwards? */
static bool change(const struct kind *k, int fd, int level, int name, const void *to, socklen_t n)
{
	unsigned char was[BYTES] = { 0 }, is[BYTES] = { 0 };
	socklen_t a = BYTES, b = BYTES;

	return getsockopt(fd, level, name, was, &a) == 0 && setsockopt(fd, level, name, to, n) == 0 &&
	       getsockopt(fd, level, name, is, &b) == 0 && (a != b || memcmp(was, is, BYTES));
}

static void add(const struct kind *k, int fd, int level, int name)
{
	struct sock *s = &socks[n_socks++];

	*s = (struct sock){ k, fd, level, name, NULL };
	s->was = look(s);
}

static void find(const struct kind *k, int level, int name)
{
	static const int values[] = { 1, 2, 7, 0, -1, 30, 200, 3000, 60000, 1 << 24 };
	static const struct timeval tv = { 5, 250000 };
	static const struct linger linger = { 1, 7 };
	static const long txtime[] = { 0 };
	static const unsigned char ext[] = { 0x3a, 0, 1, 4, 0, 0, 0, 0 }, hop[] = { 0x3a, 0, 5, 2, 0, 0, 1, 0 };
	static const unsigned char pktinfo[20] = { [15] = 1, [16] = 1 };
	static const struct {
		const void *p;
		socklen_t n;
	} odd[] = { { &tv, sizeof(tv) }, { &linger, sizeof(linger) }, { txtime, sizeof(txtime) }, { ext, 8 }, { hop, 8 },
		    { pktinfo, 20 }, { "\x01\x07\x0b\x04\0\0\0\0\0\0\0", 12 }, { "reno", 4 }, { "lo", 2 } };
	int fd = one(k);

	if (fd < 0)
		return;
	if (is_passing(k, level, name))
		goto none;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (change(k, fd, level, name, &values[i], sizeof(int))) {
			add(k, fd, level, name);
			return;
		}
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		if (change(k, fd, level, name, odd[i].p, odd[i].n)) {
			add(k, fd, level, name);
			return;
		}
none:
	close(fd);
}

/* An own network namespace has its lo down. */
static void lo_up(void)
{
	struct ifreq r = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (ioctl(fd, SIOCGIFFLAGS, &r) == 0 && !(r.ifr_flags & IFF_UP)) {
		r.ifr_flags |= IFF_UP;
		ioctl(fd, SIOCSIFFLAGS, &r);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	struct rlimit lim = { 8192, 8192 };
	char name[4200], to[4200];
	sigset_t term;
	FILE *f;
	int sig;

	setsid();
	setrlimit(RLIMIT_NOFILE, &lim);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	lo_up();
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (int l = 0; l < 5 && level_of(&kinds[i], l) >= 0; l++)
			for (int n = 0; n < NAMES; n++)
				find(&kinds[i], level_of(&kinds[i], l), n);
	for (int i = 0; i < n_socks; i++)
		printf("%s %d/%d\n", socks[i].kind->name, socks[i].level, socks[i].name);
	fflush(stdout);
	snprintf(name, sizeof(name), "%s/ready", argv[2]);
	fclose(fopen(name, "w"));
	sigwait(&term, &sig);
	for (int i = 0; i < n_socks; i++)
		differ(&socks[i], look(&socks[i]));
	snprintf(name, sizeof(name), "%s/verdict.tmp", argv[2]);
	f = fopen(name, "w");
	fputs(wrong[0] ? wrong : "OK\n", f);
	fclose(f);
	snprintf(to, sizeof(to), "%s/verdict", argv[2]);
	rename(name, to);
	return 0;
}
