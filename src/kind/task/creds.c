// SPDX-License-Identifier: Apache-2.0
/*
 * creds: who a thread is: ids, groups, capabilities, securebits, no_new_privs.
 *
 * Kept:   the four uids and gids, supplementary groups, all five capability sets, securebits,
 *         no_new_privs.
 * Lost:   nothing; for labels of security modules see lsm.c.
 * Kernel: /proc/PID/task/TID/status; PR_GET_SECUREBITS. Order at restore: groups, securebits that keep
 *         capabilities over setuid, ids, bounding set, capset, ambient, securebits.
 */
#include "kind/task.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/creds.h"
#include "kind/ids.h"
#include "kind/lsm.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define CAP_WORDS 2
#define GROUPS_KEPT 4096

static int creds_ask(struct session *s, struct thread *t, struct batch *b)
{
	call5(b, "securebits: read", SYS_prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
	return 0;
}

static int caps(const char *status, const char *key, size_t *n, uint32_t **words)
{
	uint64_t v = 0;
	int r = text_u64(status, key, 16, &v);

	*words = xalloc(CAP_WORDS * sizeof(**words));
	(*words)[0] = v;
	(*words)[1] = v >> 32;
	*n = CAP_WORDS;
	return r;
}

static void ids(const char *line, uint32_t v[4])
{
	char *end = (char *)line;

	for (int i = 0; line && i < 4; i++)
		v[i] = strtoul(end, &end, 10);
}

static void groups(CredsEntry *e, const char *line)
{
	size_t n = 0, max = 1;
	char *end;

	for (const char *p = line; p && *p && *p != '\n'; p++)
		max += *p == ' ';
	e->groups = xalloc(max * sizeof(*e->groups));
	for (const char *p = line; p && n < max;) {
		unsigned long g;

		while (*p == ' ')
			p++;
		if (*p < '0' || *p > '9')
			break;
		g = strtoul(p, &end, 10);
		e->groups[n++] = g;
		p = end;
	}
	e->n_groups = n;
}

/* What /proc shows us are numbers outside. */
static int ids_inside(struct session *s, const struct thread *t, CredsEntry *e)
{
	uint32_t *const pairs[][2] = {
		{ &e->uid, &e->gid }, { &e->euid, &e->egid }, { &e->suid, &e->sgid }, { &e->fsuid, &e->fsgid },
	};
	uint32_t root = uid_out(s, 0);
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(pairs); i++)
		r = owner_in(s, pairs[i][0], pairs[i][1], "thread %d", t->vtid);
	for (size_t i = 0; r == 0 && i < e->n_groups; i++) {
		uint32_t u = root;

		r = owner_in(s, &u, &e->groups[i], "thread %d: one of its groups", t->vtid);
	}
	return r;
}

static int creds_dump(struct session *s, struct thread *t, struct batch *b, unsigned first)
{
	own_mem char *status = NULL;
	CredsEntry *e = xalloc(sizeof(*e));
	uint32_t u[4] = { 0 }, g[4] = { 0 };
	uint64_t nnp = 0;
	int r = text_readf(AT_FDCWD, &status, "/proc/%d/task/%d/status", t->task->pid, t->tid);

	creds_entry__init(e);
	t->core->thread_core->creds = e;
	if (r == 0)
		r = caps(status, "CapInh:", &e->n_cap_inh, &e->cap_inh);
	if (r == 0)
		r = caps(status, "CapPrm:", &e->n_cap_prm, &e->cap_prm);
	if (r == 0)
		r = caps(status, "CapEff:", &e->n_cap_eff, &e->cap_eff);
	if (r == 0)
		r = caps(status, "CapBnd:", &e->n_cap_bnd, &e->cap_bnd);
	if (r < 0)
		return session_fail(s, r, "thread %d: read its credentials", t->vtid);
	caps(status, "CapAmb:", &e->n_cap_amb, &e->cap_amb);
	ids(text_after(status, "Uid:"), u);
	ids(text_after(status, "Gid:"), g);
	e->uid = u[0], e->euid = u[1], e->suid = u[2], e->fsuid = u[3];
	e->gid = g[0], e->egid = g[1], e->sgid = g[2], e->fsgid = g[3];
	groups(e, text_after(status, "Groups:"));
	e->secbits = batch_ret(b, first);
	text_u64(status, "NoNewPrivs:", 10, &nnp);
	if (nnp)
		e->has_no_new_privs = e->no_new_privs = true;
	r = lsm_dump(s, t, e);
	return r < 0 ? r : ids_inside(s, t, e);
}

