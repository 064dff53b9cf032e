// SPDX-License-Identifier: Apache-2.0
/*
 * bpf: BPF maps with entries.
 * Usage: bpf CASE DIR. DIR/ready appears when all is set up; on SIGTERM "OK" or the first failure goes into
 * DIR/verdict. Exit status 3: this kernel has none.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static int bpf(int cmd, union bpf_attr *a) { return syscall(SYS_bpf, cmd, a, sizeof(*a)); }

static int make(unsigned type, unsigned key, unsigned value, unsigned max, unsigned flags, const char *name)
{
	union bpf_attr a = { .map_type = type, .key_size = key, .value_size = value, .max_entries = max, .map_flags = flags };

	strcpy(a.map_name, name);
	return bpf(BPF_MAP_CREATE, &a);
}

static int set(int fd, const void *key, const void *value)
{
	union bpf_attr a = { .map_fd = fd, .key = (uintptr_t)key, .value = (uintptr_t)value };

	return bpf(BPF_MAP_UPDATE_ELEM, &a);
}

static int get(int fd, const void *key, void *value)
{
	union bpf_attr a = { .map_fd = fd, .key = (uintptr_t)key, .value = (uintptr_t)value };

	return bpf(BPF_MAP_LOOKUP_ELEM, &a);
}

static uint32_t id_of(int fd)
{
	struct bpf_map_info i = { 0 };
	union bpf_attr a = { .info = { .bpf_fd = fd, .info_len = sizeof(i), .info = (uintptr_t)&i } };

	return bpf(BPF_OBJ_GET_INFO_BY_FD, &a) ? 0 : i.id;
}

static void all(void)
{
	int hash = make(BPF_MAP_TYPE_HASH, 8, 20, 5000, 0, "some_hash");
	int array = make(BPF_MAP_TYPE_ARRAY, 4, 8, 33, 0, "array");
	int lru = make(BPF_MAP_TYPE_LRU_HASH, 4, 4, 100, 0, "lru");
	int lpm = make(BPF_MAP_TYPE_LPM_TRIE, 8, 4, 10, BPF_F_NO_PREALLOC, "lpm");
	int none = make(BPF_MAP_TYPE_HASH, 4, 4, 7, BPF_F_NO_PREALLOC, "");
	union bpf_attr a = { .map_fd = array }, again = { .open_flags = BPF_F_RDONLY };
	struct bpf_map_info i = { 0 };
	char value[20] = "twenty bytes of it.";
	uint32_t net[2] = { 24, 0x0001a8c0 }, host[2] = { 32, 0x0701a8c0 }, v;
	uint64_t k;
	int ro;

	if (hash < 0)
		exit(3);
	CHECK(array >= 0 && lru >= 0 && lpm >= 0 && none >= 0);
	for (k = 0; k < 3000; k++) {
		value[0] = k;
		CHECK(set(hash, &k, value) == 0);
	}
	for (v = 0; v < 33; v++) {
		k = v * 7;
		CHECK(set(array, &v, &k) == 0);
	}
	CHECK(bpf(BPF_MAP_FREEZE, &a) == 0);
	for (v = 0; v < 50; v++)
		CHECK(set(lru, &v, &v) == 0);
	v = 99;
	CHECK(set(lpm, net, &v) == 0);
	again.map_id = id_of(hash);
	ro = bpf(BPF_MAP_GET_FD_BY_ID, &again);
	CHECK(ro >= 0);
	wait_term();
	CHECK(id_of(ro) == id_of(hash) && id_of(hash));
	for (k = 0; k < 3000; k++)
		CHECK(get(ro, &k, value) == 0 && value[0] == (char)k && !strcmp(value + 1, "wenty bytes of it."));
	CHECK(get(hash, &k, value) < 0 && errno == ENOENT);
	CHECK(set(ro, &k, value) < 0 && errno == EPERM);
	CHECK(set(hash, &k, value) == 0 && get(ro, &k, value) == 0);
	for (v = 0; v < 33; v++)
		CHECK(get(array, &v, &k) == 0 && k == v * 7);
	v = 3;
	CHECK(set(array, &v, &k) < 0 && errno == EPERM); /* frozen */
	CHECK(get(lru, &v, &v) == 0 && v == 3);
	CHECK(get(lpm, host, &v) == 0 && v == 99);
	CHECK(get(none, &v, &v) < 0 && set(none, &v, &v) == 0);
	CHECK(fcntl(hash, F_GETFD) == FD_CLOEXEC);
	a = (union bpf_attr){ .info = { .bpf_fd = hash, .info_len = sizeof(i), .info = (uintptr_t)&i } };
	CHECK(bpf(BPF_OBJ_GET_INFO_BY_FD, &a) == 0 && !strcmp(i.name, "some_hash") && i.max_entries == 5000);
	finish();
}

static struct bpf_prog_info prog_info(int fd)
{
	struct bpf_prog_info i = { 0 };
	union bpf_attr a = { .info = { .bpf_fd = fd, .info_len = sizeof(i), .info = (uintptr_t)&i } };

	CHECK(bpf(BPF_OBJ_GET_INFO_BY_FD, &a) == 0);
	return i;
}

static int load(unsigned type, const struct bpf_insn *code, size_t n, const char *name)
{
	union bpf_attr a = { .prog_type = type, .insn_cnt = n, .insns = (uintptr_t)code, .license = (uintptr_t)"GPL" };

	strcpy(a.prog_name, name);
	return bpf(BPF_PROG_LOAD, &a);
}

#define LOAD_MAP(map) { .code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map }, { 0 }
#define SET(reg, value) { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = reg, .imm = value }
#define MOVE(to, from) { .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = to, .src_reg = from }
#define ADD(reg, value) { .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = reg, .imm = value }
#define CALL(helper) { .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_##helper }
#define FIELD(to, name) { .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = to, .src_reg = 6, .off = offsetof(struct __sk_buff, name) }
#define EXIT { .code = BPF_JMP | BPF_EXIT }

