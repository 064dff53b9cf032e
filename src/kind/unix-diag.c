// SPDX-License-Identifier: Apache-2.0
#include "kind/unix-diag.h"

#include "base/res.h"
#include "kind/ns.h"

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>

#define BUFFER (256u << 10)

static int attr_note(const struct nlattr *a, void *arg)
{
	struct unix_diag *d = arg;
	const void *p = mnl_attr_get_payload(a);
	size_t n = mnl_attr_get_payload_len(a);

	switch (mnl_attr_get_type(a)) {
	case UNIX_DIAG_NAME:
		d->name = xmemdup(p, n);
		d->name_len = n;
		break;
	case UNIX_DIAG_PEER:
		d->has_peer = true;
		d->peer = mnl_attr_get_u32(a);
		break;
	case UNIX_DIAG_ICONS:
		d->icons = xmemdup(p, n);
		d->n_icons = n / sizeof(uint32_t);
		break;
	case UNIX_DIAG_RQLEN:
		d->rqueue = ((const struct unix_diag_rqlen *)p)->udiag_rqueue;
		d->wqueue = ((const struct unix_diag_rqlen *)p)->udiag_wqueue;
		break;
	case UNIX_DIAG_SHUTDOWN:
		d->shutdown = *(const uint8_t *)p;
		break;
	}
	return MNL_CB_OK;
}

static int row_note(const struct nlmsghdr *nlh, void *arg)
{
	const struct unix_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	struct unix_diag *d;

	if (!m->udiag_ino) /* not accepted yet: its listener tells of it */
		return MNL_CB_OK;
	d = xalloc(sizeof(*d));
	d->ino = m->udiag_ino;
	d->type = m->udiag_type;
	d->state = m->udiag_state;
	mnl_attr_parse(nlh, sizeof(*m), attr_note, d);
	map_put(arg, d->ino, d);
	return MNL_CB_OK;
}

static int diag_ask(struct mnl_socket *nl)
{
	char buf[NLMSG_SPACE(sizeof(struct unix_diag_req))] = { 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct unix_diag_req *q;

	nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	q = mnl_nlmsg_put_extra_header(nlh, sizeof(*q));
	q->sdiag_family = AF_UNIX;
	q->udiag_states = ~0U;
	q->udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN;
	return mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0 ? -errno : 0;
}

static int diag_hear(struct mnl_socket *nl, struct map *by_ino)
{
	own_mem char *buf = xalloc(BUFFER);
	int r = MNL_CB_OK;

	while (r > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(nl, buf, BUFFER);

		if (n < 0)
			return -errno;
		r = mnl_cb_run(buf, n, 0, mnl_socket_get_portid(nl), row_note, by_ino);
	}
	return r < 0 ? -errno : 0;
}

static int diag_run(struct map *by_ino)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	int r;

	if (!nl)
		return -errno;
	r = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : diag_ask(nl);
	if (r == 0)
		r = diag_hear(nl, by_ino);
	mnl_socket_close(nl);
	return r;
}

/* Each client knows the listener in whose queue it waits. */
static void listeners_note(struct map *by_ino)
{
	for (size_t i = 0; i < by_ino->max; i++) {
		const struct unix_diag *d = by_ino->rows[i].value;

		for (size_t n = 0; d && n < d->n_icons; n++) {
			struct unix_diag *c = map_get(by_ino, d->icons[n]);

			if (c)
				c->listener = d->ino;
		}
	}
}

int unix_diag_load(struct session *s, uint32_t net_ns_id, struct map *by_ino)
{
	int r = net_ns_id ? ns_enter_net(s, net_ns_id) : 0, back;

	if (r < 0)
		return r;
	r = diag_run(by_ino);
	back = net_ns_id ? ns_enter_net(s, 0) : 0;
	if (r < 0)
		return session_fail(s, r, "unix sockets: ask the kernel for them (sock_diag, CONFIG_UNIX_DIAG)");
	listeners_note(by_ino);
	return back;
}
