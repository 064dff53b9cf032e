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
 *
 * A fork of the supervisor takes as long as much of what else a small process needs: while tasks still run it makes an
 * usher, who forks the peers, beside what the supervisor does in the stopped tasks.
 */
#include "kind/ids.h"
#include "kind/task.h"

#include "base/res.h"
#include "base/text.h"
#include "task/guest.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define LANDLOCK_CREATE_RULESET 444 /* system call, the same on every machine */
#define LANDLOCK_VERSION 1
#define PATIENCE_S 2 /* with a peer that does not answer: somebody has ended it */

/* A process to be looked at, until the end of the dump. */
struct peer {
	pid_t vpid; /* in its own pid namespace; 0 until it is known, -1 there is none */
};

/* What the usher, or the peer itself, tells. */
struct answer {
	int number; /* of the request */
	pid_t vpid; /* or -1 */
};

struct peers {
	struct guest usher;
	struct map by_user;   /* of a pid and user namespace: struct peer */
	struct map by_number; /* of the request: the same */
	unsigned n;
};

static struct peers *peers_of(struct session *s)
{
	return session_state(s, "landlock", sizeof(struct peers));
}

/* ---- the usher ---- */

static int other_user_ns(int dir)
{
	struct stat its, ours;

	if (fstatat(dir, "ns/user", &its, 0) < 0 || stat("/proc/self/ns/user", &ours) < 0)
		return -errno;
	if (its.st_ino == ours.st_ino)
		return 0;
	return fd_high(openat(dir, "ns/user", O_RDONLY | O_CLOEXEC));
}

/* Ids as they are outside of the user namespace, whose members may look at us once no rights are left. */
static int peer_become(int dir, int user)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { 0 }, all[2];
	own_mem char *status = NULL;
	uint64_t uid, gid;
	int r = text_read(dir, "status", &status, NULL);

	if (r < 0 || (r = text_u64(status, "Uid:", 10, &uid)) < 0 || (r = text_u64(status, "Gid:", 10, &gid)) < 0)
		return r;
	if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	if (user && (syscall(SYS_capget, &h, all) < 0 ||
		     (all[0].effective = all[0].permitted, syscall(SYS_capset, &h, all)) < 0 || setns(user, CLONE_NEWUSER) < 0))
		return -errno;
	if (syscall(SYS_capset, &h, none) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
		return -errno;
	return 0;
}

static void __attribute__((noreturn)) peer_main(struct session *s, int dir, int number)
{
	struct pollfd end = { .fd = s->guest->sock }; /* hung up: the supervisor is done, or gone */
	struct answer a = { .number = number };
	int user;

	user = other_user_ns(dir);
	a.vpid = user < 0 || peer_become(dir, user) < 0 ? -1 : getpid();
	send(s->guest->sock, &a, sizeof(a), MSG_NOSIGNAL);
	while (poll(&end, 1, -1) < 0 && errno == EINTR)
		;
	_exit(0);
}

static void peer_fork(struct session *s, int dir, int number)
{
	own_fd int pidns = openat(dir, "ns/pid", O_RDONLY | O_CLOEXEC);
	struct answer a = { .number = number, .vpid = -1 };
	pid_t pid = -1;

	if (pidns >= 0 && setns(pidns, CLONE_NEWPID) == 0)
		pid = fork();
	if (pid == 0)
		peer_main(s, dir, number);
	if (pid < 0)
		send(s->guest->sock, &a, sizeof(a), MSG_NOSIGNAL);
}

/*
 * Runs as the guest: forks peers until the supervisor is done, or gone, and waits for them, also then: orphans would fall
 * to the tasks' first.
 */
static int usher_main(struct session *s, void *arg)
{
	int number, dir;

	(void)arg;
	prctl(PR_SET_PDEATHSIG, 0);
	while ((dir = guest_take_fd(s, s->guest, &number)) >= 0) {
		peer_fork(s, dir, number);
		fd_close(dir);
	}
	while (wait(NULL) > 0 || errno == EINTR)
		;
	return 0;
}

/* ---- the supervisor ---- */

