// SPDX-License-Identifier: Apache-2.0
/*
 * lsm: labels of security modules.
 *
 * Kept:   of every thread its AppArmor profile or SELinux context, and what execve(2) switches to; what files, sockets
 *         and keys that it makes are labelled with; contexts of sockets; the context of mounts that have one for all
 *         files (context=).
 * Lost:   AppArmor's profiles themselves, which the host of the restore has to have loaded; those of namespaces:
 *         apparmor.c. The profile that a change of hat leads back to: reported.
 * Kernel: lsm_list_modules(2); /proc/PID/attr, which only the thread itself can write. SELinux lets a process of
 *         several threads change its context to a bounded one only.
 */
#include "kind/lsm.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/apparmor.h"
#include "kind/ns.h"
#include "task/spawn.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

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

static char *attr_read(const struct thread *t, const char *file)
{
	own_mem char *path = xprintf("/proc/%d/task/%d/attr/%s", t->task->pid, t->tid, file);

	return label_read(path);
}

int lsm_dump(struct session *s, const struct thread *t, CredsEntry *e)
{
	Lsmtype here = lsm_here();
	own_mem char *label = here == LSMTYPE__NO_LSM ? NULL : attr_read(t, "current");
	own_mem char *hat = here == LSMTYPE__APPARMOR ? attr_read(t, "prev") : NULL;

	if (here != LSMTYPE__NO_LSM)
		e->lsm_exec = attr_read(t, "exec");
	if (here == LSMTYPE__SELINUX) {
		e->lsm_sockcreate = attr_read(t, "sockcreate");
		e->lsm_fscreate = attr_read(t, "fscreate");
		e->lsm_keycreate = attr_read(t, "keycreate");
	}
	if (hat)
		session_warn(s, "thread %d: that it may change its hat back to the profile %s is not kept", t->vtid, hat);
	if (!label || !strcmp(label, "unconfined"))
		return 0;
	if (here == LSMTYPE__APPARMOR)
		apparmor_note(s, label);
	e->lsm_profile = take_mem(label);
	return 0;
}

