// SPDX-License-Identifier: Apache-2.0
/*
 * sysv-restore: segments, semaphore sets and message queues made anew under their ids; see sysv.c.
 *
 * Kernel: writing kernel.{shm,sem,msg}_next_id decides the id of the next object. The creator of an
 *         object is the effective user of who makes it.
 */
#include "kind/sysv.h"

#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "images/ipc-msg.pb-c.h"
#include "images/ipc-sem.pb-c.h"
#include "images/ipc-shm.pb-c.h"
#include "images/ipc-var.pb-c.h"
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

#define SEMS_MAX 65536u
#define MSG_MAX (1u << 28) /* bytes of one message */
#define HUGE_SHIFT 26	   /* in SHM_HUGETLB flags: the logarithm of the page size */

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

static int desc_check(struct session *s, const struct image *img, const IpcDescEntry *d)
{
	return d->id > INT32_MAX ? session_fail(s, -EBADMSG, "%s: id %u is impossible", img->name, d->id)
				 : 0;
}

/* The next object of that sort is made by d's creator with d's id. */
static int become(struct session *s, const char *sort, const IpcDescEntry *d)
{
	own_mem char *path = xprintf("sys/kernel/%s_next_id", sort), *id = xprintf("%u\n", d->id);
	int r = text_write(ns_proc(s), path, id);

	if (r < 0)
		return session_fail(s, r, "%s %u: choose its id", sort, d->id);
	/* the bare calls: only this thread, and saved ids lead back */
	if (syscall(SYS_setresgid, -1, d->cgid, -1) < 0 || syscall(SYS_setresuid, -1, d->cuid, -1) < 0)
		return session_fail(s, -errno, "%s %u: be its creator, user %u", sort, d->id, d->cuid);
	return 0;
}

/* Ourselves again; id: what the kernel gave, or -1 and errno. */
static int unbecome(struct session *s, const char *sort, const IpcDescEntry *d, int id)
{
	int r = id < 0 ? -errno : 0;

	if (syscall(SYS_setresuid, -1, 0, -1) < 0 || syscall(SYS_setresgid, -1, 0, -1) < 0)
		return session_fail(s, -errno, "%s %u: be root again", sort, d->id);
	if (r < 0)
		return session_fail(s, r, "%s %u: make it", sort, d->id);
	if ((uint32_t)id != d->id)
		return session_fail(s, -EEXIST, "%s %u: the kernel gave it the id %d; the number is taken", sort,
				    d->id, id);
	return 0;
}

static void perm_of(struct ipc_perm *p, const IpcDescEntry *d)
{
	p->uid = d->uid;
	p->gid = d->gid;
	p->mode = d->mode & 0777;
}

/* ---- segments ---- */

/* Contents that stand in the image itself. */
static int raw_fill(struct session *s, struct image *img, const IpcShmEntry *e, char *to)
{
	uint64_t rest = (4 - e->size % 4) % 4;
	char waste[4];
	int r;

	if (e->size > image_left(img))
		return session_fail(s, -EBADMSG, "%s: segment %u is cut short", img->name, e->desc->id);
	r = image_read_raw(img, to, e->size);
	return r < 0 || !rest ? r : image_read_raw(img, waste, rest);
}

static int segment_fill(struct session *s, const struct ns *ns, struct image *img, const IpcShmEntry *e)
{
	uint32_t id = e->desc->id;
	own_fd int fd = -1;
	char *p = shmat(id, NULL, 0);
	int r;

	if (p == (void *)-1)
		return session_fail(s, -errno, "shared memory segment %u: attach it", id);
	if (!e->has_in_pagemaps || !e->in_pagemaps) {
		r = raw_fill(s, img, e, p);
	} else {
		fd = sysv_attached_file(s, p, O_RDWR);
		r = fd < 0 ? session_fail(s, fd, "shared memory segment %u: open it", id)
			   : shmem_restore(s, sysv_key(s, ns->id, id), fd, e->size);
	}
	shmdt(p);
	return r;
}

static int segment_make(struct session *s, const struct ns *ns, struct image *img, const IpcShmEntry *e)
{
	int huge = e->has_hugetlb_flag ? (int)(e->hugetlb_flag & (SHM_HUGETLB | 0x3fu << HUGE_SHIFT)) : 0;
	IpcDescEntry maker = *e->desc;
	const IpcDescEntry *d = &maker;
	struct shmid_ds ds = { 0 };
	int id, r;

	if (huge && d->cuid) { /* others may not make such */
		session_warn(s, "shared memory segment %u: is of huge pages; its creator is root now, it was user %u", d->id,
			     d->cuid);
		maker.cuid = maker.cgid = 0;
	}
	r = become(s, "shm", d);
	if (r < 0)
		return r;
	id = shmget(d->key, e->size, IPC_CREAT | IPC_EXCL | huge | (d->mode & 0777));
	if (id < 0 && huge && errno == ENOMEM)
		session_warn(s, "shared memory segment %u: vm.nr_hugepages says how many huge pages there are", d->id);
	r = unbecome(s, "shm", d, id);
	if (r == 0)
		r = segment_fill(s, ns, img, e);
	perm_of(&ds.shm_perm, d);
	if (r == 0 && (shmctl(id, IPC_SET, &ds) < 0 || ((d->mode & SHM_LOCKED) && shmctl(id, SHM_LOCK, NULL) < 0)))
		r = session_fail(s, -errno, "shared memory segment %d: set owner and mode", id);
	return r;
}

