// SPDX-License-Identifier: Apache-2.0
/*
 * net-raw: listings of netlink, as they are, in files of an image, and sent again.
 */
#include "kind/net-raw.h"

#include "base/list.h"
#include "image/record.h"

#include <string.h>

#define RAW_MAX (256u << 20) /* bytes of one file */

/* A listing begins anew. */
static void raw_list_clear(struct raw_list *l)
{
	while (l->n > l->from)
		free(l->v[--l->n]);
}

void raw_list_free(struct raw_list *l)
{
	l->from = 0;
	raw_list_clear(l);
	free(l->v);
}

static int raw_take(const struct nlmsghdr *h, void *arg)
{
	struct raw_list *l = arg;
	enum raw_keep keep = RAW_KEEP;

	if (!h) {
		raw_list_clear(l);
		return 0;
	}
	/* groups of bridges are listed under the type of the question */
	if ((h->nlmsg_type != l->f->new && (l->f->new != RTM_NEWMDB || h->nlmsg_type != RTM_GETMDB)) ||
	    mnl_nlmsg_get_payload_len(h) < l->f->head)
		return 0;
	if (l->f->keep)
		keep = l->f->keep(h);
	if (keep == RAW_SKIP)
		return 0;
	l->special = l->special || keep == RAW_KEEP;
	l->bytes += h->nlmsg_len;
	if (l->bytes > RAW_MAX)
		return -EFBIG;
	*vec_add(l) = xmemdup(h, h->nlmsg_len);
	l->v[l->n - 1]->nlmsg_type = l->f->new;
	return 0;
}

int raw_open(struct session *s, struct rtnl *n, int bus, uint32_t id)
{
	int r = rtnl_open_bus(n, bus);

	if (r == -EPROTONOSUPPORT)
		return 1;
	return r < 0 ? session_fail(s, r, "netns %u: open netlink %d", id, bus) : 0;
}

int raw_list_ask(struct rtnl *n, const struct raw_file *f, const void *head, struct raw_list *l)
{
	int r;

	l->f = f;
	l->from = l->n;
	r = rtnl_list_asked(n, f->get, f->head, head, raw_take, l);
	if (r == -EOPNOTSUPP || r == -EAFNOSUPPORT || (r == -EINVAL && f->new >= 1 << 8))
		r = 0; /* the kernel was built without: nothing is there */
	if (r == -EPERM && f->hosts)
		r = 0;
	return r;
}

int raw_one_ask(struct rtnl *n, const struct raw_file *f, const void *head, struct raw_list *l)
{
	char buf[NLMSG_HDRLEN + RTNL_HEAD_MAX] __attribute__((aligned(8)));
	void *m;
	struct nlmsghdr *h = rtnl_begin(buf, f->get, 0, f->head, &m);

	memcpy(m, head, f->head);
	l->f = f;
	l->from = l->n;
	return rtnl_talk(n, h, raw_take, l);
}

int raw_list_get(struct rtnl *n, const struct raw_file *f, struct raw_list *l)
{
	uint8_t head[RTNL_HEAD_MAX] = { f->family };

	if (f->asked_at)
		head[f->asked_at] = f->ask;
	return raw_list_ask(n, f, head, l);
}

int raw_write(struct session *s, const struct raw_list *l, uint32_t id)
{
	static const char zero[NLMSG_ALIGNTO];
	own_image struct image img = { 0 };
	const struct raw_file *f = l->f;
	int r;

	if (!f->magic && !l->special && (!l->n || l->n >= f->by_default))
		return 0;
	r = image_create(s, &img, 0, "%s-%u.img", f->name, id);
	if (r == 0 && f->magic)
		r = image_write_raw(&img, &f->magic, sizeof(f->magic));
	for (size_t i = 0; i < l->n && r == 0; i++) {
		size_t len = l->v[i]->nlmsg_len;

		r = image_write_raw(&img, l->v[i], len);
		if (r == 0 && NLMSG_ALIGN(len) != len)
			r = image_write_raw(&img, zero, NLMSG_ALIGN(len) - len);
	}
	if (r < 0)
		return r;
	session_debug(s, "netns %u: %zu %s", id, l->n, f->name);
	return image_close(&img);
}

