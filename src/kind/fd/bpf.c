// SPDX-License-Identifier: Apache-2.0
/*
 * bpf: BPF maps; links are refused.
 *
 * Kept:   hash, array, LRU and LPM maps that no program outside of the tree uses: sizes, flags, name, contents,
 *         whether frozen; who shares one.
 * Lost:   the map's id; in an LRU map, what was used last. Refused before anything is stopped: other sorts, maps
 *         with type information (BTF), of a device, mapped ones, those that may not be read or written.
 * Kernel: kernel/bpf/syscall.c; "map_id", "frozen" in fdinfo.
 */
#include "kind/bpf-prog.h"
#include "kind/fd.h"

#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "images/bpfmap-data.pb-c.h"

#include <fcntl.h>
#include <string.h>

#define BYTES_MAX (1ULL << 30)	/* of keys, of values */
#define FLAGS_KEPT                                                                                  \
	(BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | BPF_F_RDONLY_PROG | \
	 BPF_F_WRONLY_PROG | BPF_F_MMAPABLE)

static bool bpf_is(const struct fd_view *v)
{
	return text_starts(v->link, "anon_inode:bpf-map") || text_starts(v->link, "anon_inode:bpf_link");
}

static bool info_get(int fd, void *info, size_t n)
{
	union bpf_attr a = { .info = { .bpf_fd = fd, .info_len = n, .info = (uintptr_t)info } };

	memset(info, 0, n);
	return bpf_call(BPF_OBJ_GET_INFO_BY_FD, &a) == 0;
}

static bool type_kept(uint32_t type)
{
	return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_LRU_HASH ||
	       type == BPF_MAP_TYPE_LPM_TRIE;
}

/* ---- preflight ---- */

/* Does program id use the map? */
static bool uses(uint32_t id, uint32_t map)
{
	union bpf_attr a = { .prog_id = id };
	own_fd int fd = bpf_call(BPF_PROG_GET_FD_BY_ID, &a);
	union bpf_attr get = { .info = { .bpf_fd = fd } };
	uint32_t maps[64];
	struct bpf_prog_info i = { .nr_map_ids = ARRAY_SIZE(maps), .map_ids = (uintptr_t)maps };

	get.info.info_len = sizeof(i);
	get.info.info = (uintptr_t)&i;
	if (fd < 0 || bpf_call(BPF_OBJ_GET_INFO_BY_FD, &get) < 0)
		return false;
	for (uint32_t n = 0; n < i.nr_map_ids && n < ARRAY_SIZE(maps); n++)
		if (maps[n] == map)
			return true;
	return i.nr_map_ids > ARRAY_SIZE(maps); /* maybe */
}

/* A program that uses the map and that no task of the tree has open, or 0. */
static uint32_t user_of(struct session *s, uint32_t map)
{
	union bpf_attr a = { 0 };

	while (bpf_call(BPF_PROG_GET_NEXT_ID, &a) == 0) {
		if (uses(a.next_id, map) && !bpf_prog_held(s, a.next_id))
			return a.next_id;
		a = (union bpf_attr){ .start_id = a.next_id };
	}
	return 0;
}

static int map_check(struct session *s, const struct fd_view *v, struct bpf_map_info *i)
{
	const char *why = NULL;
	uint32_t user;

	if (!info_get(v->fd, i, sizeof(*i)))
		return session_fail(s, -errno, "task %d: descriptor %d: look at the BPF map", v->task->vpid, v->num);
	if (!type_kept(i->type))
		why = "is of a sort whose contents the kernel does not give back";
	else if (i->ifindex || i->btf_id || i->btf_vmlinux_value_type_id)
		why = "belongs to a device or has type information (BTF)";
	else if (i->map_flags & ~FLAGS_KEPT)
		why = "may not be read or written by system calls, or has flags that are not known";
	else if ((uint64_t)i->max_entries * i->key_size > BYTES_MAX || (uint64_t)i->max_entries * i->value_size > BYTES_MAX)
		why = "is too large";
	if (why)
		return session_fail(s, -ENOTSUP, "task %d: descriptor %d is the BPF map %.16s of type %u, which %s; let the program close it first",
				    v->task->vpid, v->num, i->name, i->type, why);
	user = user_of(s, i->id);
	return !user ? 0
		     : session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is the BPF map %.16s, which the BPF program %u uses, and of that no task here has a descriptor; have it unloaded",
				    v->task->vpid, v->num, i->name, user);
}

static int bpf_preflight(struct session *s, const struct fd_view *v)
{
	struct bpf_map_info m;

	if (text_starts(v->link, "anon_inode:bpf-map"))
		return map_check(s, v, &m);
	return session_fail(s, -ENOTSUP,
			    "task %d: descriptor %d is %s, which cannot be checkpointed yet; have it closed",
			    v->task->vpid, v->num, v->link);
}

