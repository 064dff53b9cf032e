// SPDX-License-Identifier: Apache-2.0
/*
 * From the instructions that the kernel shows back to those that were loaded. What it rewrites (accesses to the
 * context, calls) is not known here: it is asked, by loading a program of one such instruction and looking at what
 * became of it. Whether all is right the kernel says too: the same tag, a hash of what was loaded, and the same
 * rewritten instructions.
 *
 * Kernel: kernel/bpf/verifier.c (convert_ctx_accesses, do_misc_fixups), bpf_insn_prepare_dump(), bpf_prog_calc_tag().
 */
#include "kind/bpf-prog.h"

#include "base/list.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>

#define CONTEXT_MAX 192	/* bytes of the largest context, struct __sk_buff */
#define STACK_MAX 512
#define MAPS_MAX 64
#define CALL_MAX 32	/* instructions that a call on a map becomes */
#define FRAME_MAX 8	/* instructions around the one that is asked for */

struct seq {
	struct bpf_insn v[BPF_INSNS_MAX];
	size_t n;
};

/* what a call on a map becomes: of the map's own function, or none */
struct map_call {
	int32_t helper;
	struct bpf_insn v[CALL_MAX];
	size_t n;
};

struct back {
	struct bpf_code *out;
	const struct seq *in;
	struct {
		struct map_call *v;
		size_t n, max;
	} calls;
	char *symbols;	   /* /proc/kallsyms, when needed */
	uint16_t context;  /* registers that hold it, a bit each */
	uint32_t *place;   /* of each instruction of in, among those of out */
};

static const struct bpf_insn done[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
	{ .code = BPF_JMP | BPF_EXIT },
};

static bool is_wide(const struct bpf_insn *i) { return i->code == (BPF_LD | BPF_IMM | BPF_DW); }

static bool is_map(const struct bpf_insn *i)
{
	return is_wide(i) && (i->src_reg == BPF_PSEUDO_MAP_FD || i->src_reg == BPF_PSEUDO_MAP_VALUE);
}

/* ---- load and look ---- */

int bpf_load(const struct bpf_code *code, int (*map_fd)(void *arg, uint32_t id), void *arg)
{
	own_mem struct bpf_insn *v = xmemdup(code->insns.v, code->insns.n * sizeof(*v));
	union bpf_attr a = { .prog_type = code->info.type, .insns = (uintptr_t)v, .insn_cnt = code->insns.n,
			     .expected_attach_type = code->expected_attach,
			     .license = (uintptr_t)(code->info.gpl_compatible ? "GPL" : "") };

	for (size_t i = 0; i < code->insns.n; i += is_wide(&v[i]) ? 2 : 1) {
		int fd = is_map(&v[i]) ? map_fd(arg, v[i].imm) : 0;

		if (fd < 0)
			return fd;
		if (is_map(&v[i]))
			v[i].imm = fd;
	}
	memcpy(a.prog_name, code->info.name, BPF_OBJ_NAME_LEN - 1);
	return fd_high(bpf_call(BPF_PROG_LOAD, &a));
}

struct opened {
	struct {
		uint32_t id;
		int fd;
	} v[MAPS_MAX];
	size_t n;
};

static int map_by_id(void *arg, uint32_t id)
{
	union bpf_attr a = { .map_id = id };
	struct opened *o = arg;
	int fd;

	for (size_t i = 0; i < o->n; i++)
		if (o->v[i].id == id)
			return o->v[i].fd;
	fd = o->n < MAPS_MAX ? fd_high(bpf_call(BPF_MAP_GET_FD_BY_ID, &a)) : -E2BIG;
	if (fd >= 0) {
		o->v[o->n].id = id;
		o->v[o->n++].fd = fd;
	}
	return fd;
}

static int look(int fd, struct bpf_prog_info *info, struct seq *ret, uint32_t *maps, size_t n_maps)
{
	union bpf_attr a = { .info = { .bpf_fd = fd, .info_len = sizeof(*info), .info = (uintptr_t)info } };
	int r;

	*info = (struct bpf_prog_info){ .xlated_prog_insns = (uintptr_t)ret->v, .xlated_prog_len = sizeof(ret->v),
					.map_ids = (uintptr_t)maps, .nr_map_ids = n_maps };
	r = bpf_call(BPF_OBJ_GET_INFO_BY_FD, &a);
	if (r < 0)
		return r;
	if (!info->xlated_prog_insns || info->xlated_prog_len > sizeof(ret->v) || info->nr_map_ids > n_maps)
		return -E2BIG;
	ret->n = info->xlated_prog_len / sizeof(*ret->v);
	return 0;
}

