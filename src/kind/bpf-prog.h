/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf-prog: BPF programs, as descriptors hold them and cgroups have them attached. The kernel shows a program as it
 * was rewritten for it; what was loaded is found again from that (bpf-back.c), and proved by its tag, a hash of it.
 */
#ifndef KIND_BPF_PROG_H
#define KIND_BPF_PROG_H

#include "base/res.h"
#include "session/session.h"

#include <linux/bpf.h>
#include <sys/syscall.h>

#define BPF_INSNS_MAX 4096

struct bpf_code {
	struct bpf_prog_info info;
	uint32_t expected_attach;
	struct {
		struct bpf_insn *v; /* as they were loaded, maps by their ids */
		size_t n, max;
	} insns;
};

/** bpf_call - bpf(2); -errno */
static inline int bpf_call(int cmd, union bpf_attr *a)
{
	int r = syscall(SYS_bpf, cmd, a, sizeof(*a));

	return r < 0 ? -errno : r;
}

/**
 * bpf_load - load instructions whose maps are known by their ids
 * @map_fd: a descriptor of a map, borrowed, or -errno
 * Return: a descriptor, or -errno.
 */
int bpf_load(const struct bpf_code *code, int (*map_fd)(void *arg, uint32_t id), void *arg);

/* bpf-back.c */

/**
 * bpf_back - what was loaded as the program behind fd
 * Return: 0, or -ENOTSUP with the reason in *why, which is constant.
 */
int bpf_back(int fd, struct bpf_code *ret, const char **why);
static inline void bpf_code_release(struct bpf_code *c)
{
	free(c->insns.v);
}
#define own_code __attribute__((cleanup(bpf_code_release)))

/* bpf-prog.c */

/** bpf_prog_held - has a task of the tree a descriptor of the program with that id? */
bool bpf_prog_held(struct session *s, uint32_t id);
/** bpf_prog_check - can it be kept? NULL, or why not; constant */
const char *bpf_prog_check(struct session *s, int fd);
/** bpf_prog_dump - the program behind fd into the images, once; its id. -ENOTSUP: not said; see bpf_prog_check() */
int bpf_prog_dump(struct session *s, int fd, uint32_t *ret_id);
int bpf_prog_dump_end(struct session *s);
/** bpf_prog_get - restore: the program of that id, loaded at the first call; borrowed; -errno with the reason */
int bpf_prog_get(struct session *s, uint32_t id);

#endif
