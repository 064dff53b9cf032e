// SPDX-License-Identifier: Apache-2.0
/*
 * landlock: is a thread in a Landlock domain (landlock(7))?
 *
 * Kept:   nothing: the kernel tells neither what a domain forbids nor that there is one.
 * Lost:   domains, from which a restored task is free: reported.
 * Kernel: security/landlock/task.c: who is in a domain may not look at a process outside of it, whoever it belongs
 *         to. So a process of the thread's own user, with no rights of its own, is put beside it, and it is let
 *         compare itself with that one by kcmp(2), which changes nothing. Without no_new_privs or CAP_SYS_ADMIN
 *         nobody can enter a domain.
 */
#include "kind/task.h"

#include "base/res.h"
#include "base/text.h"
#include "task/guest.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define LANDLOCK_CREATE_RULESET 444 /* system call, the same on every machine */
#define LANDLOCK_VERSION 1

/* A process to be looked at, until the end of the dump. */
struct peer {
	struct guest guest;
	uint32_t uid, gid;
	pid_t vpid; /* in its own pid namespace */
};

static bool may_be_in_one(const struct thread *t)
{
	const CredsEntry *c = t->core->thread_core->creds;

	return c && ((c->has_no_new_privs && c->no_new_privs) || (c->n_cap_prm && c->cap_prm[0] & 1u << CAP_SYS_ADMIN)) &&
	       syscall(LANDLOCK_CREATE_RULESET, NULL, 0, LANDLOCK_VERSION) > 0;
}

/* Runs as the guest: whoever has these ids may look at us, until the supervisor is done or gone. */
static int peer_main(struct session *s, void *arg)
{
	const struct peer *p = arg;
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { 0 };
	char byte;

	if (setresgid(p->gid, p->gid, p->gid) < 0 || setresuid(p->uid, p->uid, p->uid) < 0 ||
	    syscall(SYS_capset, &h, none) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
		return session_fail(s, -errno, "guest: become user %u", p->uid);
	if (guest_give_fd(s, 0, s->guest->sock) < 0)
		return -EIO;
	while (recv(s->guest->sock, &byte, 1, 0) < 0 && errno == EINTR)
		;
	return 0;
}

static int user_ns(const struct task *k)
{
	struct stat its, ours;

	if (fstatat(k->proc, "ns/user", &its, 0) < 0 || stat("/proc/self/ns/user", &ours) < 0 || its.st_ino == ours.st_ino)
		return 0;
	return fd_high(openat(k->proc, "ns/user", O_RDONLY | O_CLOEXEC));
}

static int peer_start(struct session *s, const struct thread *t, struct peer *p)
{
	own_fd int pidns = fd_high(openat(t->task->proc, "ns/pid", O_RDONLY | O_CLOEXEC));
	own_fd int user = user_ns(t->task);
	struct guest_where w = { .pidns = pidns, .user = user > 0 ? user : 0 };
	own_mem char *status = NULL;
	const char *numbers;
	int tag, r = pidns < 0 || user < 0 ? -errno : guest_start(s, &p->guest, &w, peer_main, p);

	if (user == 0)
		take_fd(user); /* no descriptor */
	if (r < 0)
		return r;
	r = guest_take_fd(s, &p->guest, &tag);
	if (r < 0)
		return r;
	fd_close(r);
	if (text_readf(AT_FDCWD, &status, "/proc/%d/status", p->guest.pid) < 0 || !(numbers = text_after(status, "NSpid:")))
		return -ESRCH;
	for (const char *n = numbers; *n && *n != '\n'; n += strcspn(n, "\t\n"), n += *n == '\t')
		p->vpid = atoi(n);
	return 0;
}

/* One for each user of each pid and user namespace. */
static struct peer *peer_of(struct session *s, const struct thread *t)
{
	struct map *m = session_map(s, "landlock peers");
	const CredsEntry *c = t->core->thread_core->creds;
	struct stat pid = { 0 }, user = { 0 };
	struct peer *p;
	uint64_t key;

	if (fstatat(t->task->proc, "ns/pid", &pid, 0) < 0 || fstatat(t->task->proc, "ns/user", &user, 0) < 0)
		return NULL;
	key = (uint64_t)c->uid << 32 ^ c->gid ^ (pid.st_ino << 32 | user.st_ino) * 0x9e3779b97f4a7c15ULL;
	p = map_get(m, key);
	if (p)
		return p;
	p = xalloc(sizeof(*p));
	*p = (struct peer){ .uid = c->uid, .gid = c->gid };
	map_put(m, key, p);
	return peer_start(s, t, p) < 0 ? NULL : p;
}

static int landlock_more(struct session *s, struct thread *t)
{
	bool had = s->why[0];
	struct peer *p = may_be_in_one(t) ? peer_of(s, t) : NULL;
	struct batch b;
	int r;

	session_forget_new(s, had);
	if (!p || !p->vpid)
		return 0;
	batch_start(s, &b, t);
	call5(&b, NULL, SYS_kcmp, thread_self(t), p->vpid, KCMP_FS, 0, 0);
	r = batch_run(&b);
	if (r == 0 && batch_ret(&b, 0) == -EPERM)
		session_warn(s, "thread %d: is in a Landlock domain (it may not look at a process of its own user); the domain is not kept, a restored task is free of it",
			     t->vtid);
	return r;
}

/* They end by themselves, and their doorkeepers before: an orphan would become a child of the tasks' first. */
static void landlock_end(struct session *s)
{
	struct map *m = session_map(s, "landlock peers");

	for (size_t i = 0; i < m->max; i++) {
		struct peer *p = m->rows[i].value;

		if (!p || p->guest.pid <= 0)
			continue;
		shutdown(p->guest.sock, SHUT_RDWR);
		guest_wait(s, &p->guest);
	}
}

const struct task_kind task_kind_landlock = {
	.name = "Landlock domain",
	.stage = STAGE_ATTR,
	.per_thread = true,
	.more = landlock_more,
	.end = landlock_end,
};
