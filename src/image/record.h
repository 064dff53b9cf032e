/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: an image file is a header (magic numbers), then records {u32 size, protobuf}, each maybe
 * followed by raw bytes. This and dir.h are the only code that knows the wire. docs/images.md.
 */
#ifndef IMAGE_RECORD_H
#define IMAGE_RECORD_H

#include "session/session.h"

#include <protobuf-c/protobuf-c.h>

#define RECORD_MAX (64u << 20) /* bytes of one record; larger ones are hostile or broken */

/* one image file, open for reading or writing; buffered */
struct image {
	struct session *s;
	int fd;
	char name[64];
	bool writing;
	char *buf; /* page aligned; what is not written, or read ahead */
	size_t n, at;
	uint64_t pos, size; /* reading: file offset of the end of buf, file size */
};

/**
 * image_create - new image file in s->images with its header; a stale one of that name is removed
 * @magic: second magic number, 0 for raw files. inventory.img and service files: image_create_as()
 */
int image_create(struct session *s, struct image *img, uint32_t magic, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/** image_create_at - same below another directory, with the first magic given (0: none) */
int image_create_at(struct session *s, struct image *img, int dirfd, uint32_t common, uint32_t magic,
		    const char *name);
/**
 * image_open - open for reading and check the header
 * Return: 0; 1 and nothing open if there is no such file (reads as empty); -errno with the reason.
 */
int image_open(struct session *s, struct image *img, uint32_t magic, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int image_open_at(struct session *s, struct image *img, int dirfd, uint32_t common, uint32_t magic,
		  const char *name);
/**
 * image_shared - the image of that name for the whole dump, created at the first call
 * image_shared_end - close it, if there is one
 * Return: borrowed; NULL with the reason.
 */
struct image *image_shared(struct session *s, uint32_t magic, const char *name);
int image_shared_end(struct session *s, const char *name);
/** image_close - flush and close; a write error shows here. Safe on a zeroed or closed image. */
int image_close(struct image *img);
static inline void own_image_release(struct image *img)
{
	image_close(img);
}
#define own_image __attribute__((cleanup(own_image_release)))

/** image_write - append one record */
int image_write(struct image *img, const ProtobufCMessage *m);
/** image_write_raw - append bytes as they are */
int image_write_raw(struct image *img, const void *p, size_t n);
/**
 * image_read - next record
 * @ret: message of type d, owned: protobuf_c_message_free_unpacked(m, NULL)
 * Return: 1 a record, 0 end of file, -EBADMSG broken, with the reason.
 */
int image_read(struct image *img, const ProtobufCMessageDescriptor *d, ProtobufCMessage **ret);
/** image_read_one - the only record of a file that must exist: open, read, close */
int image_read_one(struct session *s, uint32_t magic, const ProtobufCMessageDescriptor *d,
		   ProtobufCMessage **ret, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/** image_write_one - create, write one record, close */
int image_write_one(struct session *s, uint32_t magic, const ProtobufCMessage *m, const char *fmt,
		    ...) __attribute__((format(printf, 4, 5)));
/** image_read_raw - exactly n raw bytes; -EBADMSG if the file ends before */
int image_read_raw(struct image *img, void *p, size_t n);
/** image_left - bytes from here to the end of the file */
uint64_t image_left(const struct image *img);

enum image_magic {
	MAGIC_COMMON = 0x54564319,
	MAGIC_SERVICE = 0x55105940,
	MAGIC_INVENTORY = 0x58313116,
	MAGIC_PSTREE = 0x50273030,
	MAGIC_CORE = 0x55053847,
	MAGIC_IDS = 0x54432030,
	MAGIC_MM = 0x57492820,
	MAGIC_FS = 0x51403912,
	MAGIC_FDINFO = 0x56213732,
	MAGIC_FILES = 0x56303138,
	MAGIC_PAGEMAP = 0x56084025,
	MAGIC_SECCOMP = 0x64413049,
	MAGIC_TIMENS = 0x43114433,
	MAGIC_REMAP_FPATH = 0x59133954,
	MAGIC_GHOST_FILE = 0x52583605,
	MAGIC_MEMFD = 0x48453499,
	MAGIC_PIPES_DATA = 0x56453709,
	MAGIC_FIFO_DATA = 0x59333054,
	MAGIC_SK_QUEUES = 0x56264026,
	MAGIC_TCP_STREAM = 0x51465506,
	MAGIC_FILE_LOCKS = 0x54323616,
	MAGIC_TTY_INFO = 0x59453036,
	MAGIC_TTY_DATA = 0x59413026,
	MAGIC_CGROUP = 0x59383330,
	MAGIC_APPARMOR = 0x59423047,
	MAGIC_CPUINFO = 0x61404013,
	MAGIC_BPFMAP_DATA = 0x64324033,
	MAGIC_UTSNS = 0x54473203,
	MAGIC_IPCNS_VAR = 0x53115007,
	MAGIC_IPCNS_SHM = 0x46283044,
	MAGIC_IPCNS_MSG = 0x55453737,
	MAGIC_IPCNS_SEM = 0x59573019,
	MAGIC_MQUEUE = 0x50514d51, /* ours */
	MAGIC_TCP_PENDING = 0x54435057, /* ours */
	MAGIC_UNIX_PENDING = 0x58505057, /* ours */
	MAGIC_BPFPROG = 0x47504642, /* ours */
	MAGIC_USERNS = 0x55474906,
	MAGIC_PIDNS = 0x61157326,
	MAGIC_MNTS = 0x55563928,
	MAGIC_AUTOFS = 0x49353943,
	MAGIC_BINFMT_MISC = 0x67343323,
	MAGIC_NETNS = 0x55933752,
	MAGIC_NETDEV = 0x57373951,
	MAGIC_STATS = 0x57093306,
	/* legacy files, read only */
	MAGIC_REG_FILES = 0x50363636,
	MAGIC_NS_FILES = 0x61394011,
	MAGIC_EVENTFD = 0x44523722,
	MAGIC_EVENTPOLL = 0x45023858,
	MAGIC_SIGNALFD = 0x57323820,
	MAGIC_INOTIFY = 0x48424431,
	MAGIC_FANOTIFY = 0x55096122,
	MAGIC_PIPES = 0x56513555,
	MAGIC_FIFO = 0x58364939,
	MAGIC_UNIXSK = 0x54373943,
	MAGIC_INETSK = 0x56443851,
	MAGIC_PACKETSK = 0x60454618,
	MAGIC_NETLINKSK = 0x58005614,
	MAGIC_TTY = 0x59433025,
	MAGIC_TUNFILE = 0x57143751,
	MAGIC_TIMERFD = 0x50493712,
	MAGIC_VMAS = 0x54123737,
	MAGIC_SIGACTS = 0x55344201,
	MAGIC_CREDS = 0x54023547,
};

#endif
