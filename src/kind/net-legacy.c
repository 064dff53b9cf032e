// SPDX-License-Identifier: Apache-2.0
/*
 * net-legacy: see net-legacy.h. A table is kept as the kernel tells it, which is also what it takes: entries of
 * variable length, offsets of the hooks' first entries and policies.
 *
 * Kept:   tables of IPv4 and IPv6 with rules or other policies than at the start, and counters.
 * Lost:   what a match has counted for itself (limit, quota, recent); rules of arptables-legacy and
 *         ebtables-legacy, and rules in images of CRIU's, which hold text: reported.
 * Kernel: net/ipv[46]/netfilter/ip*_tables.c; /proc/net/ip_tables_names, IPT_SO_GET_INFO.
 */
#include "kind/net-legacy.h"

#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "kind/net-map.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if.h>
#include <linux/netfilter_bridge/ebtables.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <string.h>
#include <sys/socket.h>

#define TEXT_MAX (64u << 20)  /* bytes of an image of CRIU's */
#define TABLE_MAX (64u << 20) /* bytes of a table's entries */
#define TABLES_MAX 64u

/* IPv6 has the same structures and numbers. */
_Static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo), "getinfo");
_Static_assert(sizeof(struct ipt_get_entries) == sizeof(struct ip6t_get_entries), "entries");
_Static_assert(sizeof(struct ipt_replace) == sizeof(struct ip6t_replace), "replace");
_Static_assert(IPT_SO_GET_INFO == IP6T_SO_GET_INFO && IPT_SO_GET_ENTRIES == IP6T_SO_GET_ENTRIES, "options");
_Static_assert(IPT_SO_SET_REPLACE == IP6T_SO_SET_REPLACE && IPT_SO_SET_ADD_COUNTERS == IP6T_SO_SET_ADD_COUNTERS, "options");

/* A record of xtables-N.img; info.size bytes of entries follow. */
struct table {
	uint32_t family;
	struct ipt_getinfo info;
};

static const struct family {
	int family, level;
	const char *names, *tool;
	size_t entry; /* bytes of an entry's head */
	size_t target, next, counters;
} families[] = {
	{ AF_INET, IPPROTO_IP, "ip_tables_names", "iptables", sizeof(struct ipt_entry),
	  offsetof(struct ipt_entry, target_offset), offsetof(struct ipt_entry, next_offset), offsetof(struct ipt_entry, counters) },
	{ AF_INET6, IPPROTO_IPV6, "ip6_tables_names", "ip6tables", sizeof(struct ip6t_entry),
	  offsetof(struct ip6t_entry, target_offset), offsetof(struct ip6t_entry, next_offset), offsetof(struct ip6t_entry, counters) },
};

