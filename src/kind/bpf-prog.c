// SPDX-License-Identifier: Apache-2.0
#include "kind/bpf-prog.h"

#include "base/text.h"
#include "image/record.h"
#include "images/bpfprog.pb-c.h"
#include "kind/fd.h"
#include "task/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

/* ---- dump ---- */

static void note_held(struct map *held, const struct task *k)
{
	int list = openat(k->proc, "fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir DIR *d = list < 0 ? NULL : fdopendir(list);

	for (struct dirent *e; d && (e = readdir(d));) {
		own_mem char *info = NULL;
		uint64_t id;

		if (text_read(list, e->d_name, &info, NULL) == 0 && text_u64(info, "prog_id:", 10, &id) == 0)
			map_put(held, id, held);
	}
	if (!d)
		fd_close(list);
}

bool bpf_prog_held(struct session *s, uint32_t id)
{
	struct map *held = session_map(s, "bpf programs held");

	for (size_t i = 0; !map_get(held, 0) && i < s->tree->n; i++)
		if (s->tree->all[i]->state != TASK_DEAD)
			note_held(held, s->tree->all[i]);
	map_put(held, 0, held); /* no program has that id: looked at all */
	return id && map_get(held, id);
}

const char *bpf_prog_check(struct session *s, int fd)
{
	own_code struct bpf_code code = { 0 };
	const char *why;

	bpf_back(fd, &code, &why);
	return why;
}

int bpf_prog_dump(struct session *s, int fd, uint32_t *ret_id)
{
	own_code struct bpf_code code = { 0 };
	struct map *written = session_map(s, "bpf programs dumped");
	BpfprogEntry e = BPFPROG_ENTRY__INIT;
	struct image *img;
	const char *why;

	if (bpf_back(fd, &code, &why) < 0)
		return -ENOTSUP;
	*ret_id = code.info.id;
	if (map_get(written, code.info.id))
		return 0;
	map_put(written, code.info.id, written);
	img = image_shared(s, MAGIC_BPFPROG, "bpf-progs.img");
	e.prog_id = code.info.id;
	e.prog_type = code.info.type;
	e.expected_attach = code.expected_attach;
	e.name = code.info.name;
	e.gpl = code.info.gpl_compatible;
	e.insns.data = (uint8_t *)code.insns.v;
	e.insns.len = code.insns.n * sizeof(*code.insns.v);
	return img ? image_write(img, &e.base) : -EIO;
}

int bpf_prog_dump_end(struct session *s)
{
	return image_shared_end(s, "bpf-progs.img");
}

/* ---- restore ---- */

/* The map that a descriptor of the tasks is of, by its id at the dump */
static int map_fd(void *arg, uint32_t id)
{
	struct session *s = arg;
	struct fd_obj *o;

	for (size_t n = 0; (o = fd_obj_at(s, n)); n++)
		if (o->entry->bpf && o->entry->bpf->map_id == id) {
			o = fd_obj_get(s, o->id);
			return o ? o->fd : -EIO;
		}
	return session_fail(s, -EBADMSG, "bpf-progs.img: a program uses the map %u, which the images do not have", id);
}

static int prog_load(struct session *s, const BpfprogEntry *e)
{
	struct bpf_code code = { .info = { .type = e->prog_type, .gpl_compatible = e->gpl },
				 .expected_attach = e->expected_attach };
	int fd;

	if (strlen(e->name) >= sizeof(code.info.name) || !e->insns.len || e->insns.len % sizeof(*code.insns.v) ||
	    e->insns.len > BPF_INSNS_MAX * sizeof(*code.insns.v))
		return session_fail(s, -EBADMSG, "bpf-progs.img: the program %u is damaged or out of range", e->prog_id);
	strcpy(code.info.name, e->name);
	code.insns.v = (struct bpf_insn *)e->insns.data;
	code.insns.n = e->insns.len / sizeof(*code.insns.v);
	fd = bpf_load(&code, map_fd, s);
	return fd < 0 ? session_fail(s, fd, "BPF program %s: load it", e->name) : fd;
}

int bpf_prog_get(struct session *s, uint32_t id)
{
	struct map *made = session_map(s, "bpf programs made");
	uintptr_t have = (uintptr_t)map_get(made, id);
	own_image struct image img = { .fd = -1 };
	ProtobufCMessage *m;
	int r, fd = -ENOENT;

	if (have)
		return have - 1;
	r = image_open(s, &img, MAGIC_BPFPROG, "bpf-progs.img");
	while (r == 0 && fd == -ENOENT && (r = image_read(&img, &bpfprog_entry__descriptor, &m)) == 1) {
		const BpfprogEntry *e = (BpfprogEntry *)m;

		r = 0;
		if (e->prog_id == id)
			fd = prog_load(s, e);
		protobuf_c_message_free_unpacked(m, NULL);
	}
	if (fd == -ENOENT && r >= 0)
		return session_fail(s, -EBADMSG, "bpf-progs.img: the program %u is missing", id);
	if (fd >= 0)
		map_put(made, id, (void *)(uintptr_t)(fd + 1));
	return fd;
}
