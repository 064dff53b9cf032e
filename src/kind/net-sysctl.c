// SPDX-License-Identifier: Apache-2.0
/*
 * net-sysctl: see net-sysctl.h. An image holds arrays of exact positions; the names are here.
 *
 * Kept:   conf4 and conf6 of all, default and every device; max_dgram_qlen; ping_group_range.
 * Kernel: net/ipv4/devinet.c, net/ipv6/addrconf.c, net/unix/sysctl_net_unix.c.
 */
#include "kind/net-sysctl.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

/* positions on the wire, frozen; new names go behind */
static const char *const conf4[] = {
	"accept_local", "accept_redirects", "accept_source_route", "arp_accept", "arp_announce",
	"arp_filter", "arp_ignore", "arp_notify", "bootp_relay", "disable_policy", "disable_xfrm",
	"force_igmp_version", "forwarding", "igmpv2_unsolicited_report_interval",
	"igmpv3_unsolicited_report_interval", "log_martians", "medium_id", "promote_secondaries",
	"proxy_arp", "proxy_arp_pvlan", "route_localnet", "rp_filter", "secure_redirects",
	"send_redirects", "shared_media", "src_valid_mark", "tag", "ignore_routes_with_linkdown",
	"drop_gratuitous_arp", "drop_unicast_in_l2_multicast",
};
static const char *const conf6[] = {
	"accept_dad", "accept_ra", "accept_ra_defrtr", "accept_ra_from_local",
	"accept_ra_min_hop_limit", "accept_ra_mtu", "accept_ra_pinfo",
	"accept_ra_rt_info_max_plen", "accept_ra_rtr_pref", "accept_redirects",
	"accept_source_route", "autoconf", "dad_transmits", "disable_ipv6",
	"drop_unicast_in_l2_multicast", "drop_unsolicited_na", "force_mld_version", "force_tllao",
	"forwarding", "hop_limit", "ignore_routes_with_linkdown", "keep_addr_on_down",
	"max_addresses", "max_desync_factor", "mldv1_unsolicited_report_interval",
	"mldv2_unsolicited_report_interval", "mtu", "ndisc_notify", "optimistic_dad", "proxy_ndp",
	"regen_max_retry", "router_probe_interval", "router_solicitation_delay",
	"router_solicitation_interval", "router_solicitations", "stable_secret",
	"suppress_frag_ndisc", "temp_prefered_lft", "temp_valid_lft", "use_oif_addrs_only",
	"use_optimistic", "use_tempaddr",
};

struct conf {
	const char *const *names;
	size_t n;
	const char *dir;
};
static const struct conf confs[] = {
	[NET_CONF4] = { conf4, ARRAY_SIZE(conf4), "sys/net/ipv4/conf" },
	[NET_CONF6] = { conf6, ARRAY_SIZE(conf6), "sys/net/ipv6/conf" },
};

static bool conf_is_text(const char *name)
{
	return !strcmp(name, "stable_secret");
}

