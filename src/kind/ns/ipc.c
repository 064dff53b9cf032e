// SPDX-License-Identifier: Apache-2.0
/*
 * ipc: limits of System V IPC and POSIX queues; the objects are in sysv.c and mqueue.c.
 *
 * Kept:   sysctl values, System V objects, POSIX message queues.
 * Lost:   nothing of its own.
 * Kernel: kernel.{sem,msg*,shm*}, fs.mqueue.*; of the namespace of who opens the file.
 */
#include "kind/mqueue.h"
#include "kind/ns.h"
#include "kind/sysv.h"

#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "images/ipc-var.pb-c.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>

struct var {
	const char *path; /* below /proc/sys */
	size_t at, has;	  /* field of IpcVarEntry; has: 0 for required ones */
	bool wide;	  /* 64 bits */
};
#define VAR(p, f, w) { p, offsetof(IpcVarEntry, f), 0, w }
#define VAR_OPT(p, f) { p, offsetof(IpcVarEntry, f), offsetof(IpcVarEntry, has_##f), false }

static const struct var vars[] = {
	VAR("kernel/msgmax", msg_ctlmax, false),
	VAR("kernel/msgmnb", msg_ctlmnb, false),
	VAR("kernel/msgmni", msg_ctlmni, false),
	VAR("kernel/auto_msgmni", auto_msgmni, false),
	VAR("kernel/shmmax", shm_ctlmax, true),
	VAR("kernel/shmall", shm_ctlall, true),
	VAR("kernel/shmmni", shm_ctlmni, false),
	VAR("kernel/shm_rmid_forced", shm_rmid_forced, false),
	VAR("fs/mqueue/queues_max", mq_queues_max, false),
	VAR("fs/mqueue/msg_max", mq_msg_max, false),
	VAR("fs/mqueue/msgsize_max", mq_msgsize_max, false),
	VAR_OPT("fs/mqueue/msg_default", mq_msg_default),
	VAR_OPT("fs/mqueue/msgsize_default", mq_msgsize_default),
};

static int sem_read(struct session *s, uint32_t sem[4])
{
	own_mem char *text = NULL;
	int r = text_read(ns_proc(s), "sys/kernel/sem", &text, NULL);

	if (r == 0 && sscanf(text, "%" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32, &sem[0], &sem[1],
			     &sem[2], &sem[3]) != 4)
		r = -EBADMSG;
	return r < 0 ? session_fail(s, r, "ipc namespace: read kernel/sem") : 0;
}

/** ipc_dump - ipcns-var-N.img; Source: /proc/sys as seen in the namespace */
static int ipc_dump(struct session *s, const struct ns *ns)
{
	IpcVarEntry e = IPC_VAR_ENTRY__INIT;
	uint32_t sem[4];
	int r = sem_read(s, sem);

	e.n_sem_ctls = 4;
	e.sem_ctls = sem;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(vars); i++) {
		own_mem char *text = NULL, *path = xprintf("sys/%s", vars[i].path);
		char *at = (char *)&e;

		r = text_read(ns_proc(s), path, &text, NULL);
		if (r == -ENOENT) { /* kernel without POSIX queues */
			r = 0;
			continue;
		}
		if (r < 0)
			return session_fail(s, r, "ipc namespace %u: read %s", ns->id, vars[i].path);
		if (vars[i].wide)
			*(uint64_t *)(at + vars[i].at) = strtoull(text, NULL, 10);
		else
			*(uint32_t *)(at + vars[i].at) = strtoul(text, NULL, 10);
		if (vars[i].has)
			*(protobuf_c_boolean *)(at + vars[i].has) = 1;
	}
	if (r == 0)
		r = image_write_one(s, MAGIC_IPCNS_VAR, &e.base, "ipcns-var-%u.img", ns->id);
	if (r == 0)
		r = mqueue_dump(s, ns);
	return r < 0 ? r : sysv_dump(s, ns);
}

/* Values that cannot be set are reported: the fresh namespace has the kernel's own. */
static void var_set(struct session *s, const char *name, const char *value)
{
	own_mem char *path = xprintf("sys/%s", name), *old = NULL;
	int r = text_read(ns_proc(s), path, &old, NULL);

	if (r == 0 && !strcmp(old, value)) /* as it is */
		return;
	r = text_write(ns_proc(s), path, value);
	if (r < 0)
		session_warn(s, "ipc namespace: set %s to %.*s: %s", name, (int)strcspn(value, "\n"), value,
			     strerror(-r));
}

