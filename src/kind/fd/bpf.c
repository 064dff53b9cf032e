// SPDX-License-Identifier: Apache-2.0
/*
 * bpf: BPF programs, maps and links.
 *
 * Kept:   nothing yet: refused before anything is stopped, with the name that the kernel knows.
 * Lost:   nothing.
 * Kernel: kernel/bpf/syscall.c; "prog_id", "map_id" in fdinfo. A program is shown as it was rewritten for
 *         this kernel, which no kernel would load again.
 */
#include "kind/fd.h"

#include "base/res.h"
#include "base/text.h"

#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>

static bool bpf_is(const struct fd_view *v)
{
	return text_starts(v->link, "anon_inode:bpf-prog") || text_starts(v->link, "anon_inode:bpf-map") ||
	       text_starts(v->link, "anon_inode:bpf_link");
}

static const char *prog_name(int fd, struct bpf_prog_info *i)
{
	union bpf_attr a = { .info = { .bpf_fd = fd, .info_len = sizeof(*i), .info = (uintptr_t)i } };

	memset(i, 0, sizeof(*i));
	return syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a)) == 0 && i->name[0] ? i->name : "?";
}

static int bpf_preflight(struct session *s, const struct fd_view *v)
{
	struct bpf_prog_info i;

	if (!text_starts(v->link, "anon_inode:bpf-prog"))
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is %s, which cannot be checkpointed yet; have it closed",
				    v->task->vpid, v->num, v->link);
	return session_fail(s, -ENOTSUP,
			    "task %d: descriptor %d is the BPF program %.16s, which the kernel does not give back; have it unloaded (with systemd: a drop-in with IPAddressDeny= and IPAccounting=no for the units that have them)",
			    v->task->vpid, v->num, prog_name(v->fd, &i));
}

static int bpf_restore(struct session *s, struct fd_obj *o)
{
	return session_fail(s, -ENOTSUP, "file 0x%x: BPF objects cannot be restored yet", o->id);
}

const struct fd_kind fd_kind_bpf = {
	.name = "BPF object",
	.type = FD_TYPES__BPFMAP,
	.is = bpf_is,
	.dump = bpf_preflight,
	.restore = bpf_restore,
	.preflight = bpf_preflight,
};
