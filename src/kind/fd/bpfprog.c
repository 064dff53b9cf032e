// SPDX-License-Identifier: Apache-2.0
/*
 * bpfprog: descriptors of BPF programs.
 *
 * Kept:   socket filters and programs of cgroups (packets, devices): instructions, name, whether GPL; the maps they
 *         use, if a task has those open; who shares one; where below the container's cgroups one is attached.
 * Lost:   the program's id, when and by whom it was loaded, its statistics. Refused before anything is stopped:
 *         other types, programs with type information (BTF), and those whose instructions cannot be found again
 *         from what the kernel shows (kind/bpf-back.c).
 * Kernel: kernel/bpf/syscall.c; "prog_id" in fdinfo.
 */
#include "kind/bpf-prog.h"
#include "kind/fd.h"

#include "base/text.h"

#include <fcntl.h>
#include <string.h>

static bool prog_is(const struct fd_view *v)
{
	return text_starts(v->link, "anon_inode:bpf-prog");
}

static int refuse(struct session *s, const struct fd_view *v, const char *why)
{
	struct bpf_prog_info p = { 0 };
	union bpf_attr a = { .info = { .bpf_fd = v->fd, .info_len = sizeof(p), .info = (uintptr_t)&p } };

	return session_fail(s, -ENOTSUP,
			    "task %d: descriptor %d is the BPF program %.16s, which %s; have it unloaded (one of systemd's: by a drop-in without the option of the unit that it is for)",
			    v->task->vpid, v->num, bpf_call(BPF_OBJ_GET_INFO_BY_FD, &a) == 0 && p.name[0] ? p.name : "?", why);
}

static int prog_preflight(struct session *s, const struct fd_view *v)
{
	const char *why = bpf_prog_check(s, v->fd);

	return why ? refuse(s, v, why) : 0;
}

static int prog_dump(struct session *s, const struct fd_view *v)
{
	BpfprogFileEntry e = BPFPROG_FILE_ENTRY__INIT;
	int r = bpf_prog_dump(s, v->fd, &e.prog_id);

	if (r == -ENOTSUP)
		return prog_preflight(s, v);
	e.id = v->id;
	e.flags = v->flags;
	e.pos = v->pos;
	e.fown = v->fown;
	return r < 0 ? r : fd_put(s, v, &e.base);
}

static int prog_restore(struct session *s, struct fd_obj *o)
{
	const BpfprogFileEntry *e = o->entry->bpfprog;
	int fd = e ? bpf_prog_get(s, e->prog_id) : session_fail(s, -EBADMSG, "files.img: BPF program 0x%x is damaged", o->id);
	struct bpf_prog_info p = { 0 };
	union bpf_attr get = { .info = { .bpf_fd = fd, .info_len = sizeof(p), .info = (uintptr_t)&p } }, a = { 0 };

	if (fd < 0)
		return fd;
	if (bpf_call(BPF_OBJ_GET_INFO_BY_FD, &get) < 0)
		return session_fail(s, -errno, "BPF program 0x%x: look at it", o->id);
	a.prog_id = p.id;
	o->fd = fd_high(bpf_call(BPF_PROG_GET_FD_BY_ID, &a)); /* another open file of the same */
	return o->fd < 0 ? session_fail(s, o->fd, "BPF program %s: open it", p.name) : 0;
}

const struct fd_kind fd_kind_bpfprog = {
	.name = "BPF program",
	.type = FD_TYPES__BPFPROG,
	.is = prog_is,
	.dump = prog_dump,
	.restore = prog_restore,
	.preflight = prog_preflight,
};
