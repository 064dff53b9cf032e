// SPDX-License-Identifier: Apache-2.0
#include "oci/images.h"

#include "base/res.h"
#include "images/apparmor.pb-c.h"
#include "images/autofs.pb-c.h"
#include "images/binfmt-misc.pb-c.h"
#include "images/bpfmap-data.pb-c.h"
#include "images/cgroup.pb-c.h"
#include "images/cpuinfo.pb-c.h"
#include "images/file-lock.pb-c.h"
#include "images/fs.pb-c.h"
#include "images/ghost-file.pb-c.h"
#include "images/ipc-msg.pb-c.h"
#include "images/ipc-sem.pb-c.h"
#include "images/ipc-shm.pb-c.h"
#include "images/ipc-var.pb-c.h"
#include "images/netdev.pb-c.h"
#include "images/pidns.pb-c.h"
#include "images/pipe-data.pb-c.h"
#include "images/remap-file-path.pb-c.h"
#include "images/seccomp.pb-c.h"
#include "images/sk-packet.pb-c.h"
#include "images/timens.pb-c.h"
#include "images/userns.pb-c.h"
#include "images/utsns.pb-c.h"
#include "oci/archive.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>

#define SKIP (64u << 10)

static uint64_t pipe_bytes(const ProtobufCMessage *m)
{
	return ((const PipeDataEntry *)m)->bytes;
}
static uint64_t packet_bytes(const ProtobufCMessage *m)
{
	return ((const SkPacketEntry *)m)->length;
}
static uint64_t tcp_bytes(const ProtobufCMessage *m)
{
	const TcpStreamEntry *e = (const TcpStreamEntry *)m;

	return (uint64_t)e->inq_len + e->outq_len;
}
static uint64_t shm_bytes(const ProtobufCMessage *m)
{
	const IpcShmEntry *e = (const IpcShmEntry *)m;

	return e->in_pagemaps ? 0 : (e->size + 3) & ~3ull;
}
static uint64_t sem_bytes(const ProtobufCMessage *m)
{
	return (2ull * ((const IpcSemEntry *)m)->nsems + 7) & ~7ull;
}
static uint64_t map_bytes(const ProtobufCMessage *m)
{
	const BpfmapDataEntry *e = (const BpfmapDataEntry *)m;

	return (uint64_t)e->keys_bytes + e->values_bytes;
}

#define D(x) &x##__descriptor
#define ONE(p, m, d) { p, m, D(d), NULL, TAIL_NONE, NULL }
#define LIST(p, m, d) { p, m, D(d), D(d), TAIL_NONE, NULL }
#define DATA(p, m, d, f) { p, m, D(d), D(d), TAIL_BYTES, f }
#define RAW(p) { p, 0, NULL, NULL, TAIL_RAW, NULL }

static const struct image_kind kinds[] = {
	ONE("inventory.img", MAGIC_INVENTORY, inventory_entry),
	LIST("pstree.img", MAGIC_PSTREE, pstree_entry),
	ONE("core-[0-9]*.img", MAGIC_CORE, core_entry),
	ONE("ids-[0-9]*.img", MAGIC_IDS, task_kobj_ids_entry),
	ONE("mm-[0-9]*.img", MAGIC_MM, mm_entry),
	ONE("fs-[0-9]*.img", MAGIC_FS, fs_entry),
	LIST("fdinfo-[0-9]*.img", MAGIC_FDINFO, fdinfo_entry),
	LIST("files.img", MAGIC_FILES, file_entry),
	{ "pagemap-*.img", MAGIC_PAGEMAP, D(pagemap_head), D(pagemap_entry), TAIL_MAP, NULL },
	ONE("seccomp.img", MAGIC_SECCOMP, seccomp_entry),
	ONE("timens-[0-9]*.img", MAGIC_TIMENS, timens_entry),
	LIST("remap-fpath.img", MAGIC_REMAP_FPATH, remap_file_path_entry),
	{ "ghost-file-*.img", MAGIC_GHOST_FILE, D(ghost_file_entry), D(ghost_chunk_entry), TAIL_REST, NULL },
	LIST("memfd.img", MAGIC_MEMFD, memfd_inode_entry),
	DATA("pipes-data.img", MAGIC_PIPES_DATA, pipe_data_entry, pipe_bytes),
	DATA("fifo-data.img", MAGIC_FIFO_DATA, pipe_data_entry, pipe_bytes),
	DATA("sk-queues.img", MAGIC_SK_QUEUES, sk_packet_entry, packet_bytes),
	DATA("tcp-stream-*.img", MAGIC_TCP_STREAM, tcp_stream_entry, tcp_bytes),
	LIST("filelocks.img", MAGIC_FILE_LOCKS, file_lock_entry),
	LIST("tty-info.img", MAGIC_TTY_INFO, tty_info_entry),
	LIST("tty-data.img", MAGIC_TTY_DATA, tty_data_entry),
	ONE("cgroup.img", MAGIC_CGROUP, cgroup_entry),
	ONE("apparmor.img", MAGIC_APPARMOR, apparmor_entry),
	ONE("cpuinfo.img", MAGIC_CPUINFO, cpuinfo_entry),
	DATA("bpfmap-data.img", MAGIC_BPFMAP_DATA, bpfmap_data_entry, map_bytes),
	ONE("utsns-[0-9]*.img", MAGIC_UTSNS, utsns_entry),
	ONE("ipcns-var-[0-9]*.img", MAGIC_IPCNS_VAR, ipc_var_entry),
	DATA("ipcns-shm-[0-9]*.img", MAGIC_IPCNS_SHM, ipc_shm_entry, shm_bytes),
	{ "ipcns-msg-[0-9]*.img", MAGIC_IPCNS_MSG, D(ipc_msg_entry), D(ipc_msg_entry), TAIL_MSG, NULL },
	DATA("ipcns-sem-[0-9]*.img", MAGIC_IPCNS_SEM, ipc_sem_entry, sem_bytes),
	ONE("userns-[0-9]*.img", MAGIC_USERNS, userns_entry),
	ONE("pidns-[0-9]*.img", MAGIC_PIDNS, pidns_entry),
	LIST("mountpoints-[0-9]*.img", MAGIC_MNTS, mnt_entry),
	{ "tmpfs-*.tar.gz.img", 0, NULL, NULL, TAIL_TAR, NULL },
	ONE("autofs-[0-9]*.img", MAGIC_AUTOFS, autofs_entry),
	LIST("binfmt-misc*.img", MAGIC_BINFMT_MISC, binfmt_misc_entry),
	ONE("netns-[0-9]*.img", MAGIC_NETNS, netns_entry),
	LIST("netdev-[0-9]*.img", MAGIC_NETDEV, net_device_entry),
	RAW("ifaddr-*.img"), RAW("route-*.img"), RAW("route6-*.img"), RAW("rule-*.img"), RAW("iptables-*.img"),
	RAW("ip6tables-*.img"), RAW("nftables-*.img"), RAW("netns-ct-*.img"), RAW("netns-exp-*.img"),
	RAW("pages-*.img"), RAW("pages-*.img"),
};

