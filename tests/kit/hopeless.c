// SPDX-License-Identifier: Apache-2.0
/*
 * hopeless: holds one object that cannot be checkpointed.
 * Usage: hopeless WHAT READY; exit status 3: this kernel has none of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int made(const char *what)
{
	if (!strcmp(what, "aio")) {
		aio_context_t ctx = 0;

		return syscall(SYS_io_setup, 4, &ctx);
	}
	if (!strcmp(what, "secret")) {
		int fd = syscall(SYS_memfd_secret, 0);

		return fd < 0 || ftruncate(fd, 4096) ||
				       mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED || close(fd)
			       ? -1
			       : 0;
	}
	if (!strcmp(what, "perf")) {
		struct perf_event_attr a = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(a),
					     .config = PERF_COUNT_SW_TASK_CLOCK };

		return syscall(SYS_perf_event_open, &a, 0, -1, -1, 0);
	}
	if (!strcmp(what, "bpf-map")) {
		union bpf_attr a = { .map_type = BPF_MAP_TYPE_QUEUE, .value_size = 4, .max_entries = 4 };

		return syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof(a));
	}
	return -1;
}

/* This thread goes on in 32-bit code, for ever: the program is static, so its addresses fit. */
static void compat(void)
{
	__asm__ volatile("pushq $0x23\n\tleaq 1f(%%rip), %%rax\n\tpushq %%rax\n\tlretq\n1:\tpause\n\tjmp 1b" ::: "rax", "memory");
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	if (strcmp(argv[1], "compat") && made(argv[1]) < 0)
		return 3;
	close(open(argv[2], O_CREAT | O_WRONLY, 0600));
	if (!strcmp(argv[1], "compat"))
		compat();
	for (;;)
		pause();
}