/* ---- dump ---- */

/* All entries; room for max_entries in both. Their number, or -errno. */
static int64_t entries_get(int fd, const struct bpf_map_info *i, char *keys, char *values)
{
	own_mem char *in = xalloc(i->key_size + 8), *out = xalloc(i->key_size + 8);
	uint64_t have = 0;
	bool first = true;
	int r = 0;

	while (r == 0 && have < i->max_entries) {
		union bpf_attr a = { .batch = { .map_fd = fd, .count = i->max_entries - have } };

		a.batch.in_batch = first ? 0 : (uintptr_t)in;
		a.batch.out_batch = (uintptr_t)out;
		a.batch.keys = (uintptr_t)(keys + have * i->key_size);
		a.batch.values = (uintptr_t)(values + have * i->value_size);
		r = bpf_call(BPF_MAP_LOOKUP_BATCH, &a);
		if (r < 0 && r != -ENOENT)
			return r;
		have += a.batch.count;
		memcpy(in, out, i->key_size + 8);
		first = false;
	}
	return have;
}

static int entries_dump(struct session *s, int fd, const struct bpf_map_info *i)
{
	union bpf_attr a = { .map_id = i->id, .open_flags = BPF_F_RDONLY };
	own_fd int again = fd_high(bpf_call(BPF_MAP_GET_FD_BY_ID, &a)); /* theirs may be for writing only */
	struct image *img = image_shared(s, MAGIC_BPFMAP_DATA, "bpfmap-data.img");
	own_mem char *keys = xalloc((uint64_t)i->max_entries * i->key_size + 8);
	own_mem char *values = xalloc((uint64_t)i->max_entries * i->value_size + 8);
	BpfmapDataEntry e = BPFMAP_DATA_ENTRY__INIT;
	int64_t n = img ? entries_get(again < 0 ? fd : again, i, keys, values) : -EIO;
	int r;

	if (n < 0)
		return session_fail(s, n, "BPF map %.16s: read its entries", i->name);
	e.map_id = i->id;
	e.count = n;
	e.keys_bytes = n * i->key_size;
	e.values_bytes = n * i->value_size;
	r = image_write(img, &e.base);
	if (r == 0)
		r = image_write_raw(img, keys, e.keys_bytes);
	return r < 0 ? r : image_write_raw(img, values, e.values_bytes);
}

static int bpf_dump(struct session *s, const struct fd_view *v)
{
	BpfmapFileEntry e = BPFMAP_FILE_ENTRY__INIT;
	struct map *done = session_map(s, "bpf dumped");
	struct bpf_map_info i;
	uint64_t frozen = 0;
	int r = bpf_preflight(s, v);

	if (r < 0)
		return r;
	if (!info_get(v->fd, &i, sizeof(i)))
		return session_fail(s, -errno, "task %d: descriptor %d: look at the BPF map", v->task->vpid, v->num);
	e.id = v->id;
	e.flags = v->flags;
	e.pos = v->pos;
	e.fown = v->fown;
	e.map_type = i.type;
	e.key_size = i.key_size;
	e.value_size = i.value_size;
	e.map_id = i.id;
	e.max_entries = i.max_entries;
	e.map_flags = i.map_flags;
	e.has_map_extra = true;
	e.map_extra = i.map_extra;
	e.map_name = i.name;
	text_u64(v->info, "memlock:", 10, &e.memlock);
	text_u64(v->info, "frozen:", 10, &frozen);
	e.frozen = frozen;
	if (!map_get(done, i.id))
		r = entries_dump(s, v->fd, &i);
	map_put(done, i.id, s);
	return r < 0 ? r : fd_put(s, v, &e.base);
}

static int bpf_dump_end(struct session *s)
{
	return image_shared_end(s, "bpfmap-data.img");
}

/* ---- restore ---- */

static int entries_set(struct session *s, struct image *img, const BpfmapFileEntry *e, const BpfmapDataEntry *d, int fd)
{
	union bpf_attr a = { .batch = { .map_fd = fd, .count = d->count } };
	own_mem char *keys = NULL, *values = NULL;
	int r;

	if ((uint64_t)d->count * e->key_size != d->keys_bytes || (uint64_t)d->count * e->value_size != d->values_bytes ||
	    d->count > e->max_entries || (uint64_t)d->keys_bytes + d->values_bytes > image_left(img))
		return session_fail(s, -EBADMSG, "%s: the entries of map %u are cut short or not of its size", img->name, d->map_id);
	keys = xalloc(d->keys_bytes + 8);
	values = xalloc(d->values_bytes + 8);
	r = image_read_raw(img, keys, d->keys_bytes);
	if (r == 0)
		r = image_read_raw(img, values, d->values_bytes);
	a.batch.keys = (uintptr_t)keys;
	a.batch.values = (uintptr_t)values;
	if (r < 0 || !d->count)
		return r;
	r = bpf_call(BPF_MAP_UPDATE_BATCH, &a);
	return r < 0 ? session_fail(s, r, "BPF map %.16s: put its entries back", e->map_name) : 0;
}