static int table_socket(struct session *s, const struct family *f, const char *name, struct ipt_getinfo *info, int *ret_fd)
{
	socklen_t len = sizeof(*info);
	own_fd int fd = socket(f->family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

	memset(info, 0, sizeof(*info));
	snprintf(info->name, sizeof(info->name), "%s", name);
	if (fd < 0 || getsockopt(fd, f->level, IPT_SO_GET_INFO, info, &len) < 0)
		return session_fail(s, -errno, "%s table %s: read its size", f->tool, name);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* ---- dump ---- */

/* Does a hook's policy let packets through? It is the standard target at the hook's underflow. */
static bool accepts(const struct family *f, const char *entries, size_t size, uint32_t at)
{
	struct xt_standard_target t;

	if (at > size || size - at < f->entry + sizeof(t))
		return false;
	memcpy(&t, entries + at + f->entry, sizeof(t));
	return t.verdict == -NF_ACCEPT - 1;
}

/* As every table is at the start: no rules, and all policies accept. */
static bool fresh(const struct family *f, const struct ipt_getinfo *info, const char *entries)
{
	unsigned hooks = 0;

	for (unsigned h = 0; h < NF_INET_NUMHOOKS; h++) {
		if (!(info->valid_hooks & 1u << h))
			continue;
		hooks++;
		if (!accepts(f, entries, info->size, info->underflow[h]))
			return false;
	}
	return info->num_entries <= hooks + 1; /* each hook has a policy, and an entry ends the table */
}

static int table_dump(struct session *s, const struct family *f, const char *name, struct image *img, uint32_t id)
{
	struct table t = { .family = (uint32_t)f->family };
	own_mem struct ipt_get_entries *e = NULL;
	own_fd int fd = -1;
	socklen_t len;
	int r = table_socket(s, f, name, &t.info, &fd);

	if (r < 0)
		return r;
	len = sizeof(*e) + t.info.size;
	e = xalloc(len);
	memcpy(e->name, t.info.name, sizeof(e->name));
	e->size = t.info.size;
	if (getsockopt(fd, f->level, IPT_SO_GET_ENTRIES, e, &len) < 0)
		return session_fail(s, -errno, "%s table %s: read it", f->tool, name);
	if (fresh(f, &t.info, (const char *)e->entrytable))
		return 0;
	if (img->fd < 0)
		r = image_create(s, img, 0, "xtables-%u.img", id);
	if (r == 0)
		r = image_write_raw(img, &t, sizeof(t));
	return r < 0 ? r : image_write_raw(img, e->entrytable, t.info.size);
}

static int family_dump(struct session *s, int proc, const struct family *f, struct image *img, uint32_t id)
{
	own_mem char *names = NULL;
	/* may belong to the host's root, who is nobody in the tasks' user namespace */
	own_fd int net = openat(proc, "thread-self/net", O_PATH | O_DIRECTORY | O_CLOEXEC);
	own_fd int fd = session_openat(s, net, f->names, O_RDONLY, 0);
	char *save = NULL;
	int r = fd < 0 ? fd : text_read_fd(fd, &names, NULL);

	if (r < 0)
		return r == -ENOENT ? 0 : session_fail(s, r, "/proc/net/%s: read", f->names);
	for (char *t = strtok_r(names, "\n", &save); t && r >= 0; t = strtok_r(NULL, "\n", &save))
		r = table_dump(s, f, t, img, id);
	return r < 0 ? r : 0;
}

/* Of other protocols' tables: that there are rules. */
static void others_report(struct session *s, int proc)
{
	static const char *const tables[] = { "filter", "nat", "broute" };
	own_fd int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	own_mem char *names = NULL;

	if (text_read(proc, "thread-self/net/arp_tables_names", &names, NULL) == 0 && *names)
		session_warn(s, "arptables-legacy: its rules are not kept; set them with nft");
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		struct ebt_replace e = { 0 };
		socklen_t len = sizeof(e);

		snprintf(e.name, sizeof(e.name), "%s", tables[i]);
		if (fd >= 0 && getsockopt(fd, IPPROTO_IP, EBT_SO_GET_INFO, &e, &len) == 0 && e.nentries)
			session_warn(s, "ebtables-legacy: the %u rules of table %s are not kept; set them with nft", e.nentries,
				     tables[i]);
	}
}

int legacy_dump(struct session *s, int proc, uint32_t id)
{
	own_image struct image img = { .fd = -1 };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(families) && r == 0; i++)
		r = family_dump(s, proc, &families[i], &img, id);
	others_report(s, proc);
	return r < 0 || img.fd < 0 ? r : image_close(&img);
}

/* ---- restore ---- */

/* The counters of a table's entries, which the kernel zeroes as it takes them; NULL: the entries are damaged. */
static struct xt_counters_info *counters_of(const struct family *f, const struct table *t, const char *entries)
{
	struct xt_counters_info *c = xalloc(sizeof(*c) + t->info.num_entries * sizeof(c->counters[0]));
	size_t at = 0;
	uint16_t next;

	memcpy(c->name, t->info.name, sizeof(c->name));
	for (; c->num_counters < t->info.num_entries && t->info.size - at >= f->entry; at += next) {
		memcpy(&next, entries + at + f->next, sizeof(next));
		memcpy(&c->counters[c->num_counters++], entries + at + f->counters, sizeof(c->counters[0]));
		if (next < f->entry || next > t->info.size - at)
			break;
	}
	if (at != t->info.size || c->num_counters != t->info.num_entries) {
		free(c);
		return NULL;
	}
	return c;
}

/* --address-map, in entries that counters_of() has found sound; their targets are looked at by the kernel. */
static int entries_map(struct session *s, const struct family *f, const struct table *t, char *entries)
{
	uint16_t target, next;
	int r = 0;

	for (size_t at = 0; at < t->info.size && r == 0; at += next) {
		memcpy(&next, entries + at + f->next, sizeof(next));
		memcpy(&target, entries + at + f->target, sizeof(target));
		if (target >= f->entry && target <= next)
			r = map_legacy(s, f->family, entries + at, (void *)(entries + at + target), next - target);
	}
	return r;
}

