// SPDX-License-Identifier: Apache-2.0
/*
 * mqueue-restore: POSIX message queues made anew. Those without a name are made first, under the name they
 * had, which another may have now.
 *
 * Lost:   times; the user whose limit (RLIMIT_MSGQUEUE) they count against is who restores.
 * Kernel: ipc/mqueue.c; who may raise limits is bound by the hard ones only.
 */
#include "kind/mqueue.h"

#include "base/list.h"
#include "base/text.h"
#include "image/record.h"
#include "task/guest.h"

#include <fcntl.h>
#include <mqueue.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define QUEUES_MAX 65536
#define COUNT_MAX 65536	 /* messages in a queue; the kernel's own limits */
#define SIZE_LIMIT (16u << 20)
#define PRIO_LIMIT 32768

struct queue {
	const MqueueEntry *e;
	int fd; /* supervisor: -1 before the guest gave it */
};

/* what the images of all namespaces hold, in the order in which the queues are made */
struct queues {
	struct queue *v;
	size_t n, max;
};

static struct queues *queues(struct session *s)
{
	return session_state(s, "mqueue", sizeof(struct queues));
}

static int entry_check(struct session *s, const struct image *img, const MqueueEntry *e)
{
	size_t len = strlen(e->name);

	if (!len || len > 255 || strchr(e->name, '/') || !strcmp(e->name, ".") || !strcmp(e->name, "..") ||
	    !e->maxmsg || e->maxmsg > COUNT_MAX || !e->msgsize || e->msgsize > SIZE_LIMIT || e->count > e->maxmsg ||
	    e->mode > 07777 || queues(s)->n >= QUEUES_MAX)
		return session_fail(s, -EBADMSG, "%s: message queue \"%.50s\" is out of range", img->name, e->name);
	return 0;
}

/* One message; buf: e->msgsize bytes. */
static int message_read(struct session *s, struct image *img, const MqueueEntry *e, char *buf, uint32_t *prio,
			uint32_t *size)
{
	ProtobufCMessage *m = NULL;
	int r = image_read(img, &mqueue_msg_entry__descriptor, &m);

	if (r == 1) {
		*prio = ((MqueueMsgEntry *)m)->prio;
		*size = ((MqueueMsgEntry *)m)->size;
		protobuf_c_message_free_unpacked(m, NULL);
	}
	if (r < 0)
		return r;
	if (r == 0 || *prio >= PRIO_LIMIT || *size > e->msgsize)
		return session_fail(s, -EBADMSG, "%s: a message of queue /%s is missing or out of range", img->name,
				    e->name);
	return image_read_raw(img, buf, *size);
}

static int queue_make(struct session *s, const MqueueEntry *e)
{
	struct mq_attr a = { .mq_maxmsg = e->maxmsg, .mq_msgsize = e->msgsize };
	int fd = fd_high(syscall(SYS_mq_open, e->name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC, 0600, &a));

	if (fd < 0 && errno == EMFILE)
		return session_fail(s, -EMFILE,
				    "message queue /%s: make it: it exceeds RLIMIT_MSGQUEUE of who restores; raise that", e->name);
	if (fd < 0)
		return session_fail(s, -errno, "message queue /%s: make it", e->name);
	if (fchown(fd, e->uid, e->gid) < 0 || fchmod(fd, e->mode) < 0)
		return session_fail(s, -errno, "message queue /%s: set its owner", e->name);
	return fd;
}

/* Messages of one queue, from the image into fd; fd -1: checked only. */
static int queue_fill(struct session *s, struct image *img, const MqueueEntry *e, int fd)
{
	own_mem char *buf = xalloc(e->msgsize);
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < e->count; i++) {
		uint32_t prio = 0, size = 0;

		r = message_read(s, img, e, buf, &prio, &size);
		if (r == 0 && fd >= 0 && mq_send(fd, buf, size, prio) < 0)
			r = session_fail(s, -errno, "message queue /%s: put a message back", e->name);
	}
	return r;
}

/* In the guest. n: number of the queue in the list. */
static int queue_restore(struct session *s, struct image *img, const MqueueEntry *e, size_t n)
{
	own_fd int fd = queue_make(s, e);
	int r = fd < 0 ? fd : queue_fill(s, img, e, fd);

	if (r == 0 && e->unlinked && syscall(SYS_mq_unlink, e->name) < 0)
		r = session_fail(s, -errno, "message queue /%s: remove its name", e->name);
	return r < 0 ? r : guest_give_fd(s, MQUEUE_TAG + (int)n, fd);
}

/* number in the list of the first queue whose record follows; make: else they are checked and listed */
static int image_walk(struct session *s, const struct ns *ns, const char *name, bool make)
{
	own_image struct image img = { .fd = -1 };
	ProtobufCMessage *m;
	int r = image_open(s, &img, MAGIC_MQUEUE, "%s", name);

	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, &mqueue_entry__descriptor, &m)) == 1) {
		MqueueEntry *e = (MqueueEntry *)m;
		size_t n = 0;

		r = entry_check(s, &img, e);
		if (r < 0)
			return r;
		while (n < queues(s)->n && (queues(s)->v[n].e->ino != e->ino || queues(s)->v[n].e->ns_id != e->ns_id))
			n++;
		if (!make && n < queues(s)->n && e->ns_id == ns->id)
			return session_fail(s, -EBADMSG, "%s: message queue /%s stands there twice", name, e->name);
		if (!make && e->ns_id == ns->id)
			*vec_add(queues(s)) = (struct queue){ .e = e, .fd = -1 };
		r = make && e->ns_id == ns->id ? queue_restore(s, &img, e, n) : queue_fill(s, &img, e, -1);
	}
	return r;
}

static int walk(struct session *s, const struct ns *ns, bool make)
{
	own_mem char *named = xprintf("ipcns-mq-%u.img", ns->id);
	int r = image_walk(s, ns, "mqueue.img", make);

	return r < 0 ? r : image_walk(s, ns, named, make);
}

int mqueue_prepare(struct session *s, const struct ns *ns)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	int r = walk(s, ns, false);

	if (r == 0 && queues(s)->n) /* the tasks' limits come later; if not, making a queue says why */
		setrlimit(RLIMIT_MSGQUEUE, &all);
	return r;
}

int mqueue_restore(struct session *s, const struct ns *ns)
{
	static const char *const high[][2] = { { "sys/fs/mqueue/queues_max", "65536\n" },
					       { "sys/fs/mqueue/msg_max", "65536\n" },
					       { "sys/fs/mqueue/msgsize_max", "16777216\n" } };

	if (!queues(s)->n)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(high); i++)
		text_write(ns_proc(s), high[i][0], high[i][1]);
	return walk(s, ns, true);
}

int mqueue_take(struct session *s, int n, int fd)
{
	if ((size_t)n >= queues(s)->n || queues(s)->v[n].fd >= 0) {
		fd_close(fd);
		return session_fail(s, -EPROTO, "guest: gave message queue %d", n);
	}
	queues(s)->v[n].fd = fd;
	return 0;
}

const MqueueEntry *mqueue_get(struct session *s, uint32_t ns_id, uint64_t ino, int *ret_fd)
{
	for (size_t i = 0; i < queues(s)->n; i++)
		if (queues(s)->v[i].e->ino == ino && queues(s)->v[i].e->ns_id == ns_id && queues(s)->v[i].fd >= 0) {
			*ret_fd = queues(s)->v[i].fd;
			return queues(s)->v[i].e;
		}
	return NULL;
}