/* of each sort that the kernel rewrites: fields of the context, calls that it inlines, redirects or leaves, jumps across */
static void programs(void)
{
	int array = make(BPF_MAP_TYPE_ARRAY, 4, 8, 5, 0, "array"), hash = make(BPF_MAP_TYPE_HASH, 4, 4, 5, 0, "hash");
	struct bpf_insn packets[] = {
		MOVE(6, 1), FIELD(7, protocol), FIELD(8, len), FIELD(9, vlan_present),
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 7, .off = 14, .imm = 1 },
		{ .code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = 10, .off = -4, .imm = 2 },
		MOVE(2, 10), ADD(2, -4), LOAD_MAP(array), CALL(map_lookup_elem),
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 0, .off = 6 },
		MOVE(2, 10), ADD(2, -4), LOAD_MAP(hash), CALL(map_lookup_elem),
		CALL(ktime_get_ns),
		MOVE(1, 6), CALL(get_socket_cookie), SET(0, 1), EXIT,
	}, devices[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1 },
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 3, .src_reg = 1, .off = 4 },
		SET(0, 0),
		{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 3, .off = 1, .imm = 7 },
		SET(0, 1), EXIT,
	};
	int skb = load(BPF_PROG_TYPE_CGROUP_SKB, packets, sizeof(packets) / sizeof(*packets), "packets");
	int dev = load(BPF_PROG_TYPE_CGROUP_DEVICE, devices, sizeof(devices) / sizeof(*devices), "devices");
	int twice = dup(dev);
	struct bpf_prog_info before[2], after[2];

	if (skb < 0 || dev < 0)
		exit(3);
	before[0] = prog_info(skb);
	before[1] = prog_info(dev);
	wait_term();
	after[0] = prog_info(skb);
	after[1] = prog_info(dev);
	for (int i = 0; i < 2; i++) /* the tag is a hash of what was loaded */
		CHECK(!memcmp(before[i].tag, after[i].tag, sizeof(before[i].tag)) && !strcmp(before[i].name, after[i].name) &&
		      before[i].type == after[i].type && before[i].xlated_prog_len == after[i].xlated_prog_len &&
		      before[i].gpl_compatible == after[i].gpl_compatible);
	CHECK(after[0].nr_map_ids == 2 && prog_info(twice).id == after[1].id);
	finish();
}

/* DIR/cg is a cgroup */
static void attached(void)
{
	static const int types[] = { BPF_CGROUP_DEVICE, BPF_CGROUP_INET_EGRESS, BPF_CGROUP_INET_EGRESS };
	const struct bpf_insn yes[] = { SET(0, 1), EXIT }, also[] = { SET(0, 1), SET(1, 3), EXIT };
	int fd[] = { load(BPF_PROG_TYPE_CGROUP_DEVICE, yes, 2, "one"), load(BPF_PROG_TYPE_CGROUP_SKB, yes, 2, "two"),
		     load(BPF_PROG_TYPE_CGROUP_SKB, also, 3, "three") };
	int cg = open("cg", O_RDONLY | O_DIRECTORY);
	uint32_t ids[8];
	union bpf_attr a;

	for (int i = 0; i < 3; i++) {
		a = (union bpf_attr){ .target_fd = cg, .attach_bpf_fd = fd[i], .attach_type = types[i], .attach_flags = BPF_F_ALLOW_MULTI };
		if (cg < 0 || fd[i] < 0 || bpf(BPF_PROG_ATTACH, &a) < 0)
			exit(3);
	}
	close(cg);
	close(fd[2]); /* held by its attachment alone */
	wait_term();
	cg = open("cg", O_RDONLY | O_DIRECTORY);
	a = (union bpf_attr){ .query = { .target_fd = cg, .attach_type = BPF_CGROUP_DEVICE, .prog_ids = (uintptr_t)ids, .prog_cnt = 8 } };
	CHECK(bpf(BPF_PROG_QUERY, &a) == 0 && a.query.prog_cnt == 1 && ids[0] == prog_info(fd[0]).id);
	a = (union bpf_attr){ .query = { .target_fd = cg, .attach_type = BPF_CGROUP_INET_EGRESS, .prog_ids = (uintptr_t)ids, .prog_cnt = 8 } };
	CHECK(bpf(BPF_PROG_QUERY, &a) == 0 && a.query.prog_cnt == 2 && ids[0] == prog_info(fd[1]).id);
	CHECK(a.query.attach_flags == BPF_F_ALLOW_MULTI && ids[1] != ids[0]);
	finish();
}

/* of a type that is not kept, with a map */
static void other(void)
{
	int map = make(BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0, "used");
	const struct bpf_insn code[] = { LOAD_MAP(map), SET(0, 0), EXIT };

	if (map < 0 || load(BPF_PROG_TYPE_XDP, code, 4, "some_xdp") < 0)
		exit(3);
	wait_term();
	finish();
}

static void mapped(void)
{
	int map = make(BPF_MAP_TYPE_ARRAY, 4, 4, 1, BPF_F_MMAPABLE, "mapped");

	if (map < 0 || mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0) == MAP_FAILED)
		exit(3);
	wait_term();
	finish();
}

int main(int argc, char **argv)
{
	if (judge_begin(argc, argv) < 0)
		return 2;
	if (!strcmp(argv[1], "mapped"))
		mapped();
	else if (!strcmp(argv[1], "programs"))
		programs();
	else if (!strcmp(argv[1], "attached"))
		attached();
	else if (!strcmp(argv[1], "other"))
		other();
	all();
	return 0;
}