static uint64_t cap_value(size_t n, const uint32_t *w)
{
	return (n > 0 ? w[0] : 0) | (n > 1 ? (uint64_t)w[1] << 32 : 0);
}

static int creds_caps(struct batch *b, const CredsEntry *e)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];
	uint64_t eff = cap_value(e->n_cap_eff, e->cap_eff), prm = cap_value(e->n_cap_prm, e->cap_prm);
	uint64_t inh = cap_value(e->n_cap_inh, e->cap_inh), bnd = cap_value(e->n_cap_bnd, e->cap_bnd);
	uint64_t amb = cap_value(e->n_cap_amb, e->cap_amb);

	for (int c = 0; c <= CAP_LAST_CAP; c++)
		if (!(bnd >> c & 1))
			call5(b, NULL, SYS_prctl, PR_CAPBSET_DROP, c, 0, 0, 0);
	for (int i = 0; i < 2; i++)
		d[i] = (struct __user_cap_data_struct){ eff >> 32 * i, prm >> 32 * i, inh >> 32 * i };
	call2(b, "set capabilities", SYS_capset, batch_mem(b, &h, sizeof(h), NULL),
	      batch_mem(b, d, sizeof(d), NULL));
	for (int c = 0; c <= CAP_LAST_CAP; c++)
		if (amb >> c & 1)
			call5(b, "set ambient capabilities", SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE,
			      c, 0, 0);
	return 0;
}

/* As the task's user namespace counts; -1 leaves what it is */
struct who {
	uint32_t uid[3], gid[3], fsuid, fsgid;
	bool whole; /* nobody is missing */
};

static struct who who_in(struct session *s, const CredsEntry *e, uint32_t user)
{
	const uint32_t u[4] = { e->uid, e->euid, e->suid, e->fsuid }, g[4] = { e->gid, e->egid, e->sgid, e->fsgid };
	struct who w = { .whole = true };

	for (int i = 0; i < 4; i++) {
		uint32_t *uid = i < 3 ? &w.uid[i] : &w.fsuid, *gid = i < 3 ? &w.gid[i] : &w.fsgid;

		*uid = uid_nested(s, user, u[i]);
		*gid = gid_nested(s, user, g[i]);
		w.whole &= *uid != ID_NONE && *gid != ID_NONE;
	}
	return w;
}

/* May they be set there, and be what they are? *ret: owned, or NULL */
static bool groups_in(struct session *s, const CredsEntry *e, uint32_t user, uint32_t **ret)
{
	bool can = !ids_nested_fixed(s, user);

	*ret = xalloc((e->n_groups + 1) * sizeof(**ret));
	for (size_t i = 0; i < e->n_groups; i++) {
		(*ret)[i] = gid_nested(s, user, e->groups[i]);
		can &= (*ret)[i] != ID_NONE;
	}
	return can;
}

static void creds_groups(struct batch *b, const CredsEntry *e, const uint32_t *groups)
{
	call2(b, "set groups", SYS_setgroups, e->n_groups,
	      e->n_groups ? batch_mem(b, groups, e->n_groups * sizeof(*groups), NULL) : 0);
}

static void creds_ids(struct batch *b, const struct who *w)
{
	call5(b, "keep capabilities", SYS_prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0);
	call3(b, "set gids", SYS_setresgid, w->gid[0], w->gid[1], w->gid[2]);
	call1(b, NULL, SYS_setfsgid, w->fsgid);
	call3(b, "set uids", SYS_setresuid, w->uid[0], w->uid[1], w->uid[2]);
	call1(b, NULL, SYS_setfsuid, w->fsuid);
}

static uint32_t user_id(const struct userns *u)
{
	return u ? u->id : 0;
}

int creds_before(struct session *s, struct task *k)
{
	const CoreEntry *core = task_leader(k)->core;
	const CredsEntry *e = core && core->thread_core ? core->thread_core->creds : NULL;
	own_mem uint32_t *there = NULL, *here = NULL;
	struct who w;
	struct batch b;

	if (!e || e->n_groups > GROUPS_KEPT)
		return e ? session_fail(s, -ENOTSUP, "task %d: more than %d groups", k->vpid, GROUPS_KEPT) : 0;
	batch_start(s, &b, task_leader(k));
	if (!groups_in(s, e, user_id(k->user), &there) && groups_in(s, e, user_id(k->in_user), &here))
		creds_groups(&b, e, here);
	w = who_in(s, e, user_id(k->user));
	if (!w.whole) {
		w = who_in(s, e, user_id(k->in_user));
		creds_ids(&b, &w);
	}
	return b.n ? batch_run(&b) : 0;
}