static int skip(struct session *s, struct image *img, uint64_t n)
{
	char waste[4096];
	int r = n > image_left(img) ? session_fail(s, -EBADMSG, "%s: is cut short", img->name) : 0;

	for (; r == 0 && n; n -= n < sizeof(waste) ? n : sizeof(waste))
		r = image_read_raw(img, waste, n < sizeof(waste) ? n : sizeof(waste));
	return r;
}

static int map_fill(struct session *s, const BpfmapFileEntry *e, int fd)
{
	own_image struct image img = { .fd = -1 };
	ProtobufCMessage *m;
	int r = image_open(s, &img, MAGIC_BPFMAP_DATA, "bpfmap-data.img");

	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, &bpfmap_data_entry__descriptor, &m)) == 1) {
		const BpfmapDataEntry *d = (BpfmapDataEntry *)m;

		r = d->map_id == e->map_id ? entries_set(s, &img, e, d, fd)
					   : skip(s, &img, (uint64_t)d->keys_bytes + d->values_bytes);
		protobuf_c_message_free_unpacked(m, NULL);
	}
	return r;
}

static int map_make(struct session *s, const BpfmapFileEntry *e)
{
	union bpf_attr a = { .map_type = e->map_type, .key_size = e->key_size, .value_size = e->value_size,
			     .max_entries = e->max_entries, .map_flags = e->map_flags };
	union bpf_attr freeze = { 0 };
	int fd, r;

	if (!type_kept(e->map_type) || e->ifindex || (e->map_flags & ~FLAGS_KEPT) || strlen(e->map_name) >= BPF_OBJ_NAME_LEN ||
	    (uint64_t)e->max_entries * e->key_size > BYTES_MAX || (uint64_t)e->max_entries * e->value_size > BYTES_MAX)
		return session_fail(s, -ENOTSUP, "files.img: BPF map %.16s of type %u is of a sort that cannot be restored, or out of range",
				    e->map_name, e->map_type);
	strcpy(a.map_name, e->map_name);
	a.map_extra = e->has_map_extra ? e->map_extra : 0;
	fd = bpf_call(BPF_MAP_CREATE, &a);
	if (fd < 0)
		return session_fail(s, fd, "BPF map %s: make it", e->map_name);
	fd = fd_high(fd);
	r = map_fill(s, e, fd);
	freeze.map_fd = fd;
	if (r == 0 && e->frozen)
		r = bpf_call(BPF_MAP_FREEZE, &freeze);
	return r < 0 ? session_fail(s, r, "BPF map %s: fill and freeze it", e->map_name) : fd;
}

/* Ours, for reading and writing, made at the first call; it stays until the end of the session. */
static int map_of(struct session *s, const BpfmapFileEntry *e)
{
	struct map *made = session_map(s, "bpf made");
	uintptr_t have = (uintptr_t)map_get(made, e->map_id);
	int fd;

	if (have)
		return have - 1;
	fd = map_make(s, e);
	if (fd >= 0)
		map_put(made, e->map_id, (void *)(uintptr_t)(fd + 1));
	return fd;
}

static int bpf_restore(struct session *s, struct fd_obj *o)
{
	const BpfmapFileEntry *e = o->entry->bpf;
	int fd = e ? map_of(s, e) : session_fail(s, -EBADMSG, "files.img: BPF map 0x%x is damaged", o->id);
	union bpf_attr a = { 0 };
	struct bpf_map_info i;

	if (fd < 0)
		return fd;
	if (!info_get(fd, &i, sizeof(i)))
		return session_fail(s, -errno, "BPF map 0x%x: look at it", o->id);
	a.map_id = i.id;
	a.open_flags = (e->flags & O_ACCMODE) == O_RDONLY ? BPF_F_RDONLY : (e->flags & O_ACCMODE) == O_WRONLY ? BPF_F_WRONLY : 0;
	o->fd = fd_high(bpf_call(BPF_MAP_GET_FD_BY_ID, &a));
	return o->fd < 0 ? session_fail(s, -errno, "BPF map %s: open it", e->map_name) : 0;
}

const struct fd_kind fd_kind_bpf = {
	.name = "BPF object",
	.type = FD_TYPES__BPFMAP,
	.is = bpf_is,
	.dump = bpf_dump,
	.dump_end = bpf_dump_end,
	.restore = bpf_restore,
	.preflight = bpf_preflight,
};
