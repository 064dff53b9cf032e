// SPDX-License-Identifier: Apache-2.0
/*
 * packet-ring: rings of packet sockets, versions 1 to 3.
 *
 * Kept:   their sizes, where the kernel goes on to fill them, packets that were not read yet.
 * Lost:   of version 3 packets in the block that the kernel is filling, if the next is not free (reported), and numbers of
 *         blocks, which begin at 1 again; counts of PACKET_STATISTICS. A ring for sending that was used is refused: nothing shows where the kernel
 *         goes on.
 * Kernel: net/packet/af_packet.c. A new ring is filled from its beginning, so it is made to turn: by packets of our own, on
 *         lo. Headers of what was read and given back stay, and their times tell which was the last.
 */
#include "kind/packet-ring.h"

#include "base/list.h"
#include "base/res.h"
#include "kind/ns.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#define OURS 0x88b5	    /* an ethertype for experiments: nobody else's packets come */
#define PIECES_LEN_MAX (32u << 20) /* bytes of packets that we keep of one ring */
#define PATIENCE_MS 3000

/* A ring in our memory: of frames (versions 1 and 2), or of blocks of frames (3). */
struct ring {
	const PacketRing *g;
	unsigned version; /* 1 to 3 */
	char *at;
	size_t len; /* of the mapping, which has the other ring, too */
	uint32_t n; /* frames or blocks */
};

PacketRing *packet_ring_geometry(const struct packet_diag_ring *d)
{
	PacketRing *g = xalloc(sizeof(*g));

	packet_ring__init(g);
	g->block_size = d->pdr_block_size;
	g->block_nr = d->pdr_block_nr;
	g->frame_size = d->pdr_frame_size;
	g->frame_nr = d->pdr_frame_nr;
	g->retire_tmo = d->pdr_retire_tmo;
	g->sizeof_priv = d->pdr_sizeof_priv;
	g->features = d->pdr_features;
	return g;
}

void packet_ring_free(PacketRing *ring)
{
	if (ring)
		packet_ring__free_unpacked(ring, NULL);
}

static size_t ring_len(const PacketRing *g)
{
	return g ? (size_t)g->block_size * g->block_nr : 0;
}