const struct image_kind *image_kind_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (fnmatch(kinds[i].pattern, name, 0) == 0)
			return &kinds[i];
	return NULL;
}

static int skip(struct image *img, uint64_t n)
{
	char buf[SKIP];

	if (n > image_left(img))
		return session_fail(img->s, -EBADMSG, "image %s: ends in the middle of its data; it was cut short or is damaged",
				    img->name);
	while (n) {
		size_t k = n < SKIP ? n : SKIP;
		int r = image_read_raw(img, buf, k);

		if (r < 0)
			return r;
		n -= k;
	}
	return 0;
}

/* messages of a queue, each with its text */
static int skip_queue(struct image *img, const IpcMsgEntry *q)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < q->qnum; i++) {
		ProtobufCMessage *m = NULL;

		r = image_read(img, &ipc_msg__descriptor, &m);
		if (r == 0)
			return session_fail(img->s, -EBADMSG, "image %s: a queue lacks messages", img->name);
		if (r < 0)
			return r;
		r = skip(img, (((IpcMsg *)m)->msize + 7ull) & ~7ull);
		protobuf_c_message_free_unpacked(m, NULL);
	}
	return r;
}

static int tail(struct image *img, const struct image_kind *k, const ProtobufCMessage *m, uint64_t nth, bool *chunks)
{
	if (k->tail == TAIL_BYTES)
		return skip(img, k->bytes(m));
	if (k->tail == TAIL_MSG)
		return skip_queue(img, (const IpcMsgEntry *)m);
	if (k->tail == TAIL_REST && nth == 0)
		*chunks = ((const GhostFileEntry *)m)->chunks;
	if (k->tail == TAIL_REST)
		return nth ? skip(img, ((const GhostChunkEntry *)m)->len) : *chunks ? 0 : skip(img, image_left(img));
	return 0;
}

static int verify_tar(struct look *l, const char *name)
{
	own_reader struct archive *in = archive_read_new();
	own_fd int fd = openat(l->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct archive_entry *e;
	int r;

	archive_read_support_format_tar(in);
	archive_read_support_filter_gzip(in);
	r = fd < 0 ? ARCHIVE_FATAL : archive_read_open_fd(in, fd, SKIP);
	while (r >= ARCHIVE_WARN && (r = archive_read_next_header(in, &e)) >= ARCHIVE_WARN && r != ARCHIVE_EOF)
		r = archive_read_data_skip(in);
	if (r == ARCHIVE_EOF)
		return 0;
	return session_fail(&l->s, -EBADMSG, "image %s: is no whole archive: %s", name,
			    fd < 0 ? strerror(errno) : archive_error_string(in) ? archive_error_string(in) : "damaged");
}

int image_verify(struct look *l, const struct image_kind *k, const char *name, uint64_t *records)
{
	own_image struct image img = { 0 };
	bool chunks = false;
	uint64_t n = 0;
	int r;

	if (k->tail == TAIL_RAW)
		return 0;
	if (k->tail == TAIL_TAR)
		return verify_tar(l, name);
	r = image_open(&l->s, &img, k->magic, "%s", name);
	while (r == 0) {
		ProtobufCMessage *m = NULL;
		const ProtobufCMessageDescriptor *d = n ? k->more : k->first;

		if (!d && image_left(&img))
			return session_fail(&l->s, -EBADMSG, "image %s: holds more than one record", name);
		r = d ? image_read(&img, d, &m) : 0;
		if (r <= 0)
			break;
		r = tail(&img, k, m, n++, &chunks);
		protobuf_c_message_free_unpacked(m, NULL);
	}
	if (r == 0 && n == 0 && !k->more)
		return session_fail(&l->s, -EBADMSG, "image %s: is empty", name);
	*records += n;
	return r < 0 ? r : 0;
}
