// SPDX-License-Identifier: Apache-2.0
#include "kind/fd-legacy.h"

#include "base/res.h"
#include "image/record.h"

#include <limits.h>

static const struct {
	const char *name;
	uint32_t magic;
	FdTypes type;
	const ProtobufCMessageDescriptor *message;
} files[] = {
	{ "reg-files.img", MAGIC_REG_FILES, FD_TYPES__REG, &reg_file_entry__descriptor },
	{ "ns-files.img", MAGIC_NS_FILES, FD_TYPES__NS, &ns_file_entry__descriptor },
	{ "eventfd.img", MAGIC_EVENTFD, FD_TYPES__EVENTFD, &eventfd_file_entry__descriptor },
	{ "eventpoll.img", MAGIC_EVENTPOLL, FD_TYPES__EVENTPOLL, &eventpoll_file_entry__descriptor },
	{ "signalfd.img", MAGIC_SIGNALFD, FD_TYPES__SIGNALFD, &signalfd_entry__descriptor },
	{ "inotify.img", MAGIC_INOTIFY, FD_TYPES__INOTIFY, &inotify_file_entry__descriptor },
	{ "fanotify.img", MAGIC_FANOTIFY, FD_TYPES__FANOTIFY, &fanotify_file_entry__descriptor },
	{ "pipes.img", MAGIC_PIPES, FD_TYPES__PIPE, &pipe_entry__descriptor },
	{ "fifo.img", MAGIC_FIFO, FD_TYPES__FIFO, &fifo_entry__descriptor },
	{ "unixsk.img", MAGIC_UNIXSK, FD_TYPES__UNIXSK, &unix_sk_entry__descriptor },
	{ "inetsk.img", MAGIC_INETSK, FD_TYPES__INETSK, &inet_sk_entry__descriptor },
	{ "packetsk.img", MAGIC_PACKETSK, FD_TYPES__PACKETSK, &packet_sock_entry__descriptor },
	{ "netlinksk.img", MAGIC_NETLINKSK, FD_TYPES__NETLINKSK, &netlink_sk_entry__descriptor },
	{ "tty.img", MAGIC_TTY, FD_TYPES__TTY, &tty_file_entry__descriptor },
	{ "tunfile.img", MAGIC_TUNFILE, FD_TYPES__TUNF, &tunfile_entry__descriptor },
	{ "timerfd.img", MAGIC_TIMERFD, FD_TYPES__TIMERFD, &timerfd_entry__descriptor },
};

/* The slot of the union whose messages are of that sort. */
static void set_slot(FileEntry *e, ProtobufCMessage *m)
{
	const ProtobufCMessageDescriptor *d = &file_entry__descriptor;

	for (unsigned i = 0; i < d->n_fields; i++)
		if (d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE &&
		    d->fields[i].descriptor == m->descriptor)
			*(ProtobufCMessage **)((char *)e + d->fields[i].offset) = m;
}

static int read_one(struct session *s, size_t n, int (*add)(struct session *s, FileEntry *e))
{
	const ProtobufCFieldDescriptor *id =
		protobuf_c_message_descriptor_get_field_by_name(files[n].message, "id");
	own_image struct image img = { .fd = -1 };
	ProtobufCMessage *m;
	int count = 0, r = image_open(s, &img, files[n].magic, "%s", files[n].name);

	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, files[n].message, &m)) == 1) {
		FileEntry *e = xalloc(sizeof(*e));

		file_entry__init(e);
		e->type = files[n].type;
		e->id = *(const uint32_t *)((const char *)m + id->offset);
		set_slot(e, m);
		r = count < INT_MAX / 2 ? add(s, e) : -E2BIG;
		count++;
	}
	return r < 0 ? r : count;
}

int fd_legacy_read(struct session *s, int (*add)(struct session *s, FileEntry *e))
{
	int count = 0;

	for (size_t n = 0; n < ARRAY_SIZE(files); n++) {
		int r = read_one(s, n, add);

		if (r < 0)
			return r;
		count += r;
	}
	return count;
}
