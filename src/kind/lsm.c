// SPDX-License-Identifier: Apache-2.0
/*
 * lsm: labels of security modules.
 *
 * Kept:   of every thread its AppArmor profile or SELinux context; the context of mounts that have one for all files
 *         (context=).
 * Lost:   labels of sockets, what files and sockets made later are labelled with (attr/fscreate, attr/sockcreate);
 *         AppArmor's profiles themselves, which the host of the restore has to have loaded; those of namespaces:
 *         apparmor.c.
 * Kernel: lsm_list_modules(2); /proc/PID/attr/current, which only the thread itself can write. SELinux lets a
 *         process of several threads change its context to a bounded one only.
 */
#include "kind/lsm.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/apparmor.h"
#include "task/lend.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#ifndef SYS_lsm_list_modules
#define SYS_lsm_list_modules 461
#endif
#define ID_SELINUX 101
#define ID_APPARMOR 104
#define LABEL_MAX 4096

Lsmtype lsm_here(void)
{
	own_mem char *enabled = NULL;
	uint64_t ids[64];
	uint32_t size = sizeof(ids);
	long n = syscall(SYS_lsm_list_modules, ids, &size, 0);

	for (long i = 0; i < n; i++)
		if (ids[i] == ID_SELINUX || ids[i] == ID_APPARMOR)
			return ids[i] == ID_SELINUX ? LSMTYPE__SELINUX : LSMTYPE__APPARMOR;
	if (n >= 0)
		return LSMTYPE__NO_LSM;
	/* before Linux 6.8 */
	if (text_read(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", &enabled, NULL) == 0 && *enabled == 'Y')
		return LSMTYPE__APPARMOR;
	return access("/sys/fs/selinux/enforce", F_OK) == 0 ? LSMTYPE__SELINUX : LSMTYPE__NO_LSM;
}

const char *lsm_name(Lsmtype type)
{
	return type == LSMTYPE__APPARMOR ? "apparmor" : type == LSMTYPE__SELINUX ? "selinux" : "none";
}

/* The label in an attr file: "profile (mode)" of AppArmor without its mode; NULL if there is none. */
static char *label_read(const char *path)
{
	own_mem char *text = NULL;
	char *mode;

	if (text_read(AT_FDCWD, path, &text, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = 0;
	mode = lsm_here() == LSMTYPE__APPARMOR && *text && text[strlen(text) - 1] == ')' ? strrchr(text, ' ') : NULL;
	if (mode)
		*mode = 0;
	return *text ? take_mem(text) : NULL;
}

int lsm_dump(struct session *s, const struct thread *t, CredsEntry *e)
{
	own_mem char *path = xprintf("/proc/%d/task/%d/attr/current", t->task->pid, t->tid);
	own_mem char *label = lsm_here() == LSMTYPE__NO_LSM ? NULL : label_read(path);

	if (!label || !strcmp(label, "unconfined"))
		return 0;
	if (lsm_here() == LSMTYPE__APPARMOR)
		apparmor_note(s, label);
	e->lsm_profile = take_mem(label);
	return 0;
}

/* ---- restore ---- */

/* What --lsm-profile says: its module, and the label behind the colon; NULL if it was not given. */
static const char *asked(const struct session *s, Lsmtype *type)
{
	static const Lsmtype types[] = { LSMTYPE__APPARMOR, LSMTYPE__SELINUX, LSMTYPE__NO_LSM };
	const char *text = s->opts->lsm_profile;

	*type = LSMTYPE__NO_LSM;
	for (size_t i = 0; text && *text && i < ARRAY_SIZE(types); i++) {
		const char *name = lsm_name(types[i]);
		size_t n = strlen(name);

		*type = types[i];
		if (!strncmp(text, name, n) && text[n] == ':')
			return text + n + 1;
	}
	return NULL;
}

int lsm_check(struct session *s, Lsmtype dumped)
{
	const char *text = s->opts->lsm_profile;
	Lsmtype here = lsm_here(), type;
	const char *label = asked(s, &type);

	if (text && *text && (!label || strlen(label) > LABEL_MAX || (!*label && type != LSMTYPE__NO_LSM)))
		return session_fail(s, -EBADRQC, "lsm-profile %.100s: is neither apparmor:PROFILE, selinux:CONTEXT nor none", text);
	if (dumped != LSMTYPE__NO_LSM && dumped != here && !(label && type == LSMTYPE__NO_LSM))
		return session_fail(s, -ENOTSUP,
				    "inventory.img: made on a host with %s, which is not active here; restore with --lsm-profile none: to do without",
				    lsm_name(dumped));
	if (label && type != LSMTYPE__NO_LSM && here != LSMTYPE__NO_LSM && type != here)
		return session_fail(s, -EBADRQC, "lsm-profile %.100s: the security module of this host is %s", text, lsm_name(here));
	if (label && here == LSMTYPE__NO_LSM && type != LSMTYPE__NO_LSM && strcmp(label, "unconfined"))
		session_warn(s, "lsm-profile %s: no security module with profiles is active here; tasks run without, as they did",
			     text);
	return 0;
}

/* NULL: it keeps the one it was born with, ours. */
static const char *label_for(struct session *s, const CredsEntry *e)
{
	own_mem char *own = label_read("/proc/self/attr/current");
	Lsmtype type;
	const char *label = asked(s, &type);

	if (!label)
		label = e->lsm_profile;
	else if (type == LSMTYPE__NO_LSM)
		label = NULL;
	return label && *label && !(own && !strcmp(own, label)) ? label : NULL;
}

int lsm_restore(struct session *s, struct thread *t, struct batch *b, const CredsEntry *e)
{
	bool apparmor = lsm_here() == LSMTYPE__APPARMOR;
	const char *label = lsm_here() == LSMTYPE__NO_LSM ? NULL : label_for(s, e);
	own_mem char *text = label ? xprintf("%s%s", apparmor ? "changeprofile " : "", label) : NULL;
	own_mem char *path = xprintf("/proc/%d/task/%d/attr", t->task->pid, t->tid);
	own_fd int dir = label ? fd_high(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)) : -1;
	unsigned file, n;
	int num, r;

	if (!label)
		return 0;
	if (strlen(label) > LABEL_MAX)
		return session_fail(s, -EBADMSG, "thread %d: its label is too long", t->vtid);
	if (dir < 0)
		return session_fail(s, -errno, "thread %d: %s", t->vtid, path);
	r = apparmor ? apparmor_restore(s) : 0;
	if (r == 0)
		r = batch_run(b);
	if (r == 0)
		r = lend_fd(s, t, dir, &num);
	batch_clear(b);
	if (r < 0)
		return r;
	file = call4(b, "security label: open", SYS_openat, num, batch_str(b, "current"), O_WRONLY | O_CLOEXEC, 0);
	n = call3(b, NULL, SYS_write, 0, batch_str(b, text), strlen(text));
	batch_use(b, n, 0, file);
	batch_use(b, call1(b, NULL, SYS_close, 0), 0, file);
	call1(b, NULL, SYS_close, num);
	r = batch_run(b);
	if (r == 0 && batch_ret(b, n) < 0)
		r = session_fail(s, batch_ret(b, n), "thread %d: take the label %s:%s; load that profile, or name another with --lsm-profile",
				 t->vtid, lsm_name(lsm_here()), label);
	batch_clear(b);
	return r;
}

/* ---- mounts ---- */

/* Length of the option at p: commas in quotes belong to it. */
static size_t option_len(const char *p)
{
	bool quoted = false;
	size_t n = 0;

	for (; p[n] && (quoted || p[n] != ','); n++)
		quoted ^= p[n] == '"';
	return n;
}

char *lsm_mount_options(struct session *s, const char *options, char **context)
{
	static const char key[] = "context=";
	const char *other = s->opts->lsm_mount_context;
	char *out = xalloc(strlen(options) + 1), *end = out;

	*context = NULL;
	for (const char *p = options; *p;) {
		size_t n = option_len(p), k = strlen(key);

		if (text_starts(p, key) && !*context) {
			bool quotes = n >= k + 2 && p[k] == '"';

			*context = other && *other ? xstrdup(other) : xprintf("%.*s", (int)(n - k) - 2 * quotes, p + k + quotes);
		} else if (n && !(n == strlen("seclabel") && text_starts(p, "seclabel"))) {
			end += sprintf(end, "%s%.*s", end > out ? "," : "", (int)n, p);
		}
		p += n + (p[n] == ',');
	}
	if (*context && lsm_here() != LSMTYPE__SELINUX) {
		session_warn(s, "context=%s: SELinux is not active here; the mount has no label", *context);
		free(*context);
		*context = NULL;
	}
	return out;
}
