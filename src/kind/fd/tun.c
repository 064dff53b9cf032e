// SPDX-License-Identifier: Apache-2.0
/*
 * tun: descriptors of /dev/net/tun, with or without a device. The device itself belongs to its network namespace
 * (kind/net-link*.c), which makes it persistent until the descriptors are there.
 *
 * Kept:   path, the device, whether the queue is detached, header size, send buffer.
 * Lost:   packets that wait to be read, offloads and filters (TUNSETOFFLOAD, TUNSETTXFILTER, TUNATTACHFILTER), which
 *         cannot be asked for: reported. A device in the host's network namespace is refused.
 * Kernel: drivers/net/tun.c; a descriptor belongs to the network namespace of who opened it.
 */
#include "kind/fd.h"
#include "kind/ns.h"

#include "base/res.h"
#include "image/record.h"
#include "images/netdev.pb-c.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#define TUN_RDEV makedev(10, 200)
#define ATTACH_FLAGS (IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE | IFF_NAPI | IFF_NAPI_FRAGS)
#define DETACHED 0x0400 /* IFF_DETACH_QUEUE */

static bool tun_is(const struct fd_view *v)
{
	return S_ISCHR(v->st.st_mode) && v->st.st_rdev == TUN_RDEV && !(v->flags & O_PATH);
}

/* The device behind it; false: none. */
static bool tun_device(int fd, struct ifreq *q)
{
	memset(q, 0, sizeof(*q));
	return ioctl(fd, TUNGETIFF, q) == 0;
}

/* Is the device in the task's network namespace, and that one of the container's own? */
static int tun_preflight(struct session *s, const struct fd_view *v)
{
	struct stat its, tasks, ours;
	struct ifreq q;
	own_fd int net = -1;

	if (!tun_device(v->fd, &q))
		return fd_path_check(s, v);
	net = ioctl(v->fd, TUNGETDEVNETNS, 0);
	if (net < 0 || fstat(net, &its) < 0 || fstatat(v->task->proc, "ns/net", &tasks, 0) < 0 ||
	    stat("/proc/self/ns/net", &ours) < 0)
		return session_fail(s, -errno, "task %d: descriptor %d: find the network namespace of %.15s", v->task->vpid,
				    v->num, q.ifr_name);
	if (its.st_ino != tasks.st_ino || its.st_ino == ours.st_ino)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is the tun device %.15s of %s, which cannot be carried away; run it in a network namespace of its own",
				    v->task->vpid, v->num, q.ifr_name,
				    its.st_ino == ours.st_ino ? "the host's network namespace" : "another network namespace");
	return fd_path_check(s, v);
}

static int tun_dump(struct session *s, const struct fd_view *v)
{
	TunfileEntry e = TUNFILE_ENTRY__INIT;
	struct ifreq q;
	int r = tun_preflight(s, v), size;

	if (r == 0)
		r = fd_put_named_as(s, v, v->id);
	if (r < 0)
		return r;
	e.id = v->id;
	e.has_ns_id = v->task->ids->has_net_ns_id;
	e.ns_id = v->task->ids->net_ns_id;
	if (!tun_device(v->fd, &q))
		return fd_put(s, v, &e.base);
	session_warn(s, "task %d: descriptor %d: offloads and filters of the tun device %.15s, and packets that wait in it, are not kept, if there are any",
		     v->task->vpid, v->num, q.ifr_name);
	e.netdev = q.ifr_name;
	e.has_detached = e.detached = q.ifr_flags & DETACHED;
	e.has_iff = true;
	e.iff = (uint16_t)q.ifr_flags;
	e.has_vnethdr = ioctl(v->fd, TUNGETVNETHDRSZ, &size) == 0;
	e.vnethdr = size;
	e.has_sndbuf = ioctl(v->fd, TUNGETSNDBUF, &size) == 0;
	e.sndbuf = size;
	return fd_put(s, v, &e.base);
}

/* ---- restore ---- */