/* ---- semaphores ---- */

/*
 * Programs take a set whose sem_otime is 0 for one that its maker has not initialised yet. The date is that of the
 * restore; no value changes.
 */
static int set_used(struct session *s, int id, unsigned short first)
{
	short step = first ? -1 : 1;
	struct sembuf ops[] = { { 0, step, IPC_NOWAIT }, { 0, -step, IPC_NOWAIT } };

	return semop(id, ops, 2) == 0 ? 0 : session_fail(s, -errno, "semaphore set %d: use it", id);
}

static int set_make(struct session *s, struct image *img, const IpcSemEntry *e)
{
	const IpcDescEntry *d = e->desc;
	size_t bytes = pad8(e->nsems * sizeof(unsigned short));
	own_mem unsigned short *values = NULL;
	struct semid_ds ds = { 0 };
	int id, r;

	if (!e->nsems || e->nsems > SEMS_MAX || bytes > image_left(img))
		return session_fail(s, -EBADMSG, "%s: set %u of %u semaphores is impossible or cut short",
				    img->name, d->id, e->nsems);
	values = xalloc(bytes);
	r = image_read_raw(img, values, bytes);
	if (r == 0)
		r = become(s, "sem", d);
	if (r < 0)
		return r;
	id = semget(d->key, e->nsems, IPC_CREAT | IPC_EXCL | (d->mode & 0777));
	r = unbecome(s, "sem", d, id);
	perm_of(&ds.sem_perm, d);
	if (r == 0 && (semctl(id, 0, SETALL, (union semarg){ .array = values }) < 0 ||
		       semctl(id, 0, IPC_SET, (union semarg){ .ds = &ds }) < 0))
		r = session_fail(s, -errno, "semaphore set %d: set values, owner and mode", id);
	return r == 0 && e->used ? set_used(s, id, values[0]) : r;
}

/* ---- messages ---- */

static int message_send(struct session *s, struct image *img, int id)
{
	ProtobufCMessage *m = NULL;
	own_mem long *buf = NULL;
	uint64_t type;
	uint32_t size;
	int r = image_read(img, &ipc_msg__descriptor, &m);

	if (r <= 0)
		return r < 0 ? r : session_fail(s, -EBADMSG, "%s: queue %d is cut short", img->name, id);
	type = ((IpcMsg *)m)->mtype;
	size = ((IpcMsg *)m)->msize;
	protobuf_c_message_free_unpacked(m, NULL);
	if (size > MSG_MAX || pad8(size) > image_left(img) || !type || type > INT64_MAX)
		return session_fail(s, -EBADMSG, "%s: a message of queue %d is impossible or cut short",
				    img->name, id);
	buf = xalloc(sizeof(long) + pad8(size));
	buf[0] = type;
	r = image_read_raw(img, buf + 1, pad8(size));
	if (r == 0 && msgsnd(id, buf, size, IPC_NOWAIT) < 0)
		r = session_fail(s, -errno, "message queue %d: put a message of %u bytes back", id, size);
	return r;
}

static int queue_make(struct session *s, struct image *img, const IpcMsgEntry *e)
{
	const IpcDescEntry *d = e->desc;
	struct msqid_ds ds = { .msg_qbytes = UINT32_MAX >> 1 }; /* room for all */
	int id, r = become(s, "msg", d);

	if (r < 0)
		return r;
	id = msgget(d->key, IPC_CREAT | IPC_EXCL | (d->mode & 0777));
	r = unbecome(s, "msg", d, id);
	perm_of(&ds.msg_perm, d);
	if (r == 0 && msgctl(id, IPC_SET, &ds) < 0)
		r = session_fail(s, -errno, "message queue %d: make room", id);
	for (uint32_t i = 0; r == 0 && i < e->qnum; i++)
		r = message_send(s, img, id);
	ds.msg_qbytes = e->qbytes;
	if (r == 0 && msgctl(id, IPC_SET, &ds) < 0)
		r = session_fail(s, -errno, "message queue %d: set owner, mode and size", id);
	return r;
}

/* ---- all of a namespace ---- */

struct sort {
	const char *name;
	uint32_t magic;
	const ProtobufCMessageDescriptor *type;
};
static const struct sort sorts[] = {
	{ "shm", MAGIC_IPCNS_SHM, &ipc_shm_entry__descriptor },
	{ "sem", MAGIC_IPCNS_SEM, &ipc_sem_entry__descriptor },
	{ "msg", MAGIC_IPCNS_MSG, &ipc_msg_entry__descriptor },
};