/* What the kernel makes of some instructions; -errno if it does not take them. */
static int made_of(const struct bpf_code *code, struct bpf_prog_info *info, struct seq *ret)
{
	uint32_t maps[MAPS_MAX];
	struct opened o = { .n = 0 };
	own_fd int fd = bpf_load(code, map_by_id, &o);

	while (o.n)
		fd_close(o.v[--o.n].fd);
	return fd < 0 ? fd : look(fd, info, ret, maps, MAPS_MAX);
}

static void emit(struct bpf_code *c, const struct bpf_insn *i, size_t n)
{
	for (size_t k = 0; k < n; k++)
		*vec_add(&c->insns) = i[k];
}

/* What the kernel makes of one instruction that follows a frame of n others, which stay as they are; its length, or 0. */
static size_t one_made(const struct bpf_code *of, const struct bpf_insn *frame, size_t n, const struct bpf_insn *one,
		       struct seq *ret)
{
	own_code struct bpf_code probe = { .info = { .type = of->info.type, .gpl_compatible = true } };
	struct bpf_prog_info info;

	emit(&probe, frame, n);
	emit(&probe, one, 1);
	emit(&probe, done, ARRAY_SIZE(done));
	if (made_of(&probe, &info, ret) < 0 || ret->n <= n + ARRAY_SIZE(done))
		return 0;
	ret->n -= n + ARRAY_SIZE(done);
	memmove(ret->v, ret->v + n, ret->n * sizeof(*ret->v));
	return ret->n;
}

static bool stands_at(const struct back *b, size_t at, const struct bpf_insn *v, size_t n)
{
	return at + n <= b->in->n && !memcmp(v, b->in->v + at, n * sizeof(*v));
}

/* ---- accesses to the context ---- */

/* The longest of what can stand there, of those the first. */
static size_t access_of(const struct back *b, size_t at, struct bpf_insn *ret)
{
	static const uint8_t sizes[] = { BPF_W, BPF_DW, BPF_H, BPF_B }, bytes[] = { 4, 8, 2, 1 };
	const struct bpf_insn *in = &b->in->v[at];
	bool store = BPF_CLASS(in->code) == BPF_STX;
	unsigned base = store ? in->dst_reg : in->src_reg, value = store ? in->src_reg : in->dst_reg;
	const struct bpf_insn frame[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = base, .src_reg = BPF_REG_1 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = value },
	};
	own_mem struct seq *got = xalloc(sizeof(*got));
	size_t best = 0;

	for (size_t k = 0; !best && k < ARRAY_SIZE(sizes); k++)
		for (int off = 0; off < CONTEXT_MAX; off += bytes[k]) {
			struct bpf_insn i = *in;
			size_t n;

			i.code = BPF_CLASS(in->code) | BPF_MEM | sizes[k];
			i.off = off;
			i.imm = 0;
			n = one_made(b->out, frame, store ? 2 : 1, &i, got);
			if (n > best && stands_at(b, at, got->v, n)) {
				best = n;
				*ret = i;
			}
		}
	return best;
}

/* ---- calls ---- */

/* Registers 1 to 4 as a call on a map wants them; 0: its entries do not fit on the stack */
static size_t map_frame(uint32_t id, struct bpf_insn *ret)
{
	union bpf_attr a = { .map_id = id };
	own_fd int fd = bpf_call(BPF_MAP_GET_FD_BY_ID, &a);
	struct bpf_map_info m = { 0 };
	union bpf_attr get = { .info = { .bpf_fd = fd, .info_len = sizeof(m), .info = (uintptr_t)&m } };
	size_t n = 0;
	int key, value;

	if (fd < 0 || bpf_call(BPF_OBJ_GET_INFO_BY_FD, &get) < 0)
		return 0;
	key = (m.key_size + 7) & ~7;
	value = key + ((m.value_size + 7) & ~7);
	if (value > STACK_MAX)
		return 0;
	ret[n++] = (struct bpf_insn){ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = id };
	ret[n++] = (struct bpf_insn){ 0 };
	for (int reg = 2; reg <= 3; reg++) {
		ret[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = reg, .src_reg = BPF_REG_10 };
		ret[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = reg, .imm = reg == 2 ? -key : -value };
	}
	ret[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 4 };
	return n;
}