/* Flags of the device, for entries that do not say. */
static int flags_find(struct session *s, const TunfileEntry *e, uint32_t *ret)
{
	own_image struct image img = { .fd = -1 };
	ProtobufCMessage *m;
	int r = image_open(s, &img, MAGIC_NETDEV, "netdev-%u.img", e->ns_id);
	bool found = false;

	while (r == 0 && (r = image_read(&img, &net_device_entry__descriptor, &m)) == 1) {
		const NetDeviceEntry *d = (NetDeviceEntry *)m;

		r = 0;
		if (d->tun && !strcmp(d->name, e->netdev)) {
			*ret = d->tun->flags;
			found = true;
		}
		protobuf_c_message_free_unpacked(m, NULL);
	}
	return r < 0 ? r : found ? 0 : session_fail(s, -EBADMSG, "files.img: tun device %.15s is not in netdev-%u.img", e->netdev, e->ns_id);
}

static int tun_attach(struct session *s, const TunfileEntry *e, int fd)
{
	struct ifreq q = { 0 };
	uint32_t flags = e->iff;
	int r = e->has_iff ? 0 : flags_find(s, e, &flags), size;

	if (r < 0)
		return r;
	if (strlen(e->netdev) >= IFNAMSIZ)
		return session_fail(s, -EBADMSG, "files.img: tun device %.15s...: its name is too long", e->netdev);
	strcpy(q.ifr_name, e->netdev);
	q.ifr_flags = flags & ATTACH_FLAGS;
	if (ioctl(fd, TUNSETIFF, &q) < 0)
		return session_fail(s, -errno, "tun device %s: attach to it", e->netdev);
	if (!(flags & IFF_PERSIST) && ioctl(fd, TUNSETPERSIST, 0) < 0)
		return session_fail(s, -errno, "tun device %s: let it end with its descriptors", e->netdev);
	size = e->vnethdr;
	if (e->has_vnethdr && (flags & IFF_VNET_HDR) && ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
		return session_fail(s, -errno, "tun device %s: set its header size", e->netdev);
	size = e->sndbuf;
	if (e->has_sndbuf && ioctl(fd, TUNSETSNDBUF, &size) < 0)
		return session_fail(s, -errno, "tun device %s: set its buffer", e->netdev);
	return 0;
}

/* The last: a detached queue does not answer. */
static int tun_detach(struct session *s, const TunfileEntry *e, int fd)
{
	struct ifreq q = { .ifr_flags = DETACHED };

	return !e->has_detached || !e->detached || ioctl(fd, TUNSETQUEUE, &q) == 0
		       ? 0
		       : session_fail(s, -errno, "tun device %s: detach a queue", e->netdev);
}

static int tun_restore(struct session *s, struct fd_obj *o)
{
	const TunfileEntry *e = o->entry->tunf;
	struct stat st;
	int r, more;

	if (!e || !o->entry->reg)
		return session_fail(s, -EBADMSG, "files.img: tun file 0x%x has no path", o->id);
	r = ns_enter_net(s, e->has_ns_id ? e->ns_id : 0);
	if (r < 0)
		return r;
	o->fd = fd_open_reg(s, o->id, -1);
	r = o->fd < 0 ? o->fd : 0;
	if (r == 0 && (fstat(o->fd, &st) < 0 || st.st_rdev != TUN_RDEV))
		r = session_fail(s, -EINVAL, "file %s: is no tun device node; put the right one there", o->entry->reg->name);
	if (r == 0 && e->netdev)
		r = tun_attach(s, e, o->fd);
	if (r == 0 && e->netdev)
		r = tun_detach(s, e, o->fd);
	more = ns_enter_net(s, 0);
	return r < 0 ? r : more;
}

const struct fd_kind fd_kind_tun = {
	.name = "tun",
	.type = FD_TYPES__TUNF,
	.is = tun_is,
	.dump = tun_dump,
	.restore = tun_restore,
	.preflight = tun_preflight,
};