static int make_one(struct session *s, const struct ns *ns, struct image *img, size_t sort, const ProtobufCMessage *m)
{
	/* the description is the first field of all three */
	int r = desc_check(s, img, ((const IpcShmEntry *)m)->desc);

	if (r < 0)
		return r;
	return sort == 0 ? segment_make(s, ns, img, (const IpcShmEntry *)m)
	       : sort == 1 ? set_make(s, img, (const IpcSemEntry *)m)
			   : queue_make(s, img, (const IpcMsgEntry *)m);
}
_Static_assert(offsetof(IpcShmEntry, desc) == offsetof(IpcSemEntry, desc) &&
		       offsetof(IpcShmEntry, desc) == offsetof(IpcMsgEntry, desc),
	       "make_one() takes it from any");

int sysv_restore(struct session *s, const struct ns *ns)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(sorts); i++) {
		own_image struct image img = { .fd = -1 };
		ProtobufCMessage *m;

		r = image_open(s, &img, sorts[i].magic, "ipcns-%s-%u.img", sorts[i].name, ns->id);
		if (r == 1)
			continue;
		while (r == 0 && (r = image_read(&img, sorts[i].type, &m)) == 1) {
			r = make_one(s, ns, &img, i, m);
			protobuf_c_message_free_unpacked(m, NULL);
		}
	}
	return r < 0 ? r : 0;
}

/* ---- supervisor ---- */

static int segment_note(struct session *s, const struct ns *ns, struct image *img, const IpcShmEntry *e)
{
	uint64_t page = PAGE;
	int r = desc_check(s, img, e->desc);

	if (r < 0)
		return r;
	if (e->has_hugetlb_flag && e->hugetlb_flag)
		page = 1ULL << (e->hugetlb_flag >> HUGE_SHIFT ? e->hugetlb_flag >> HUGE_SHIFT : 21);
	if (!e->size || page > 1ULL << 40 || e->size > INT64_MAX - page)
		return session_fail(s, -EBADMSG, "%s: segment %u has an impossible size", img->name,
				    e->desc->id);
	if (!e->has_in_pagemaps || !e->in_pagemaps) {
		uint64_t n = (e->size + 3) & ~3ULL;
		char waste[4096];

		for (; r == 0 && n; n -= n < sizeof(waste) ? n : sizeof(waste))
			r = image_read_raw(img, waste, n < sizeof(waste) ? n : sizeof(waste));
	}
	map_put(session_map(s, "sysv size"), sysv_key(s, ns->id, e->desc->id),
		(void *)(uintptr_t)((e->size + page - 1) & ~(page - 1)));
	if (e->desc->mode & SHM_DEST)
		map_put(session_map(s, "sysv removed"), sysv_key(s, ns->id, e->desc->id), s);
	return r;
}

int sysv_prepare(struct session *s, const struct ns *ns)
{
	own_image struct image img = { .fd = -1 };
	ProtobufCMessage *m;
	int r = image_open(s, &img, MAGIC_IPCNS_SHM, "ipcns-shm-%u.img", ns->id);

	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, &ipc_shm_entry__descriptor, &m)) == 1) {
		r = segment_note(s, ns, &img, (IpcShmEntry *)m);
		protobuf_c_message_free_unpacked(m, NULL);
	}
	return r;
}

uint64_t sysv_size(struct session *s, uint64_t id)
{
	return (uintptr_t)map_get(session_map(s, "sysv size"), id);
}

static int finish_inside(struct session *s, const struct ns *ns)
{
	const struct map *removed = session_map(s, "sysv removed");
	int r = 0;

	for (size_t i = 0; r == 0 && i < removed->max; i++)
		if (removed->rows[i].value &&
		    removed->rows[i].key == sysv_key(s, ns->id, removed->rows[i].key) &&
		    shmctl((uint32_t)removed->rows[i].key, IPC_RMID, NULL) < 0)
			r = session_fail(s, -errno, "shared memory segment %u: remove it, as it was",
					 (unsigned)removed->rows[i].key);
	if (r == 0 && map_get(session_map(s, "sysv forced"), ns->id + 1))
		r = text_write(ns_proc(s), "sys/kernel/shm_rmid_forced", "1\n");
	return r;
}

int sysv_finish(struct session *s)
{
	const struct ns *ns = ns_of(s, CLONE_NEWIPC);
	own_fd int home = -1;
	int r = 0;

	if (!session_map(s, "sysv removed")->n && !session_map(s, "sysv forced")->n)
		return 0;
	home = fd_high(open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC));
	for (size_t n = 0; r == 0 && ns; ns = ns_nested(s, CLONE_NEWIPC, n++)) {
		if (home < 0 || (ns->own && setns(ns->fd, CLONE_NEWIPC) < 0))
			return session_fail(s, -errno, "ipc namespace: enter it");
		r = ns->own ? finish_inside(s, ns) : 0;
	}
	if (setns(home, CLONE_NEWIPC) < 0)
		r = session_fail(s, -errno, "ipc namespace: return to our own");
	return r;
}
