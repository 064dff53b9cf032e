// SPDX-License-Identifier: Apache-2.0
/*
 * net-link-offload: what a device is asked to do for the protocols (`ethtool -K`): checksums, segmentation, GRO.
 *
 * Kept:   every feature that can be changed, by its name.
 * Lost:   one that this kernel's device has not: reported.
 * Kernel: net/ethtool/ioctl.c, ETHTOOL_GFEATURES, ETHTOOL_SFEATURES.
 */
#include "kind/net-link.h"

#include "base/res.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define FEATURES_MAX 1024
#define BLOCK_BITS 32

/* What a device can be asked for: names by number, and what it was asked for. */
struct offloads {
	uint32_t n;
	struct ethtool_gstrings *names;
	struct ethtool_gfeatures *got;
};

static void offloads_free(struct offloads *o)
{
	free(o->names);
	free(o->got);
}
#define own_offloads __attribute__((cleanup(offloads_free)))

static int ask(int fd, const char *device, void *request)
{
	struct ifreq q = { .ifr_data = request };

	snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", device);
	return ioctl(fd, SIOCETHTOOL, &q) < 0 ? -errno : 0;
}

static int offloads_get(int fd, const char *device, struct offloads *o)
{
	own_mem struct ethtool_sset_info *sets = xalloc(sizeof(*sets) + sizeof(sets->data[0]));
	uint32_t blocks;
	int r;

	sets->cmd = ETHTOOL_GSSET_INFO;
	sets->sset_mask = 1ull << ETH_SS_FEATURES;
	r = ask(fd, device, sets);
	if (r < 0 || !sets->sset_mask || !sets->data[0] || sets->data[0] > FEATURES_MAX)
		return r < 0 ? r : -EOPNOTSUPP;
	o->n = sets->data[0];
	blocks = (o->n + BLOCK_BITS - 1) / BLOCK_BITS;
	o->names = xalloc(sizeof(*o->names) + o->n * ETH_GSTRING_LEN);
	o->names->cmd = ETHTOOL_GSTRINGS;
	o->names->string_set = ETH_SS_FEATURES;
	o->names->len = o->n;
	o->got = xalloc(sizeof(*o->got) + blocks * sizeof(o->got->features[0]));
	o->got->cmd = ETHTOOL_GFEATURES;
	o->got->size = blocks;
	r = ask(fd, device, o->names);
	return r < 0 ? r : ask(fd, device, o->got);
}

static const char *name_of(const struct offloads *o, uint32_t i)
{
	return (const char *)o->names->data + i * ETH_GSTRING_LEN;
}

static bool can_change(const struct offloads *o, uint32_t i)
{
	const struct ethtool_get_features_block *b = &o->got->features[i / BLOCK_BITS];

	return b->available & ~b->never_changed & 1u << i % BLOCK_BITS && *name_of(o, i);
}

static bool is_asked(const struct offloads *o, uint32_t i)
{
	return o->got->features[i / BLOCK_BITS].requested & 1u << i % BLOCK_BITS;
}

void net_link_offloads_put(struct session *s, int fd, NetDeviceEntry *e)
{
	own_offloads struct offloads o = { 0 };
	int r = offloads_get(fd, e->name, &o);

	if (r < 0) {
		session_debug(s, "network link %s: tells no offloads: %s", e->name, strerror(-r));
		return;
	}
	e->offloads = xalloc(o.n * sizeof(*e->offloads));
	for (uint32_t i = 0; i < o.n; i++)
		if (can_change(&o, i))
			e->offloads[e->n_offloads++] =
				xprintf("%c%.*s", is_asked(&o, i) ? '+' : '-', ETH_GSTRING_LEN, name_of(&o, i));
}

/* Mark the feature to be changed, if it is not as it should be; false: there is none of this name. */
static bool offload_want(const struct offloads *o, const char *text, struct ethtool_sfeatures *set)
{
	for (uint32_t i = 0; *text && i < o->n; i++) {
		struct ethtool_set_features_block *b = &set->features[i / BLOCK_BITS];

		if (strncmp(name_of(o, i), text + 1, ETH_GSTRING_LEN) != 0)
			continue;
		if (is_asked(o, i) == (*text == '+'))
			return true;
		b->valid |= 1u << i % BLOCK_BITS;
		if (*text == '+')
			b->requested |= 1u << i % BLOCK_BITS;
		return can_change(o, i);
	}
	return *text == '-';
}

void net_link_offloads_set(struct session *s, int fd, const NetDeviceEntry *e)
{
	own_offloads struct offloads o = { 0 };
	own_mem struct ethtool_sfeatures *set = NULL;
	uint32_t differ = 0;
	int r = e->n_offloads && e->n_offloads <= FEATURES_MAX ? offloads_get(fd, e->name, &o) : 1;

	if (r > 0)
		return;
	if (r == 0) {
		set = xalloc(sizeof(*set) + o.got->size * sizeof(set->features[0]));
		set->cmd = ETHTOOL_SFEATURES;
		set->size = o.got->size;
		for (size_t i = 0; i < e->n_offloads; i++)
			if (!offload_want(&o, e->offloads[i], set))
				session_warn(s, "network link %s: offload %.33s (`ethtool -K`) cannot be set here", e->name, e->offloads[i]);
		for (uint32_t i = 0; i < set->size; i++) {
			set->features[i].valid &= o.got->features[i].available;
			differ |= set->features[i].valid;
		}
		r = differ ? ask(fd, e->name, set) : 0;
	}
	if (r < 0)
		session_warn(s, "network link %s: its offloads (`ethtool -K`) cannot be set: %s", e->name, strerror(-r));
}