static int landlock_begin(struct session *s)
{
	struct peers *p = peers_of(s);
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	int r;

	if (syscall(LANDLOCK_CREATE_RULESET, NULL, 0, LANDLOCK_VERSION) <= 0)
		return 0;
	r = guest_start(s, &p->usher, &(struct guest_where){ .pidns = -1 }, usher_main, NULL);
	if (r == 0)
		setsockopt(p->usher.sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return r;
}

/* One for each user of each pid and user namespace, asked for at the first call. NULL: there cannot be one. */
static struct peer *peer_of(struct session *s, const struct thread *t, uint32_t uid, uint32_t gid)
{
	struct peers *p = peers_of(s);
	own_fd int dir = -1;
	struct stat pid = { 0 }, user = { 0 };
	struct peer *e;
	char name[32];
	uint64_t key;

	if (fstatat(t->task->proc, "ns/pid", &pid, 0) < 0 || fstatat(t->task->proc, "ns/user", &user, 0) < 0)
		return NULL;
	key = (uint64_t)uid << 32 ^ gid ^ (pid.st_ino << 32 | user.st_ino) * 0x9e3779b97f4a7c15ULL;
	e = map_get(&p->by_user, key);
	if (e)
		return e;
	snprintf(name, sizeof(name), "task/%d", t->tid);
	dir = openat(t->task->proc, name, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
	e = xalloc(sizeof(*e));
	map_put(&p->by_user, key, e);
	map_put(&p->by_number, ++p->n, e);
	if (dir < 0 || guest_pass_fd(s, &p->usher, (int)p->n, dir) < 0)
		e->vpid = -1;
	return e;
}

/* Its pid where it is, once it has become what it shall be; -1 it failed. */
static pid_t peer_wait(struct peers *p, struct peer *e)
{
	struct answer a;
	ssize_t n;

	while (!e->vpid) {
		struct peer *other;

		do
			n = recv(p->usher.sock, &a, sizeof(a), 0);
		while (n < 0 && errno == EINTR);
		other = n == sizeof(a) ? map_get(&p->by_number, a.number) : e;
		if (n != sizeof(a))
			a.vpid = -1;
		if (other)
			other->vpid = a.vpid;
	}
	return e->vpid;
}

/* Those of whole processes are made while the agents start. */
static int landlock_note(struct session *s, struct thread *t)
{
	own_mem char *status = NULL;
	bool had = s->why[0];
	uint64_t uid, gid, nnp, caps;

	if (t != task_leader(t->task) || peers_of(s)->usher.pid <= 0 ||
	    text_read(t->task->proc, "status", &status, NULL) < 0 || text_u64(status, "Uid:", 10, &uid) < 0 ||
	    text_u64(status, "Gid:", 10, &gid) < 0 || text_u64(status, "NoNewPrivs:", 10, &nnp) < 0 ||
	    text_u64(status, "CapPrm:", 16, &caps) < 0)
		return 0;
	if (nnp || caps & 1u << CAP_SYS_ADMIN)
		peer_of(s, t, (uint32_t)uid, (uint32_t)gid);
	session_forget_new(s, had);
	return 0;
}

static int landlock_more(struct session *s, struct thread *t)
{
	const CredsEntry *c = t->core->thread_core->creds;
	bool had = s->why[0];
	struct peer *e = NULL;
	struct batch b;
	pid_t vpid;
	int r;

	if (peers_of(s)->usher.pid > 0 && (c->no_new_privs || (c->n_cap_prm && c->cap_prm[0] & 1u << CAP_SYS_ADMIN)))
		e = peer_of(s, t, uid_out(s, c->uid), gid_out(s, c->gid));
	vpid = e ? peer_wait(peers_of(s), e) : -1;
	session_forget_new(s, had);
	if (vpid < 0)
		return 0;
	batch_start(s, &b, t);
	call5(&b, NULL, SYS_kcmp, thread_self(t), vpid, KCMP_FS, 0, 0);
	r = batch_run(&b);
	if (r == 0 && batch_ret(&b, 0) == -EPERM)
		session_warn(s, "thread %d: is in a Landlock domain (it may not look at a process of its own user); the domain is not kept, a restored task is free of it",
			     t->vtid);
	return r;
}

/* Nobody looks at them any more. */
static int landlock_dump_end(struct session *s)
{
	struct peers *p = peers_of(s);

	if (p->usher.pid > 0)
		shutdown(p->usher.sock, SHUT_RDWR);
	return 0;
}

static void landlock_end(struct session *s)
{
	landlock_dump_end(s); /* that of a failed dump was not called */
	guest_wait(s, &peers_of(s)->usher);
}

const struct task_kind task_kind_landlock = {
	.name = "Landlock domain",
	.stage = STAGE_ATTR,
	.per_thread = true,
	.begin = landlock_begin,
	.note = landlock_note,
	.more = landlock_more,
	.dump_end = landlock_dump_end,
	.end = landlock_end,
};