static void map_calls(struct back *b, uint32_t map)
{
	static const int32_t helpers[] = { BPF_FUNC_map_lookup_elem, BPF_FUNC_map_update_elem, BPF_FUNC_map_delete_elem };
	own_mem struct seq *got = xalloc(sizeof(*got));
	struct bpf_insn frame[FRAME_MAX];
	size_t n = map_frame(map, frame);

	for (size_t k = 0; n && k < ARRAY_SIZE(helpers); k++) {
		struct bpf_insn i = { .code = BPF_JMP | BPF_CALL, .imm = helpers[k] };
		size_t len = one_made(b->out, frame, n, &i, got);

		if (len && len <= CALL_MAX) {
			struct map_call *c = vec_add(&b->calls);

			c->helper = helpers[k];
			c->n = len;
			memcpy(c->v, got->v, len * sizeof(*c->v));
		}
	}
}

static size_t map_call_of(const struct back *b, size_t at, struct bpf_insn *ret)
{
	size_t best = 0;

	for (size_t k = 0; k < b->calls.n; k++) {
		const struct map_call *c = &b->calls.v[k];

		if (c->n > best && stands_at(b, at, c->v, c->n)) {
			best = c->n;
			*ret = (struct bpf_insn){ .code = BPF_JMP | BPF_CALL, .imm = c->helper };
		}
	}
	return best;
}

/* The helper of that function: bpf_NAME */
static bool helper_named(const char *symbol, size_t n, int32_t *ret)
{
#define NAME_OF(name) [BPF_FUNC_##name] = "bpf_" #name
	static const char *const names[] = { __BPF_FUNC_MAPPER(NAME_OF) };
#undef NAME_OF

	for (size_t i = 1; i < ARRAY_SIZE(names); i++)
		if (names[i] && strlen(names[i]) == n && !memcmp(names[i], symbol, n)) {
			*ret = i;
			return true;
		}
	return false;
}

/* Calls are counted from a place of the kernel's. Lines of kallsyms: "ADDRESS T NAME" */
static bool helper_of(struct back *b, int32_t offset, int32_t *ret)
{
	own_mem char *line = NULL;
	const char *base;

	if (!b->symbols && text_read(AT_FDCWD, "/proc/kallsyms", &b->symbols, NULL) < 0)
		return false;
	base = strstr(b->symbols, " T __bpf_call_base\n");
	if (!base || base - b->symbols < 16)
		return false;
	line = xprintf("\n%016lx ", strtoul(base - 16, NULL, 16) + offset);
	for (const char *p = b->symbols; (p = strstr(p, line)); p++) {
		const char *name = p + strlen(line) + strlen("T ");

		if (helper_named(name, strcspn(name, "\t\n"), ret))
			return true;
	}
	return false;
}

/* ---- the whole ---- */

static void context_after(struct back *b, const struct bpf_insn *i)
{
	unsigned class = BPF_CLASS(i->code);

	if (i->code == (BPF_ALU64 | BPF_MOV | BPF_X) && (b->context >> i->src_reg & 1))
		b->context |= 1 << i->dst_reg;
	else if (class == BPF_ALU || class == BPF_ALU64 || class == BPF_LD || class == BPF_LDX)
		b->context &= ~(1 << i->dst_reg);
	else if (i->code == (BPF_JMP | BPF_CALL))
		b->context &= ~0x3f; /* registers 0 to 5 */
}

