// SPDX-License-Identifier: Apache-2.0
/*
 * BPF programs that are attached to cgroups of version 2, such as systemd's for IPAddressDeny= or a runtime's for
 * devices.
 *
 * Kept:   those that bpf-prog.h keeps, in their order, with the flags they were attached by, where the restore makes
 *         the directory anew. In one that exists whoever made it has attached what is to be there.
 * Lost:   others, with a word; that one was attached by a link.
 * Kernel: kernel/bpf/cgroup.c; BPF_PROG_QUERY, BPF_PROG_ATTACH.
 */
#include "kind/bpf-prog.h"
#include "kind/cgroup-hier.h"

#include <fcntl.h>

#define PER_TYPE 64 /* BPF_CGROUP_MAX_PROGS */

static int note(struct session *s, CgroupDirEntry *e, uint32_t type, uint32_t flags, uint32_t id)
{
	union bpf_attr a = { .prog_id = id };
	own_fd int fd = fd_high(bpf_call(BPF_PROG_GET_FD_BY_ID, &a));
	CgroupBpfEntry *b;
	uint32_t prog;
	int r = fd < 0 ? -ENOTSUP : bpf_prog_dump(s, fd, &prog);

	if (r == -ENOTSUP) {
		session_warn(s, "cgroup %s: the BPF program %u that is attached to it (type %u) cannot be kept, as %s; attach it again after the restore",
			     e->dir_name, id, type, fd < 0 ? "it has gone" : bpf_prog_check(s, fd));
		return 0;
	}
	if (r < 0)
		return r;
	b = xalloc(sizeof(*b));
	cgroup_bpf_entry__init(b);
	b->attach_type = type;
	b->flags = flags;
	b->prog_id = prog;
	e->bpf = xgrow(e->bpf, (e->n_bpf + 1) * sizeof(*e->bpf));
	e->bpf[e->n_bpf++] = b;
	return 0;
}

int cgroup_bpf_dump(struct session *s, int dir, CgroupDirEntry *e)
{
	int r = 0;

	for (uint32_t type = 0; type < __MAX_BPF_ATTACH_TYPE; type++) {
		uint32_t ids[PER_TYPE];
		union bpf_attr a = { .query = { .target_fd = dir, .attach_type = type, .prog_ids = (uintptr_t)ids,
						.prog_cnt = PER_TYPE } };

		if (bpf_call(BPF_PROG_QUERY, &a) < 0)
			continue; /* not one of cgroups */
		for (uint32_t i = 0; r == 0 && i < a.query.prog_cnt && i < PER_TYPE; i++)
			r = note(s, e, type, a.query.attach_flags, ids[i]);
	}
	return r;
}

int cgroup_bpf_attach(struct session *s, const struct hier *h, const char *path, const CgroupDirEntry *e)
{
	own_fd int dir = e->n_bpf ? openat(h->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (e->n_bpf && dir < 0)
		return session_fail(s, -errno, "cgroup %s: open it, to attach its BPF programs", path);
	for (size_t i = 0; i < e->n_bpf; i++) {
		int fd = bpf_prog_get(s, e->bpf[i]->prog_id), r;
		union bpf_attr a = { .target_fd = dir, .attach_bpf_fd = fd, .attach_type = e->bpf[i]->attach_type,
				     .attach_flags = e->bpf[i]->flags & (BPF_F_ALLOW_OVERRIDE | BPF_F_ALLOW_MULTI) };

		r = fd < 0 ? fd : bpf_call(BPF_PROG_ATTACH, &a);
		if (r < 0)
			return session_fail(s, r, "cgroup %s: attach a BPF program of it", path);
	}
	return 0;
}
