// SPDX-License-Identifier: Apache-2.0
/*
 * bpf: BPF maps with entries.
 * Usage: bpf CASE DIR. DIR/ready appears when all is set up; on SIGTERM "OK" or the first failure goes into
 * DIR/verdict. Exit status 3: this kernel has none.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <linux/bpf.h>
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

/* a program that uses the map, held by nobody of the tree, cannot be made here: it is held by us */
static void used(void)
{
	int map = make(BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0, "used");
	struct bpf_insn code[] = {
		{ .code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr a = { .prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 4, .insns = (uintptr_t)code,
			     .license = (uintptr_t)"GPL" };

	if (map < 0 || bpf(BPF_PROG_LOAD, &a) < 0)
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
	if (!strcmp(argv[1], "used"))
		used();
	else if (!strcmp(argv[1], "mapped"))
		mapped();
	all();
	return 0;
}