/* /proc/sys/net/ipv*'s directory of a device; 1 if there is none */
static int conf_open(int proc, enum net_conf v, const char *dev, int *ret)
{
	char path[128];
	int fd;

	if (strchr(dev, '/') || strlen(dev) > 64 || !strcmp(dev, ".") || !strcmp(dev, ".."))
		return -EINVAL;
	snprintf(path, sizeof(path), "%s/%s", confs[v].dir, dev);
	fd = openat(proc, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 1 : -errno;
	*ret = fd;
	return 0;
}

/* A small value without its newline; 0, or -errno: ENOENT no such switch, EIO not set */
static int value_read(int dir, const char *name, char *buf, size_t size)
{
	own_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (n < 0)
		return -errno;
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = 0;
	return 0;
}

static int number_read(int dir, const char *name, int *ret)
{
	char buf[64], *end;
	int r = value_read(dir, name, buf, sizeof(buf));
	long v;

	if (r < 0)
		return r;
	errno = 0;
	v = strtol(buf, &end, 10);
	if (end == buf || errno || v < INT_MIN || v > UINT_MAX)
		return -EBADMSG;
	*ret = (int)v;
	return 0;
}

static SysctlEntry *entry_new(SysctlType type)
{
	SysctlEntry *e = xalloc(sizeof(*e));

	sysctl_entry__init(e);
	e->type = type;
	return e;
}

int net_conf_dump(struct session *s, int proc, enum net_conf v, const char *dev, SysctlEntry ***ret,
		  size_t *ret_n)
{
	const struct conf *c = &confs[v];
	own_fd int dir = -EBADF;
	int r = conf_open(proc, v, dev, &dir);
	SysctlEntry **all;

	*ret_n = 0;
	*ret = NULL;
	if (r > 0)
		return 0;
	if (r < 0)
		return session_fail(s, r, "net device %s: open %s", dev, c->dir);
	all = xalloc(c->n * sizeof(*all));
	for (size_t i = 0; i < c->n; i++) {
		bool text = conf_is_text(c->names[i]);
		SysctlEntry *e = all[i] = entry_new(text ? SYSCTL_TYPE__CTL_STR : SYSCTL_TYPE__CTL_32);
		char buf[256];

		if (text) {
			r = value_read(dir, c->names[i], buf, sizeof(buf));
			if (r == 0)
				e->sarg = xstrdup(buf);
		} else {
			r = number_read(dir, c->names[i], &e->iarg);
			e->has_iarg = r == 0;
		}
		if (r < 0 && r != -ENOENT && !(text && r == -EIO))
			session_warn(s, "net device %s: %s/%s cannot be read: %s: its value is lost",
				     dev, c->dir, c->names[i], strerror(-r));
	}
	*ret = all;
	*ret_n = c->n;
	return 0;
}

static int value_write(int dir, const char *name, const char *value)
{
	return text_write(dir, name, value);
}

/*
 * value_set - write a value unless it is there already
 * A switch this kernel lacks is reported. Others that cannot be set fail, or with --weak-sysctls are
 * reported.
 */
static int value_set(struct session *s, int dir, const char *where, const char *name, const char *value)
{
	char now[256];
	int r = value_read(dir, name, now, sizeof(now));

	if (r == 0 && !strcmp(now, value))
		return 0;
	if (r == 0 || r == -EIO || r == -EACCES)
		r = value_write(dir, name, value);
	if (r == 0)
		return 0;
	if (r == -ENOENT || s->opts->weak_sysctls) {
		session_warn(s, "sysctl %s/%s: cannot be set to %s: %s", where, name, value,
			     strerror(-r));
		return 0;
	}
	return session_fail(s, r, "sysctl %s/%s: set to %s; with --weak-sysctls it is left as it is, and reported", where, name, value);
}

static int conf_set_entry(struct session *s, int dir, const char *where, const char *name,
			  const SysctlEntry *e)
{
	char text[16];

	if (conf_is_text(name))
		return e->sarg && strlen(e->sarg) < 128 ? value_set(s, dir, where, name, e->sarg) : 0;
	if (!e->has_iarg)
		return 0;
	snprintf(text, sizeof(text), "%d", e->iarg);
	return value_set(s, dir, where, name, text);
}

int net_conf_restore(struct session *s, int proc, enum net_conf v, const char *dev,
		     SysctlEntry *const *e, size_t n)
{
	const struct conf *c = &confs[v];
	own_fd int dir = -EBADF;
	char where[128];
	int r;

	if (!n)
		return 0;
	r = conf_open(proc, v, dev, &dir);
	if (r < 0)
		return session_fail(s, r, "net device %.64s: open %s", dev, c->dir);
	if (r > 0) {
		session_warn(s, "net device %s: no %s: its switches are lost", dev, c->dir);
		return 0;
	}
	if (n > c->n)
		session_warn(s, "net device %s: %zu unknown switches of %s are lost", dev, n - c->n,
			     c->dir);
	snprintf(where, sizeof(where), "%s/%.64s", c->dir, dev);
	/* setting forwarding changes accept_redirects: that one goes last */
	for (int last = 0; last < 2; last++)
		for (size_t i = 0; i < n && i < c->n; i++) {
			if ((strcmp(c->names[i], "accept_redirects") == 0) != last)
				continue;
			r = conf_set_entry(s, dir, where, c->names[i], e[i]);
			if (r < 0)
				return r;
		}
	return 0;
}

int net_conf_set(int proc, enum net_conf v, const char *dev, const char *name, int value)
{
	own_fd int dir = -EBADF;
	int r = conf_open(proc, v, dev, &dir);
	char text[16];

	if (r)
		return r < 0 ? r : 0;
	snprintf(text, sizeof(text), "%d", value);
	r = value_write(dir, name, text);
	return r == -ENOENT ? 0 : r;
}

int net_conf_at(enum net_conf v, SysctlEntry *const *e, size_t n, const char *name, int def)
{
	for (size_t i = 0; i < n && i < confs[v].n; i++)
		if (!strcmp(confs[v].names[i], name))
			return e[i]->has_iarg ? e[i]->iarg : def;
	return def;
}

bool net_conf_known(enum net_conf v, const char *name)
{
	for (size_t i = 0; i < confs[v].n; i++)
		if (!strcmp(confs[v].names[i], name))
			return true;
	return false;
}

int net_sysctl_dump(struct session *s, int proc, NetnsEntry *e)
{
	char buf[128];
	int v, r = number_read(proc, "sys/net/unix/max_dgram_qlen", &v);
	SysctlEntry *q;

	if (r == 0) { /* not shown in a user namespace */
		q = entry_new(SYSCTL_TYPE__CTL_32);
		q->has_iarg = true;
		q->iarg = v;
		e->unix_conf = xalloc(sizeof(q));
		e->unix_conf[e->n_unix_conf++] = q;
	}
	r = value_read(proc, "sys/net/ipv4/ping_group_range", buf, sizeof(buf) - 1);
	if (r == 0) {
		/* numbers are shown as the reader's user namespace sees them; images keep the newline */
		q = entry_new(SYSCTL_TYPE__CTL_STR);
		q->sarg = xprintf("%s\n", buf);
		e->ipv4_sysctl = xalloc(sizeof(q));
		e->ipv4_sysctl[e->n_ipv4_sysctl++] = q;
	}
	return 0;
}

int net_sysctl_restore(struct session *s, int proc, const NetnsEntry *e)
{
	char text[128];
	int r = 0;

	if (e->n_unix_conf && e->unix_conf[0]->has_iarg) {
		snprintf(text, sizeof(text), "%d", e->unix_conf[0]->iarg);
		r = value_set(s, proc, "/proc", "sys/net/unix/max_dgram_qlen", text);
	}
	if (r == 0 && e->n_ipv4_sysctl && e->ipv4_sysctl[0]->sarg) {
		snprintf(text, sizeof(text), "%s", e->ipv4_sysctl[0]->sarg);
		text[strcspn(text, "\n")] = 0;
		r = value_set(s, proc, "/proc", "sys/net/ipv4/ping_group_range", text);
	}
	return r;
}