static void vars_set(struct session *s, const IpcVarEntry *e)
{
	const char *at = (const char *)e;

	for (size_t i = 0; i < ARRAY_SIZE(vars); i++) {
		own_mem char *value = NULL;
		uint64_t v = vars[i].wide ? *(const uint64_t *)(at + vars[i].at)
					  : *(const uint32_t *)(at + vars[i].at);

		if (vars[i].at == offsetof(IpcVarEntry, shm_rmid_forced))
			continue; /* would end segments that wait for their tasks: sysv_finish() */
		if (vars[i].has && !*(const protobuf_c_boolean *)(at + vars[i].has))
			continue;
		value = xprintf("%" PRIu64 "\n", v);
		var_set(s, vars[i].path, value);
	}
	if (e->n_sem_ctls == 4) {
		own_mem char *value = xprintf("%u\t%u\t%u\t%u\n", e->sem_ctls[0], e->sem_ctls[1],
					      e->sem_ctls[2], e->sem_ctls[3]);

		var_set(s, "kernel/sem", value);
	}
}

/* While objects are made, limits that may have been lowered since are out of the way. */
static void vars_raise(struct session *s)
{
	static const char *const high[][2] = {
		{ "kernel/msgmax", "2147483647\n" },	{ "kernel/msgmnb", "2147483647\n" },
		{ "kernel/msgmni", "32768\n" },		{ "kernel/shmmax", "18446744073692774399\n" },
		{ "kernel/shmall", "18446744073692774399\n" }, { "kernel/shmmni", "32768\n" },
		{ "kernel/sem", "65536 1024000000 500 32768\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(high); i++) {
		own_mem char *path = xprintf("sys/%s", high[i][0]);

		text_write(ns_proc(s), path, high[i][1]); /* if not, making the object says why */
	}
}

static int ipc_restore(struct session *s, const struct ns *ns)
{
	IpcVarEntry *e = NULL;
	int r = image_read_one(s, MAGIC_IPCNS_VAR, &ipc_var_entry__descriptor,
			       (ProtobufCMessage **)&e, "ipcns-var-%u.img", ns->id);

	if (r < 0)
		return r;
	vars_raise(s);
	r = sysv_restore(s, ns);
	if (r == 0)
		r = mqueue_restore(s, ns);
	vars_set(s, e);
	ipc_var_entry__free_unpacked(e, NULL);
	return r;
}

static int ipc_prepare(struct session *s, const struct ns *ns)
{
	IpcVarEntry *e = NULL;
	int r = image_read_one(s, MAGIC_IPCNS_VAR, &ipc_var_entry__descriptor,
			       (ProtobufCMessage **)&e, "ipcns-var-%u.img", ns->id);

	if (r < 0)
		return r;
	if (e->shm_rmid_forced) /* set when everybody has attached */
		map_put(session_map(s, "sysv forced"), ns->id + 1, s);
	ipc_var_entry__free_unpacked(e, NULL);
	r = mqueue_prepare(s, ns);
	return r < 0 ? r : sysv_prepare(s, ns);
}

static int ipc_obstacles(struct session *s, const struct ns *ns)
{
	int r = mqueue_preflight(s, ns), more = sysv_preflight(s, ns);

	return r < 0 ? r : more;
}

/* The supervisor steps in and out: nothing there belongs to it. */
static int ipc_preflight(struct session *s, const struct ns *ns)
{
	own_fd int there = openat(ns->task->proc, "ns/ipc", O_RDONLY | O_CLOEXEC);
	own_fd int home = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
	int r;

	if (there < 0 || home < 0 || setns(there, CLONE_NEWIPC) < 0)
		return session_fail(s, -errno, "ipc namespace %u: enter it", ns->id);
	r = ipc_obstacles(s, ns);
	if (setns(home, CLONE_NEWIPC) < 0)
		return session_fail(s, -errno, "ipc namespace: return to our own");
	return r;
}

const struct ns_kind ns_kind_ipc = {
	.name = "ipc",
	.flag = CLONE_NEWIPC,
	.dump = ipc_dump,
	.restore = ipc_restore,
	.prepare = ipc_prepare,
	.preflight = ipc_preflight,
	.end = mqueue_end,
};