int raw_dump(struct session *s, struct rtnl *n, const struct raw_file *f, uint32_t id)
{
	own_raw struct raw_list l = { 0 };
	int r = raw_list_get(n, f, &l);

	return r < 0 ? session_fail(s, r, "netns %u: list %s%s", id, f->name, n->why) : raw_write(s, &l, id);
}

int raw_read(struct session *s, const struct raw_file *f, uint32_t id, struct raw_list *l)
{
	own_image struct image img = { 0 };
	uint32_t magic;
	int r = image_open(s, &img, 0, "%s-%u.img", f->name, id);

	l->f = f;
	if (r != 0)
		return r;
	if (image_left(&img) == 0)
		return 1;
	if (image_left(&img) > RAW_MAX)
		return session_fail(s, -EBADMSG, "image %s: larger than %u bytes", img.name, RAW_MAX);
	if (f->magic && (r = image_read_raw(&img, &magic, sizeof(magic))) < 0)
		return r;
	if (f->magic && magic != f->magic)
		return session_fail(s, -EBADMSG, "image %s: starts with 0x%x, not 0x%x", img.name,
				    magic, f->magic);
	while (image_left(&img) > 0) {
		struct nlmsghdr h, *m;
		size_t len;

		r = image_read_raw(&img, &h, sizeof(h));
		if (r < 0)
			return r;
		if (h.nlmsg_len < sizeof(h) + f->head || h.nlmsg_len > RTNL_MSG_MAX ||
		    h.nlmsg_type != f->new)
			return session_fail(s, -EBADMSG, "image %s: message %zu: type %u, %u bytes: "
					    "damaged file", img.name, l->n, h.nlmsg_type,
					    h.nlmsg_len);
		len = NLMSG_ALIGN(h.nlmsg_len);
		m = xalloc(len);
		memcpy(m, &h, sizeof(h));
		*vec_add(l) = m;
		r = image_read_raw(&img, m + 1, len - sizeof(h));
		if (r == 0 && f->map && s->opts->n_address_map)
			r = f->map(s, m);
		if (r < 0)
			return r;
	}
	return 0;
}

int raw_send(struct rtnl *n, const struct raw_file *f, struct nlmsghdr *h)
{
	int r;

	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE;
	r = f->send ? f->send(n, h) : rtnl_talk(n, h, NULL, NULL);
	return r == -EEXIST ? 0 : r;
}

size_t raw_rounds(struct rtnl *n, struct raw_list *l, int *ret_errno)
{
	size_t left = l->n, before;
	char why[sizeof(n->why)] = "";

	*ret_errno = 0;
	do {
		size_t keep = 0;

		before = left;
		for (size_t i = 0; i < left; i++) {
			struct nlmsghdr *h = l->v[i];
			int e = raw_send(n, l->f, h);

			if (e == 0)
				continue;
			l->v[i] = l->v[keep];
			l->v[keep++] = h;
			*ret_errno = e;
			memcpy(why, n->why, sizeof(why));
		}
		left = keep;
	} while (left && left < before);
	memcpy(n->why, why, sizeof(why));
	return left;
}

int raw_replay(struct session *s, struct rtnl *n, struct raw_list *l, uint32_t id)
{
	int r;
	size_t left = raw_rounds(n, l, &r);

	bool gone = s->opts->n_address_map && (l->f->new == RTM_NEWROUTE || l->f->new == RTM_NEWNEXTHOP);

	return left ? session_fail(s, r, "netns %u: %s: %zu of %zu entries cannot be set%s%s", id, l->f->name, left, l->n, n->why,
				   gone ? "; give --address-map for its gateway, too" : "")
		    : 0;
}

void raw_input(struct nlmsghdr *req, const struct nlmsghdr *h, size_t head, const uint16_t *types, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct nlattr *a = attr_find(h, head, types[i] & NLA_TYPE_MASK);

		if (a)
			mnl_attr_put(req, types[i], mnl_attr_get_payload_len(a), mnl_attr_get_payload(a));
	}
}

void raw_reverse(struct raw_list *l)
{
	for (size_t i = 0, j = l->n; i + 1 < j; i++) {
		struct nlmsghdr *h = l->v[i];

		l->v[i] = l->v[--j];
		l->v[j] = h;
	}
}