static size_t one_back(struct back *b, size_t at, struct bpf_insn *ret)
{
	const struct bpf_insn *in = &b->in->v[at];
	unsigned class = BPF_CLASS(in->code);
	size_t n;

	*ret = *in;
	if (is_wide(in))
		return 2;
	n = map_call_of(b, at, ret);
	if (n)
		return n;
	if ((class == BPF_LDX && b->context >> in->src_reg & 1) || (class == BPF_STX && b->context >> in->dst_reg & 1))
		n = access_of(b, at, ret);
	else if (in->code == (BPF_JMP | BPF_CALL) && !in->src_reg)
		return helper_of(b, in->imm, &ret->imm) ? 1 : 0;
	return n ? n : 1;
}

static bool is_jump(const struct bpf_insn *i)
{
	unsigned class = BPF_CLASS(i->code), op = BPF_OP(i->code);

	return (class == BPF_JMP || class == BPF_JMP32) && op != BPF_CALL && op != BPF_EXIT;
}

/* Jumps are counted in instructions, of which there are others now. */
static bool jumps_back(struct back *b)
{
	for (size_t i = 0; i < b->in->n; i += is_wide(&b->in->v[i]) ? 2 : 1) {
		const struct bpf_insn *in = &b->in->v[i];
		struct bpf_insn *out;
		int64_t to = (int64_t)i + 1 + in->off;

		if (b->place[i] == UINT32_MAX || !is_jump(in))
			continue;
		out = &b->out->insns.v[b->place[i]];
		if (in->code == (BPF_JMP32 | BPF_JA) || to < 0 || to >= (int64_t)b->in->n || b->place[to] == UINT32_MAX)
			return false;
		if (is_jump(out))
			out->off = (int64_t)b->place[to] - b->place[i] - 1;
	}
	return true;
}

static bool all_back(struct back *b)
{
	size_t n;

	memset(b->place, 0xff, b->in->n * sizeof(*b->place));
	for (size_t i = 0; i < b->in->n; i += n) {
		struct bpf_insn one[2] = { 0 };

		n = one_back(b, i, one);
		if (!n || i + n > b->in->n)
			return false;
		b->place[i] = b->out->insns.n;
		if (is_wide(one))
			one[1] = b->in->v[i + 1];
		emit(b->out, one, is_wide(one) ? 2 : 1);
		context_after(b, one);
	}
	return jumps_back(b);
}

/* Does the kernel say that it is the same? */
static bool proved(struct bpf_code *c, const struct seq *in)
{
	static const uint32_t attach[] = { 0, BPF_CGROUP_INET_EGRESS };
	own_mem struct seq *got = xalloc(sizeof(*got));
	struct bpf_prog_info info;

	for (size_t i = 0; i < ARRAY_SIZE(attach); i++) {
		c->expected_attach = attach[i];
		if (made_of(c, &info, got) == 0 && !memcmp(info.tag, c->info.tag, sizeof(info.tag)) && got->n == in->n &&
		    !memcmp(got->v, in->v, in->n * sizeof(*in->v)))
			return true;
		if (c->info.type != BPF_PROG_TYPE_CGROUP_SKB)
			break;
	}
	return false;
}

int bpf_back(int fd, struct bpf_code *ret, const char **why)
{
	own_mem struct seq *in = xalloc(sizeof(*in));
	own_mem uint32_t *place = xalloc(sizeof(*place) * BPF_INSNS_MAX);
	uint32_t maps[MAPS_MAX];
	struct back b = { .out = ret, .in = in, .place = place, .context = 1 << BPF_REG_1 };
	int r = look(fd, &ret->info, in, maps, MAPS_MAX);

	for (uint32_t i = 0; r == 0 && i < ret->info.nr_map_ids; i++)
		map_calls(&b, maps[i]);
	*why = NULL;
	if (r < 0)
		*why = "the kernel does not show, or which is too long";
	else if (ret->info.type != BPF_PROG_TYPE_CGROUP_SKB && ret->info.type != BPF_PROG_TYPE_CGROUP_DEVICE &&
		 ret->info.type != BPF_PROG_TYPE_SOCKET_FILTER)
		*why = "is of a type that is not kept yet";
	else if (ret->info.btf_id || ret->info.nr_func_info || ret->info.ifindex)
		*why = "has type information (BTF), or is a device's";
	else if (!all_back(&b) || !proved(ret, in))
		*why = "the kernel shows in another form than it was loaded in, from which that one could not be found";
	free(b.symbols);
	free(b.calls.v);
	return *why ? -ENOTSUP : 0;
}
