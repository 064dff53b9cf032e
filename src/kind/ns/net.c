// SPDX-License-Identifier: Apache-2.0
/*
 * net: a network namespace with its loopback device, or one that the caller has made.
 *
 * Kept:   the label of an external namespace; whether lo is up.
 * Lost:   with --empty-ns net, whatever else is in it, as the caller asked; otherwise other devices are
 *         refused.
 * Kernel: /proc/PID/net/dev; SIOCGIFFLAGS, SIOCSIFFLAGS.
 */
#include "kind/ns.h"

#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "images/netdev.pb-c.h"

#include <linux/sched.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static bool net_empty(const struct session *s)
{
	return s->opts->has_empty_ns && s->opts->empty_ns & CLONE_NEWNET;
}

/* Devices that the kernel puts into every namespace. */
static bool net_default(const char *name)
{
	static const char *const names[] = { "lo",   "tunl0",  "gre0",	  "gretap0",  "erspan0",
					     "sit0", "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

/* Source: after two lines of heading, one device a line: "  NAME: ..." */
static int net_preflight(struct session *s, const struct ns *ns)
{
	own_mem char *text = NULL;
	char *line, *save = NULL;
	int r = text_read(ns->task->proc, "net/dev", &text, NULL);

	if (r < 0)
		return session_fail(s, r, "task %d: read its network devices", ns->task->vpid);
	for (line = strtok_r(text, "\n", &save); line && !net_empty(s);
	     line = strtok_r(NULL, "\n", &save)) {
		char *colon = strchr(line, ':');

		if (!colon || strchr(line, '|'))
			continue;
		*colon = 0;
		line += strspn(line, " ");
		if (!net_default(line))
			return session_fail(s, -ENOTSUP,
					    "network namespace %u: has the device %s, which cannot be checkpointed yet; use --empty-ns net and give it to the container again at restore",
					    ns->id, line);
	}
	return 0;
}

static int lo_flags(struct session *s, bool set, short *flags)
{
	own_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq q = { .ifr_name = "lo" };

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &q) < 0)
		return session_fail(s, -errno, "network device lo: read its flags");
	if (!set) {
		*flags = q.ifr_flags;
		return 0;
	}
	q.ifr_flags = (q.ifr_flags & ~IFF_UP) | (*flags & IFF_UP);
	if (ioctl(fd, SIOCSIFFLAGS, &q) < 0)
		return session_fail(s, -errno, "network device lo: set its flags");
	return 0;
}

static int net_dump_lo(struct session *s, const struct ns *ns)
{
	NetDeviceEntry e = NET_DEVICE_ENTRY__INIT;
	short flags = 0;
	int r = lo_flags(s, false, &flags);

	e.type = ND_TYPE__LOOPBACK;
	e.ifindex = 1;
	e.mtu = 65536;
	e.flags = (unsigned short)flags;
	e.name = "lo";
	return r < 0 ? r : image_write_one(s, MAGIC_NETDEV, &e.base, "netdev-%u.img", ns->id);
}

static int net_dump(struct session *s, const struct ns *ns)
{
	NetnsEntry e = NETNS_ENTRY__INIT;
	int r;

	e.ext_key = (char *)ns->external;
	r = image_write_one(s, MAGIC_NETNS, &e.base, "netns-%u.img", ns->id);
	return r < 0 || ns->external ? r : net_dump_lo(s, ns);
}

/* Without a record lo is brought up: a dump of CRIU's with an empty namespace tells nothing of it. */
static int net_restore(struct session *s, const struct ns *ns)
{
	own_image struct image img = { .fd = -1 };
	ProtobufCMessage *m;
	short up = IFF_UP;
	int r = image_open(s, &img, MAGIC_NETDEV, "netdev-%u.img", ns->id);

	while (r == 0 && (r = image_read(&img, &net_device_entry__descriptor, &m)) == 1) {
		const NetDeviceEntry *e = (const NetDeviceEntry *)m;

		r = 0;
		if (e->type == ND_TYPE__LOOPBACK)
			up = e->flags & IFF_UP;
		else if (!net_empty(s))
			r = session_fail(s, -ENOTSUP,
					 "netdev-%u.img: the device %.40s cannot be restored yet; use --empty-ns net",
					 ns->id, e->name);
		protobuf_c_message_free_unpacked(m, NULL);
	}
	return r < 0 ? r : lo_flags(s, true, &up);
}

const struct ns_kind ns_kind_net = {
	.name = "net",
	.flag = CLONE_NEWNET,
	.dump = net_dump,
	.restore = net_restore,
	.preflight = net_preflight,
};
