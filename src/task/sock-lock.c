// SPDX-License-Identifier: Apache-2.0
#include "task/sock-lock.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define PASS_WHOLE 0xffffffff /* bytes of a packet that pass */
#define PASS_REUSE 0xfffffffe /* as many; and the socket has SO_REUSEADDR */

#define PROG_N 4

/* The program also tells our lock from others' filters, and what repair mode makes forget. */
static void lock_prog(struct sock_filter p[PROG_N], bool reuse)
{
	const struct sock_filter prog[PROG_N] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_MARK)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOCK_LOCK_MARK, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, reuse ? PASS_REUSE : PASS_WHOLE),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};

	memcpy(p, prog, sizeof(prog));
}

/* is there our lock, made with that value? */
static bool is_locked(int fd, bool reuse)
{
	struct sock_filter now[PROG_N], prog[PROG_N];
	socklen_t n = 0;

	lock_prog(prog, reuse);
	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &n) < 0 || n != PROG_N)
		return false;
	return getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, now, &n) == 0 &&
	       !memcmp(now, prog, sizeof(now));
}

int sock_lock(int fd, bool reuse)
{
	struct sock_filter prog[PROG_N];
	struct sock_fprog p = { .len = PROG_N, .filter = prog };
	socklen_t n = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &n) < 0 || n)
		return -EBUSY;
	lock_prog(prog, reuse);
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p)) < 0 ? -errno : 0;
}

void sock_unlock(int fd)
{
	int v = 0;

	if (is_locked(fd, false) || is_locked(fd, true))
		setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &v, sizeof(v));
}

int sock_repair_end(int fd, int reuse)
{
	int off = TCP_REPAIR_OFF_NO_WP;

	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)) < 0)
		return -errno;
	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)) < 0 ? -errno : 0;
}

static void sock_mend(int fd, const struct trace_table *tt)
{
	int protocol = 0, on = 0;
	socklen_t n = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &n) < 0 || protocol != IPPROTO_TCP)
		return;
	n = sizeof(int);
	if (getsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, &n) == 0 && on)
		sock_repair_end(fd, !is_locked(fd, false)); /* unknown: what listeners hand down */
	sock_unlock(fd);
}

static void sock_hold(int fd, const struct trace_table *tt)
{
	int on = TCP_REPAIR_ON;
	uint32_t i = 0;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return;
	while (i < tt->n_conns && tt->conns[i] != st.st_ino)
		i++;
	if (i < tt->n_conns)
		setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on));
}

static void task_each(pid_t pid, const struct trace_table *tt,
		      void (*fn)(int fd, const struct trace_table *tt))
{
	char path[48];
	own_dir DIR *d = NULL;
	own_fd int pidfd = syscall(SYS_pidfd_open, pid, 0);
	struct dirent *e;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = pidfd < 0 ? NULL : opendir(path);
	while (d && (e = readdir(d))) {
		own_mem char *link = NULL;
		own_fd int fd = -1;

		if (text_readlink(dirfd(d), e->d_name, &link) < 0 || !text_starts(link, "socket:"))
			continue;
		fd = syscall(SYS_pidfd_getfd, pidfd, atoi(e->d_name), 0);
		if (fd >= 0)
			fn(fd, tt);
	}
}

void sock_mend_all(const struct trace_table *tt)
{
	for (uint32_t i = 0; i < tt->n; i++)
		if (tt->t[i].tid == tt->t[i].tgid && !tt->t[i].zombie)
			task_each(tt->t[i].tgid, tt, sock_mend);
}

void sock_hold_all(const struct trace_table *tt)
{
	for (uint32_t i = 0; i < tt->n; i++)
		if (tt->t[i].tid == tt->t[i].tgid)
			task_each(tt->t[i].tgid, tt, sock_hold);
}