static int ring_map(struct ring *r, int fd, const PacketSockEntry *e, int prot)
{
	void *m;

	r->g = e->rx_ring;
	r->version = e->version + 1;
	r->n = r->version == 3 ? r->g->block_nr : r->g->frame_nr;
	r->len = ring_len(e->rx_ring) + ring_len(e->tx_ring);
	m = mmap(NULL, r->len, prot, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		return -errno;
	r->at = m;
	return 0;
}

static char *ring_slot(const struct ring *r, uint32_t i)
{
	uint32_t per_block = r->version == 3 ? 1 : r->g->block_size / r->g->frame_size;

	return r->at + (size_t)(i / per_block) * r->g->block_size + (size_t)(i % per_block) * r->g->frame_size;
}

static size_t slot_size(const struct ring *r)
{
	return r->version == 3 ? r->g->block_size : r->g->frame_size;
}

/* What a header says. */
struct slot {
	bool user; /* it is the program's turn */
	uint64_t when; /* grows from one to the next that the kernel fills; 0: it never did */
	size_t used;
	uint32_t packets; /* of a block */
};

static struct slot slot_read(const struct ring *r, uint32_t i)
{
	const char *p = ring_slot(r, i);
	size_t most = slot_size(r);
	struct tpacket_block_desc b;
	struct tpacket2_hdr h2;
	struct tpacket_hdr h1;
	struct slot t = { 0 };

	if (r->version == 3) {
		memcpy(&b, p, sizeof(b));
		t = (struct slot){ b.hdr.bh1.block_status & TP_STATUS_USER, b.hdr.bh1.seq_num, b.hdr.bh1.blk_len,
				   b.hdr.bh1.num_pkts };
	} else if (r->version == 2) {
		memcpy(&h2, p, sizeof(h2));
		t = (struct slot){ h2.tp_status & TP_STATUS_USER, h2.tp_sec * 1000000000ULL + h2.tp_nsec,
				   h2.tp_mac + (size_t)h2.tp_snaplen, 0 };
	} else {
		memcpy(&h1, p, sizeof(h1));
		t = (struct slot){ h1.tp_status & TP_STATUS_USER, h1.tp_sec * 1000000ULL + h1.tp_usec,
				   h1.tp_mac + (size_t)h1.tp_snaplen, 0 };
	}
	t.used = t.used < most ? t.used : most;
	return t;
}

static void status_set(const struct ring *r, uint32_t block, uint32_t status)
{
	memcpy(ring_slot(r, block) + offsetof(struct tpacket_block_desc, hdr.bh1.block_status), &status, sizeof(status));
}

static void slot_give_back(const struct ring *r, uint32_t i)
{
	if (r->version == 3)
		status_set(r, i, TP_STATUS_KERNEL);
	else
		memset(ring_slot(r, i), 0, r->g->frame_size);
}

/* ---- dump ---- */

/* Behind the last that was filled; of frames that came at the same moment, behind the last of these. */
static uint32_t head_of(const struct ring *r)
{
	struct slot last = slot_read(r, 0), t;
	uint32_t at = 0;

	for (uint32_t i = 1; i < r->n; i++) {
		t = slot_read(r, i);
		if (t.when > last.when || (t.when == last.when && i == at + 1)) {
			last = t;
			at = i;
		}
	}
	if (!last.when || (r->version == 3 && !last.user))
		return last.when ? at : 0; /* a block that is being filled */
	for (uint32_t n = 0; at == r->n - 1 && n < r->n - 1; n++) { /* at the same moment, too, around the end */
		t = slot_read(r, n);
		if (t.when != last.when || t.user != last.user)
			return n;
	}
	return (at + 1) % r->n;
}

/*
 * The block that the kernel is filling, as it were closed: for the program to read, while the kernel goes on with the next,
 * if that is free.
 */
static void block_close(char *block, size_t len)
{
	struct tpacket_block_desc b;
	struct tpacket3_hdr h = { 0 };
	size_t at, last = 0;

	memcpy(&b, block, sizeof(b));
	at = b.hdr.bh1.offset_to_first_pkt;
	for (uint32_t i = 0; i < b.hdr.bh1.num_pkts && at <= len - sizeof(h); i++) {
		memcpy(&h, block + at, sizeof(h));
		last = at;
		at += h.tp_next_offset;
	}
	h.tp_next_offset = 0;
	if (last)
		memcpy(block + last, &h, sizeof(h));
	b.hdr.bh1.ts_last_pkt.ts_sec = h.tp_sec;
	b.hdr.bh1.ts_last_pkt.ts_nsec = h.tp_nsec;
	b.hdr.bh1.block_status = TP_STATUS_USER | TP_STATUS_BLK_TMO;
	memcpy(block, &b, sizeof(b));
}

static bool can_close(const struct ring *r, uint32_t head)
{
	struct slot t = slot_read(r, head);

	return r->version == 3 && !t.user && t.packets && t.used > sizeof(struct tpacket_block_desc) + sizeof(struct tpacket3_hdr) &&
	       r->n > 1 && !slot_read(r, (head + 1) % r->n).user;
}

/* The oldest first: who does not get all shall miss the last. */
static uint32_t note_pieces(const struct ring *r, PacketRing *g)
{
	uint32_t open = can_close(r, g->head) ? g->head : UINT32_MAX, filling = 0, lost = 0;
	size_t bytes = 0;

	if (open != UINT32_MAX) /* what the next still tells of packets was read long ago */
		g->head = (open + 1) % r->n;
	else if (r->version == 3 && !slot_read(r, g->head).user)
		filling = slot_read(r, g->head).packets > 0;

	g->pieces = xalloc((r->n + 1) * sizeof(*g->pieces));
	for (uint32_t n = 0; n < r->n; n++) {
		uint32_t i = (g->head + n) % r->n;
		struct slot t = slot_read(r, i);
		PacketPiece *p;

		t.user = t.user || i == open;
		if (!t.user || lost || bytes + t.used > PIECES_LEN_MAX || (r->version == 3 && i == g->head)) {
			lost += t.user;
			continue;
		}
		p = g->pieces[g->n_pieces++] = xalloc(sizeof(*p));
		packet_piece__init(p);
		p->index = i;
		p->data.len = t.used;
		p->data.data = xmemdup(ring_slot(r, i), t.used);
		if (i == open)
			block_close((char *)p->data.data, t.used);
		bytes += t.used;
	}
	return lost + filling;
}

static bool is_fresh(const char *p, const PacketRing *g)
{
	for (uint32_t i = 0; i < g->frame_nr; i++) {
		const char *f = p + (size_t)(i / (g->block_size / g->frame_size)) * g->block_size +
				(size_t)(i % (g->block_size / g->frame_size)) * g->frame_size;

		for (size_t n = 0; n < sizeof(struct tpacket2_hdr); n++)
			if (f[n])
				return false;
	}
	return true;
}

int packet_ring_note(struct session *s, int fd, const char *who, PacketSockEntry *e)
{
	struct packet_diag_ring none = { 0 };
	own_mem PacketRing *no_rx = e->rx_ring ? NULL : packet_ring_geometry(&none);
	bool rx = e->rx_ring;
	struct ring r = { 0 };
	int k = 0, err;
	uint32_t lost;

	if (!rx && !e->tx_ring)
		return 0;
	if (!rx)
		e->rx_ring = no_rx; /* for one moment */
	err = ring_map(&r, fd, e, PROT_READ);
	if (!rx)
		e->rx_ring = NULL;
	if (err < 0)
		return session_fail(s, err, "%s: map its ring", who);
	if (e->tx_ring && !is_fresh(r.at + (rx ? ring_len(r.g) : 0), e->tx_ring))
		k = session_fail(s, -ENOTSUP, "%s: has a ring for sending (PACKET_TX_RING), whose place does not show; let the program send without one",
				 who);
	if (k == 0 && rx) {
		e->rx_ring->head = head_of(&r);
		e->rx_ring->has_head = true;
		lost = note_pieces(&r, e->rx_ring);
		if (lost)
			session_warn(s, "%s: the last packets in its ring that were not read yet are lost (%u %s)", who, lost,
				     r.version == 3 ? "blocks" : "frames");
	}
	munmap(r.at, r.len);
	return k;
}

/* ---- restore ---- */

static void doze(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static bool filled(const struct ring *r, uint32_t i, unsigned ms)
{
	for (unsigned n = 0; !slot_read(r, i).user; n++) {
		if (n == ms)
			return false;
		doze();
	}
	return true;
}

static int feed(int from, const struct sockaddr_ll *to, size_t len)
{
	static const char zeros[32768];
	struct { unsigned char to[6], from[6]; uint16_t type; } head = { .type = htons(OURS) };
	struct iovec v[] = { { &head, sizeof(head) }, { (void *)zeros, len } };
	struct msghdr m = { .msg_name = (void *)to, .msg_namelen = sizeof(*to), .msg_iov = v, .msg_iovlen = 2 };

	return sendmsg(from, &m, 0) < 0 ? -errno : 0;
}

static int turn_frames(const struct ring *r, int from, const struct sockaddr_ll *to)
{
	int k = 0;

	for (uint32_t i = 0; k == 0 && i < r->g->head; i++) {
		k = feed(from, to, 50);
		if (k == 0 && !filled(r, i, PATIENCE_MS))
			k = -ETIMEDOUT;
	}
	return k;
}

/*
 * What does not fit into a block any more closes it and goes into the next. That one is the program's turn meanwhile, so
 * nothing of ours gets into the block that the kernel goes on with.
 */
static int turn_blocks(const struct ring *r, int from, const struct sockaddr_ll *to)
{
	uint32_t head = r->g->head;
	size_t len = r->g->block_size / 2 < 32768 ? r->g->block_size / 2 : 32768, left;
	int k;

	status_set(r, head, TP_STATUS_USER);
	k = feed(from, to, len);
	for (; k == -EMSGSIZE && len > 1000; k = feed(from, to, len)) /* lo may have a small MTU */
		len = len > 2000 ? len / 2 : 1000;
	left = head * (r->g->block_size / len + 2);
	for (; k == 0 && left && !slot_read(r, head - 1).user; left--)
		k = feed(from, to, len);
	if (k == 0 && !filled(r, head - 1, PATIENCE_MS))
		k = -ETIMEDOUT;
	status_set(r, head, TP_STATUS_KERNEL);
	return k;
}

static int turn(struct session *s, const struct ring *r, int fd, const PacketSockEntry *e)
{
	own_fd int from = ns_socket(s, e->has_ns_id ? e->ns_id : 0, AF_PACKET, SOCK_RAW, 0);
	struct sockaddr_ll lo = { .sll_family = AF_PACKET, .sll_protocol = htons(OURS), .sll_halen = 6 };
	struct ifreq q = { .ifr_name = "lo" };
	int k;

	if (from < 0)
		return from;
	if (!e->protocol) /* bound to nothing any more, and so it shall stay */
		return -ENOTCONN;
	if (ioctl(from, SIOCGIFINDEX, &q) < 0)
		return -errno;
	lo.sll_ifindex = q.ifr_ifindex;
	if (ioctl(from, SIOCGIFFLAGS, &q) < 0 || !(q.ifr_flags & IFF_UP))
		return -ENETDOWN;
	if (bind(fd, (void *)&lo, sizeof(lo)) < 0)
		return -errno;
	k = r->version == 3 ? turn_blocks(r, from, &lo) : turn_frames(r, from, &lo);
	for (uint32_t i = 0; i < r->g->head; i++)
		slot_give_back(r, i);
	return k;
}

static int fill(struct session *s, const struct ring *r, const PacketSockEntry *e)
{
	for (size_t i = 0; i < r->g->n_pieces; i++) {
		const PacketPiece *p = r->g->pieces[i];

		if (p->index >= r->n || p->data.len > slot_size(r) || (r->version == 3 && p->index == r->g->head))
			return session_fail(s, -EBADMSG, "files.img: packet socket 0x%x: its ring is damaged", e->id);
		memcpy(ring_slot(r, p->index), p->data.data, p->data.len);
	}
	return 0;
}

static int ring_set(struct session *s, int fd, const PacketSockEntry *e, const PacketRing *g, int option)
{
	struct tpacket_req3 q;

	if (!g)
		return 0;
	q = (struct tpacket_req3){ g->block_size, g->block_nr, g->frame_size, g->frame_nr, g->retire_tmo,
				   g->sizeof_priv, g->features };
	if (setsockopt(fd, SOL_PACKET, option, &q, e->version == TPACKET_V3 ? sizeof(q) : sizeof(struct tpacket_req)) < 0)
		return session_fail(s, -errno, "packet socket 0x%x: make a ring of %u blocks of %u bytes", e->id,
				    g->block_nr, g->block_size);
	return 0;
}

int packet_ring_make(struct session *s, int fd, const PacketSockEntry *e)
{
	struct tpacket_stats_v3 counts;
	socklen_t n = sizeof(counts);
	struct ring r = { 0 };
	int k;

	if (e->version > TPACKET_V3)
		return session_fail(s, -EBADMSG, "files.img: packet socket 0x%x: its ring is damaged", e->id);
	k = ring_set(s, fd, e, e->rx_ring, PACKET_RX_RING);
	if (k == 0)
		k = ring_set(s, fd, e, e->tx_ring, PACKET_TX_RING);
	if (k < 0 || !e->rx_ring)
		return k;
	k = ring_map(&r, fd, e, PROT_READ | PROT_WRITE); /* the kernel has checked its sizes */
	if (k < 0)
		return session_fail(s, k, "packet socket 0x%x: map its ring", e->id);
	k = r.g->head >= r.n ? -EBADMSG : r.g->head ? turn(s, &r, fd, e) : 0;
	if (k == -EBADMSG)
		session_fail(s, k, "files.img: packet socket 0x%x: its ring is damaged", e->id);
	else if (k < 0) {
		session_forget(s);
		session_warn(s, "packet socket 0x%x: its ring cannot be turned to where it was (%s%s); the program may get no packets until it is full once",
			     e->id, strerror(-k), k == -ENETDOWN ? ": lo" : "");
		k = 0;
	} else {
		k = fill(s, &r, e);
	}
	getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &counts, &n); /* of our packets; reading them makes them 0 */
	munmap(r.at, r.len);
	return k;
}

void packet_ring_known(struct session *s, uint64_t ino, uint32_t id)
{
	map_put(session_map(s, "packet rings"), ino, (void *)(uintptr_t)id);
}

uint32_t packet_ring_id(struct session *s, uint64_t ino)
{
	return (uintptr_t)map_get(session_map(s, "packet rings"), ino);
}