static int table_set(struct session *s, const struct family *f, const struct table *t, char *entries)
{
	own_mem struct xt_counters_info *c = counters_of(f, t, entries);
	own_mem struct ipt_replace *p = xalloc(sizeof(*p) + t->info.size);
	own_mem struct xt_counters *old = NULL;
	struct ipt_getinfo now;
	own_fd int fd = -1;
	int r;

	if (!c)
		return session_fail(s, -EBADMSG, "%s table %s: its entries are damaged", f->tool, t->info.name);
	r = s->opts->n_address_map ? entries_map(s, f, t, entries) : 0;
	if (r == 0)
		r = table_socket(s, f, t->info.name, &now, &fd);
	if (r < 0)
		return r;
	old = xalloc((now.num_entries + 1) * sizeof(*old));
	memcpy(p->name, t->info.name, sizeof(p->name));
	memcpy(p->hook_entry, t->info.hook_entry, sizeof(p->hook_entry));
	memcpy(p->underflow, t->info.underflow, sizeof(p->underflow));
	memcpy(p->entries, entries, t->info.size);
	p->valid_hooks = t->info.valid_hooks;
	p->num_entries = t->info.num_entries;
	p->size = t->info.size;
	p->num_counters = now.num_entries; /* room for those of what it replaces */
	p->counters = old;
	if (setsockopt(fd, f->level, IPT_SO_SET_REPLACE, p, sizeof(*p) + t->info.size) < 0)
		return session_fail(s, -errno, "%s table %s: set its %u entries: does this kernel have all their matches and targets?",
				    f->tool, t->info.name, t->info.num_entries);
	if (setsockopt(fd, f->level, IPT_SO_SET_ADD_COUNTERS, c, sizeof(*c) + c->num_counters * sizeof(c->counters[0])) < 0)
		return session_fail(s, -errno, "%s table %s: set its counters", f->tool, t->info.name);
	return 0;
}

static int table_restore(struct session *s, struct image *img)
{
	own_mem char *entries = NULL;
	const struct family *f = NULL;
	struct table t;
	int r = image_read_raw(img, &t, sizeof(t));

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (t.family == (uint32_t)families[i].family)
			f = &families[i];
	/* an entry takes more than its counters, so this bounds those, too */
	if (!f || !memchr(t.info.name, 0, sizeof(t.info.name)) || t.info.size > TABLE_MAX || t.info.size > image_left(img) ||
	    t.info.num_entries > t.info.size / f->entry)
		return session_fail(s, -EBADMSG, "image %s: a table's head is damaged", img->name);
	entries = xalloc(t.info.size + 1);
	r = image_read_raw(img, entries, t.info.size);
	return r < 0 ? r : table_set(s, f, &t, entries);
}

/* Rules in an image of CRIU's, as text; its lock is not one. */
static int text_report(struct session *s, const char *tool, uint32_t id)
{
	own_image struct image img = { .fd = -1 };
	own_mem char *text = NULL;
	char *save = NULL;
	size_t n, rules = 0;
	int r = image_open(s, &img, 0, "%s-%u.img", tool, id);

	if (r != 0)
		return r < 0 ? r : 0;
	n = image_left(&img);
	if (n > TEXT_MAX)
		return session_fail(s, -EBADMSG, "image %s: is too large", img.name);
	text = xalloc(n + 1);
	r = n ? image_read_raw(&img, text, n) : 0;
	for (char *l = strtok_r(text, "\n", &save); r == 0 && l; l = strtok_r(NULL, "\n", &save)) {
		bool policy = *l == ':' && strstr(l, " DROP ");

		rules += (policy || !strncmp(l, "-A ", 3)) && !strstr(l, " CRIU");
	}
	if (rules)
		session_warn(s, "%s: %zu rules of iptables-legacy are not restored; load that file with %s-legacy-restore in the namespace",
			     img.name, rules, tool);
	return r;
}

int legacy_restore(struct session *s, uint32_t id)
{
	own_image struct image img = { .fd = -1 };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(families) && r == 0; i++)
		r = text_report(s, families[i].tool, id);
	if (r == 0)
		r = image_open(s, &img, 0, "xtables-%u.img", id);
	for (unsigned n = 0; r == 0 && image_left(&img) > 0; n++)
		r = n < TABLES_MAX ? table_restore(s, &img) : session_fail(s, -EBADMSG, "image %s: more than %u tables", img.name, TABLES_MAX);
	return r < 0 ? r : 0;
}