char *lsm_socket_label(int fd)
{
	char text[LABEL_MAX];
	ssize_t n = fgetxattr(fd, "security.selinux", text, sizeof(text) - 1);

	return n > 0 ? xprintf("%.*s", (int)n, text) : NULL;
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

/* A label of an image as it is to be here: that of the root task is what --lsm-profile says instead. */
static const char *label_now(const struct session *s, const char *label)
{
	const CoreEntry *root = task_leader(s->tree->root)->core;
	const char *was = root->thread_core->creds->lsm_profile, *other;
	Lsmtype type;

	other = asked(s, &type);
	if (!label || !*label || (other && type == LSMTYPE__NO_LSM))
		return NULL;
	return other && was && !strcmp(label, was) ? other : label;
}

/* NULL: it keeps the one that it has. */
static const char *label_for(struct session *s, const struct thread *t, const CredsEntry *e)
{
	own_mem char *own = attr_read(t, "current");
	Lsmtype type;
	const char *label = asked(s, &type);

	if (!label)
		label = e->lsm_profile;
	else if (type == LSMTYPE__NO_LSM)
		label = NULL;
	return label && *label && !(own && !strcmp(own, label)) ? label : NULL;
}

/* The thread writes text into its own file, as nobody else may. Return: what write() did. */
static int attr_write(struct session *s, struct thread *t, const char *file, const char *text)
{
	own_mem char *path = xprintf("/proc/%d/task/%d/attr", t->task->pid, t->tid);
	own_fd int dir = fd_high(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	unsigned open_call, n;
	struct batch b;
	int num, r;

	if (dir < 0)
		return session_fail(s, -errno, "thread %d: %s", t->vtid, path);
	if (strlen(text) > LABEL_MAX)
		return session_fail(s, -EBADMSG, "thread %d: its label is too long", t->vtid);
	r = lend_fd(s, t, dir, &num);
	if (r < 0)
		return r;
	batch_start(s, &b, t);
	open_call = call4(&b, "security label: open", SYS_openat, num, batch_str(&b, file), O_WRONLY | O_CLOEXEC, 0);
	n = call3(&b, NULL, SYS_write, 0, batch_str(&b, text), strlen(text) + !*text);
	batch_use(&b, n, 0, open_call);
	batch_use(&b, call1(&b, NULL, SYS_close, 0), 0, open_call);
	call1(&b, NULL, SYS_close, num);
	r = batch_run(&b);
	return r < 0 ? r : batch_ret(&b, n) < 0 ? batch_ret(&b, n) : 0;
}

static int current_write(struct session *s, struct thread *t, const char *label)
{
	bool apparmor = lsm_here() == LSMTYPE__APPARMOR;
	own_mem char *text = xprintf("%s%s", apparmor ? "changeprofile " : "", label);
	int r = apparmor ? apparmor_restore(s) : 0;

	if (r < 0)
		return r;
	r = attr_write(s, t, "current", text);
	return r < 0 && !s->why[0]
		       ? session_fail(s, r, "thread %d: take the label %s:%s; load that profile, or name another with --lsm-profile",
				      t->vtid, lsm_name(lsm_here()), label)
		       : r;
}

/* What it has set for later. */
static int later_write(struct session *s, struct thread *t, const char *file, const char *label)
{
	const char *now = label_now(s, label);
	own_mem char *text = NULL;
	int r;

	if (!now)
		return 0;
	text = xprintf("%s%s", lsm_here() == LSMTYPE__APPARMOR ? "exec " : "", now);
	r = attr_write(s, t, file, text);
	if (r < 0 && s->why[0])
		return r;
	if (r < 0)
		session_warn(s, "thread %d: %s for its attr/%s is not taken here: %s", t->vtid, now, file, strerror(-r));
	return 0;
}

bool lsm_before_threads(struct session *s, const struct task *k)
{
	const struct thread *t = task_leader(k);

	return k->n_threads > 1 && lsm_here() == LSMTYPE__SELINUX && label_for(s, t, t->core->thread_core->creds);
}

int lsm_threads(struct session *s, struct task *k)
{
	struct thread *t = task_leader(k);
	int r = current_write(s, t, label_for(s, t, t->core->thread_core->creds));

	return r < 0 ? r : spawn_confined(s, k);
}

int lsm_restore(struct session *s, struct thread *t, struct batch *b, const CredsEntry *e)
{
	Lsmtype here = lsm_here();
	const char *label = here == LSMTYPE__NO_LSM ? NULL : label_for(s, t, e);
	int r;

	if (here == LSMTYPE__NO_LSM || (!label && !e->lsm_exec && !e->lsm_sockcreate && !e->lsm_fscreate && !e->lsm_keycreate))
		return 0;
	r = batch_run(b);
	batch_clear(b);
	if (r == 0 && label)
		r = current_write(s, t, label);
	if (r == 0)
		r = later_write(s, t, "exec", e->lsm_exec);
	if (here != LSMTYPE__SELINUX)
		return r;
	if (r == 0)
		r = later_write(s, t, "fscreate", e->lsm_fscreate);
	if (r == 0)
		r = later_write(s, t, "keycreate", e->lsm_keycreate);
	return r < 0 ? r : later_write(s, t, "sockcreate", e->lsm_sockcreate);
}

/* Nothing at all is a NUL: a write of no bytes is none. */
static int own_sockcreate(struct session *s, const char *label)
{
	own_fd int fd = openat(ns_proc(s), "thread-self/attr/sockcreate", O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, label, strlen(label) + !*label) < 0 ? -errno : 0;
}

int lsm_sockets(struct session *s, struct thread *t, const char *label)
{
	const char *now = label ? label_now(s, label) : "";
	int r;

	if (!now || lsm_here() != LSMTYPE__SELINUX)
		return 0;
	r = t ? attr_write(s, t, "sockcreate", now) : own_sockcreate(s, now);
	if (r < 0 && !(t && s->why[0]))
		return session_fail(s, r, "sockets: label them %s; name another with --lsm-profile", now);
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
