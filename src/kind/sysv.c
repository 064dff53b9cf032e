// SPDX-License-Identifier: Apache-2.0
/*
 * sysv: segments, semaphore sets, message queues of an ipc namespace.
 *
 * Kept:   ids, keys, owners and creators, modes, sizes, contents (messages with types, in order), locked
 *         (SHM_LOCK) and removed segments that are still attached, qbytes; that a set has been used (sem_otime).
 * Lost:   times and last pids; what stands behind a segment's end in its last page. A segment nobody has attached is
 *         attached for a moment to be read.
 * Kernel: ipc/shm.c, sem.c, msg.c; MSG_COPY and kernel.{shm,sem,msg}_next_id of
 *         CONFIG_CHECKPOINT_RESTORE; a segment's id is the inode number of its mappings.
 */
#include "kind/sysv.h"

#include "base/res.h"
#include "base/text.h"
#include "image/page.h"
#include "image/record.h"
#include "images/ipc-msg.pb-c.h"
#include "images/ipc-sem.pb-c.h"
#include "images/ipc-shm.pb-c.h"
#include "kind/shmem.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#ifndef SHM_HUGE_SHIFT
#define SHM_HUGE_SHIFT 26
#endif
#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

union semarg {
	int val;
	struct semid_ds *ds;
	unsigned short *array;
	struct seminfo *info;
};

static uint64_t pad8(uint64_t n)
{
	return (n + 7) & ~7ULL;
}

static void desc_of(IpcDescEntry *e, const struct ipc_perm *p, int id)
{
	ipc_desc_entry__init(e);
	e->key = p->__key;
	e->uid = p->uid;
	e->gid = p->gid;
	e->cuid = p->cuid;
	e->cgid = p->cgid;
	e->mode = p->mode;
	e->id = id;
}

uint64_t sysv_key(struct session *s, uint32_t ipc_ns_id, uint32_t id)
{
	const struct ns *top = ns_of(s, CLONE_NEWIPC);

	return !ipc_ns_id || (top && top->id == ipc_ns_id) ? id : (uint64_t)ipc_ns_id << 32 | id;
}

/* ---- dump: segments ---- */

/* Mappings of a segment below a task's /proc directory; the first is opened into *fd, if that is < 0. */
static unsigned attached(struct session *s, const struct task *k, int id, int *fd)
{
	own_fd int maps = session_openat(s, k->proc, "maps", O_RDONLY, 0);
	own_mem char *text = NULL;
	unsigned n = 0;

	if (maps < 0 || text_read_fd(maps, &text, NULL) < 0)
		return 0;
	for (char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		unsigned long long start, end, ino;
		char path[80];
		int at = 0;

		if (sscanf(p, "%llx-%llx %*s %*x 00:%*x %llu %n", &start, &end, &ino, &at) < 3 || !at ||
		    ino != (unsigned)id || !text_starts(p + at, "/SYSV"))
			continue;
		n++;
		snprintf(path, sizeof(path), "map_files/%llx-%llx", start, end);
		if (*fd < 0)
			*fd = session_openat(s, k->proc, path, O_RDONLY, 0);
	}
	return n;
}

int sysv_attached_file(struct session *s, const void *p, int flags)
{
	own_mem char *self = NULL, *path = NULL, *text = NULL;
	own_fd int maps = -1;
	unsigned long end;
	char start[24];
	const char *at;
	int r = text_readlink(ns_proc(s), "self", &self); /* who opens it may be another */

	if (r < 0)
		return r;
	path = xprintf("%s/maps", self);
	maps = session_openat(s, ns_proc(s), path, O_RDONLY, 0);
	r = maps < 0 ? maps : text_read_fd(maps, &text, NULL);
	snprintf(start, sizeof(start), "\n%lx-", (unsigned long)p);
	at = r == 0 ? strstr(text, start) : NULL;
	if (!at || sscanf(at + strlen(start), "%lx", &end) != 1)
		return r < 0 ? r : -ENOENT;
	free(path);
	path = xprintf("%s/map_files/%lx-%lx", self, (unsigned long)p, end);
	return session_openat(s, ns_proc(s), path, flags, 0);
}