int creds_inside(struct session *s, struct task *k)
{
	struct batch b;
	uint32_t uid, gid;

	ids_nested_root(s, user_id(k->user), &uid, &gid);
	if (!uid || uid == ID_NONE || gid == ID_NONE)
		return 0;
	batch_start(s, &b, task_leader(k));
	call5(&b, "keep capabilities", SYS_prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0);
	call3(&b, NULL, SYS_setresgid, gid, gid, gid);
	call3(&b, NULL, SYS_setresuid, uid, uid, uid);
	call5(&b, "securebits: set", SYS_prctl, PR_SET_SECUREBITS, 0, 0, 0, 0);
	call5(&b, "stay dumpable", SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	return batch_run(&b);
}

static bool groups_same(const CredsEntry *e)
{
	gid_t own[GROUPS_KEPT];
	int n = getgroups(ARRAY_SIZE(own), own);
	size_t found = 0;

	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < e->n_groups; k++)
			found += own[i] == e->groups[k];
	return n >= 0 && (size_t)n == e->n_groups && found == e->n_groups;
}

/* Is it as we are, but without capabilities? */
static bool creds_same(const CredsEntry *e)
{
	uint64_t bnd = cap_value(e->n_cap_bnd, e->cap_bnd);
	uid_t u[3];
	gid_t g[3];
	bool same = getresuid(&u[0], &u[1], &u[2]) == 0 && getresgid(&g[0], &g[1], &g[2]) == 0 && groups_same(e);

	same = same && e->uid == u[0] && e->euid == u[1] && e->suid == u[2] && e->fsuid == u[1];
	same = same && e->gid == g[0] && e->egid == g[1] && e->sgid == g[2] && e->fsgid == g[1];
	for (int c = 0; c <= CAP_LAST_CAP; c++)
		same &= prctl(PR_CAPBSET_READ, c) == (int)(bnd >> c & 1);
	return same && e->secbits == (uint32_t)prctl(PR_GET_SECUREBITS) && !cap_value(e->n_cap_inh, e->cap_inh) &&
	       !cap_value(e->n_cap_prm, e->cap_prm) && !cap_value(e->n_cap_amb, e->cap_amb);
}

/* A user without the right to change any of it gets back what is its own. */
static bool is_user(void)
{
	return geteuid() && !ids_capable(CAP_SETUID);
}

static int creds_check(struct session *s, const struct thread *t)
{
	if (is_user() && !creds_same(t->core->thread_core->creds))
		return session_fail(s, -EPERM, "thread %d: has not just the user, groups and capabilities of user %u, who may restore nothing else",
				    t->vtid, geteuid());
	return 0;
}

/* It was born with all but the loss of what we may beyond that. */
static int creds_user(struct batch *b, const CredsEntry *e)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { 0 };

	if (e->has_no_new_privs && e->no_new_privs)
		call5(b, "set no_new_privs", SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	call2(b, "set capabilities", SYS_capset, batch_mem(b, &h, sizeof(h), NULL), batch_mem(b, none, sizeof(none), NULL));
	return 0;
}

static int creds_restore(struct session *s, struct thread *t, struct batch *b)
{
	const CredsEntry *e = t->core->thread_core->creds;
	uint32_t user = user_id(t->task->user);
	struct who w = who_in(s, e, user);
	own_mem uint32_t *groups = NULL;
	int r = lsm_restore(s, t, b, e); /* while it may: no_new_privs forbids it */

	if (r < 0)
		return r;
	if (e->n_groups > GROUPS_KEPT)
		return session_fail(s, -ENOTSUP, "thread %d: more than %d groups", t->vtid, GROUPS_KEPT);
	if (is_user())
		return creds_user(b, e);
	if (groups_in(s, e, user, &groups))
		creds_groups(b, e, groups);
	creds_ids(b, &w);
	call5(b, "set securebits", SYS_prctl, PR_SET_SECUREBITS, e->secbits, 0, 0, 0);
	if (e->has_no_new_privs && e->no_new_privs)
		call5(b, "set no_new_privs", SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return creds_caps(b, e);
}

const struct task_kind task_kind_creds = {
	.name = "credentials",
	.stage = STAGE_CREDS,
	.per_thread = true,
	.ask = creds_ask,
	.dump = creds_dump,
	.check = creds_check,
	.restore = creds_restore,
};