static int segment_open(struct session *s, const struct ns *ns, int id, const struct shmid_ds *ds)
{
	unsigned long n = 0;
	int fd = -1, r;
	void *p;

	for (size_t i = 0; ds->shm_nattch && i < s->tree->n; i++)
		if (s->tree->all[i]->state != TASK_DEAD && s->tree->all[i]->ids->ipc_ns_id == ns->id)
			n += attached(s, s->tree->all[i], id, &fd);
	if (n > ds->shm_nattch)
		return session_fail(s, -ENOTSUP,
				    "shared memory segment %d: a task has one of that number attached that is of another ipc namespace; detach it",
				    id);
	if (n < ds->shm_nattch)
		session_warn(s, "shared memory segment %d: is attached outside of the tree too; it will be shared no longer",
			     id);
	if (fd >= 0)
		return fd_high(fd);
	p = shmat(id, NULL, SHM_RDONLY);
	if (p == (void *)-1)
		return session_fail(s, -errno, "shared memory segment %d: attach it", id);
	r = sysv_attached_file(s, p, O_RDONLY);
	shmdt(p);
	return r < 0 ? session_fail(s, r, "shared memory segment %d: open it", id) : r;
}

static int segment_dump(struct session *s, const struct ns *ns, struct image *img, int id, const struct shmid_ds *ds)
{
	IpcShmEntry e = IPC_SHM_ENTRY__INIT;
	IpcDescEntry d;
	own_fd int fd = segment_open(s, ns, id, ds);
	uint64_t huge;
	int r;

	if (fd < 0)
		return fd;
	huge = shmem_huge(fd);
	e.has_hugetlb_flag = huge > 0;
	if (huge)
		e.hugetlb_flag = SHM_HUGETLB | (uint32_t)__builtin_ctzll(huge) << SHM_HUGE_SHIFT;
	desc_of(&d, &ds->shm_perm, id);
	e.desc = &d;
	e.size = ds->shm_segsz;
	e.has_in_pagemaps = e.in_pagemaps = true;
	r = image_write(img, &e.base);
	return r < 0 ? r : shmem_dump(s, sysv_key(s, ns->id, id), fd, e.size);
}

static int segments_dump(struct session *s, const struct ns *ns)
{
	own_image struct image img = { .fd = -1 };
	struct shm_info info;
	int max = shmctl(0, SHM_INFO, (struct shmid_ds *)&info);
	int r = image_create(s, &img, MAGIC_IPCNS_SHM, "ipcns-shm-%u.img", ns->id);

	for (int i = 0; r == 0 && info.used_ids && i <= max; i++) {
		struct shmid_ds ds;
		int id = shmctl(i, SHM_STAT, &ds);

		if (id >= 0)
			r = segment_dump(s, ns, &img, id, &ds);
	}
	return r < 0 ? r : image_close(&img);
}

/* ---- dump: semaphores, messages ---- */

static int set_dump(struct session *s, struct image *img, int id, struct semid_ds *ds)
{
	static const char zero[8];
	size_t bytes = ds->sem_nsems * sizeof(unsigned short);
	own_mem unsigned short *values = xalloc(bytes);
	union semarg arg = { .array = values };
	IpcSemEntry e = IPC_SEM_ENTRY__INIT;
	IpcDescEntry d;
	int r;

	if (semctl(id, 0, GETALL, arg) < 0)
		return session_fail(s, -errno, "semaphore set %d: read its values", id);
	desc_of(&d, &ds->sem_perm, id);
	e.desc = &d;
	e.nsems = ds->sem_nsems;
	e.has_used = e.used = ds->sem_otime != 0;
	r = image_write(img, &e.base);
	if (r == 0)
		r = image_write_raw(img, values, bytes);
	return r < 0 ? r : image_write_raw(img, zero, pad8(bytes) - bytes);
}

static int sets_dump(struct session *s, const struct ns *ns)
{
	own_image struct image img = { .fd = -1 };
	struct seminfo info = { 0 };
	union semarg arg = { .info = &info };
	int max = semctl(0, 0, SEM_INFO, arg);
	int r = image_create(s, &img, MAGIC_IPCNS_SEM, "ipcns-sem-%u.img", ns->id);

	for (int i = 0; r == 0 && info.semusz && i <= max; i++) {
		struct semid_ds ds;
		union semarg stat = { .ds = &ds };
		int id = semctl(i, 0, SEM_STAT, stat);

		if (id >= 0)
			r = set_dump(s, &img, id, &ds);
	}
	return r < 0 ? r : image_close(&img);
}

static int message_dump(struct session *s, struct image *img, int id, long *buf, size_t room,
			unsigned long n)
{
	static const char zero[8];
	IpcMsg e = IPC_MSG__INIT;
	ssize_t got = msgrcv(id, buf, room, n, IPC_NOWAIT | MSG_COPY);
	int r;

	if (got < 0 && errno == EINVAL)
		return session_fail(s, -ENOTSUP,
				    "message queue %d: message %lu is larger than kernel.msgmax of its ipc namespace, and such cannot be copied; raise that",
				    id, n);
	if (got < 0)
		return session_fail(s, -errno, "message queue %d: copy message %lu", id, n);
	e.mtype = buf[0];
	e.msize = got;
	r = image_write(img, &e.base);
	if (r == 0)
		r = image_write_raw(img, buf + 1, got);
	return r < 0 ? r : image_write_raw(img, zero, pad8(got) - got);
}

static int queue_dump(struct session *s, struct image *img, int id, const struct msqid_ds *ds)
{
	size_t room = ds->__msg_cbytes + 1;
	own_mem long *buf = xalloc(sizeof(long) + room);
	IpcMsgEntry e = IPC_MSG_ENTRY__INIT;
	IpcDescEntry d;
	int r;

	desc_of(&d, &ds->msg_perm, id);
	e.desc = &d;
	e.qbytes = ds->msg_qbytes;
	e.qnum = ds->msg_qnum;
	r = image_write(img, &e.base);
	for (unsigned long n = 0; r == 0 && n < ds->msg_qnum; n++)
		r = message_dump(s, img, id, buf, room, n);
	return r;
}

static int queues_dump(struct session *s, const struct ns *ns)
{
	own_image struct image img = { .fd = -1 };
	struct msginfo info = { 0 };
	int max = msgctl(0, MSG_INFO, (struct msqid_ds *)&info);
	int r = image_create(s, &img, MAGIC_IPCNS_MSG, "ipcns-msg-%u.img", ns->id);

	for (int i = 0; r == 0 && info.msgpool && i <= max; i++) {
		struct msqid_ds ds;
		int id = msgctl(i, MSG_STAT, &ds);

		if (id >= 0)
			r = queue_dump(s, &img, id, &ds);
	}
	return r < 0 ? r : image_close(&img);
}

int sysv_dump(struct session *s, const struct ns *ns)
{
	int r;

	page_ids_apart(s);
	r = segments_dump(s, ns);
	if (r == 0)
		r = sets_dump(s, ns);
	return r < 0 ? r : queues_dump(s, ns);
}

/* ---- preflight ---- */

/* With shm_rmid_forced, segments that nobody has attached live as long as their creator. */
static int forced_check(struct session *s, int max)
{
	own_mem char *text = NULL;

	if (text_read(ns_proc(s), "sys/kernel/shm_rmid_forced", &text, NULL) < 0 || atoi(text) == 0)
		return 0;
	for (int i = 0; i <= max; i++) {
		struct shmid_ds ds;
		int id = shmctl(i, SHM_STAT, &ds);

		if (id >= 0 && !ds.shm_nattch)
			return session_fail(s, -ENOTSUP,
					    "shared memory segment %d: nobody has it attached, and kernel.shm_rmid_forced is set: it could not be kept; attach or remove it",
					    id);
	}
	return 0;
}

int sysv_preflight(struct session *s, const struct ns *ns)
{
	struct shm_info shm = { 0 };
	struct seminfo sem = { 0 };
	struct msginfo msg = { 0 };
	union semarg arg = { .info = &sem };
	int max = shmctl(0, SHM_INFO, (struct shmid_ds *)&shm);

	if (max < 0 || semctl(0, 0, SEM_INFO, arg) < 0 || msgctl(0, MSG_INFO, (struct msqid_ds *)&msg) < 0)
		return session_fail(s, -errno, "ipc namespace %u: count its objects", ns->id);
	if ((shm.used_ids || sem.semusz || msg.msgpool) &&
	    faccessat(ns_proc(s), "sys/kernel/shm_next_id", F_OK, 0) < 0)
		return session_fail(s, -ENOTSUP,
				    "ipc namespace %u: holds System V objects, for which the kernel needs CONFIG_CHECKPOINT_RESTORE",
				    ns->id);
	return shm.used_ids ? forced_check(s, max) : 0;
}
