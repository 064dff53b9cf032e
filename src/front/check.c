// SPDX-License-Identifier: Apache-2.0
/*
 * check: each feature asked of the kernel itself, by a call that changes nothing, in a child where it
 * would. A feature that the engine has no use for yet is not there, whatever the kernel has.
 */
#include "front/check.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>

#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif
#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif
#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77
#define PR_TIMER_CREATE_RESTORE_IDS_GET 2
#endif
#ifndef ARCH_MAP_VDSO_64
#define ARCH_MAP_VDSO_64 0x2003
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif
#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE 0x89E0
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

/* struct pm_scan_arg of linux/fs.h (6.7), which distributions' headers may lack */
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, mask, anyof, ret;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
#define SCAN_GUARD (1 << 8) /* PAGE_IS_GUARD, 6.15 */

typedef bool probe(void);

/* ---- files ---- */

static bool info_has(int fd, const char *key)
{
	own_mem char *text = NULL;

	return fd >= 0 && text_readf(AT_FDCWD, &text, "/proc/self/fdinfo/%d", fd) == 0 &&
	       text_after(text, key);
}

static bool has_mnt_id(void)
{
	own_fd int fd = open("/", O_PATH | O_CLOEXEC);

	return info_has(fd, "mnt_id:");
}

static bool has_timerfd(void)
{
	own_fd int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	return info_has(fd, "clockid:");
}

static bool has_lock_info(void)
{
	own_fd int fd = memfd_create("lock", MFD_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX) == 0 && info_has(fd, "lock:");
}

static bool has_loginuid(void)
{
	return access("/proc/self/loginuid", F_OK) == 0;
}

static bool has_userns(void)
{
	return access("/proc/self/ns/user", F_OK) == 0;
}

static bool has_children(void)
{
	return access("/proc/self/task/self/children", R_OK) == 0 ||
	       access("/proc/thread-self/children", R_OK) == 0;
}

static bool has_map_files(void)
{
	own_dir DIR *d = opendir("/proc/self/map_files");
	struct dirent *e;
	own_fd int fd = -1;

	while (d && fd < 0 && (e = readdir(d)))
		if (*e->d_name != '.')
			fd = openat(dirfd(d), e->d_name, O_PATH | O_CLOEXEC);
	return fd >= 0;
}

static bool has_ns_pid(void)
{
	own_mem char *text = NULL;

	return text_read(AT_FDCWD, "/proc/self/status", &text, NULL) == 0 && text_after(text, "NSpid:");
}

static bool has_timens(void)
{
	return access("/proc/self/ns/time", F_OK) == 0;
}

static bool has_cgroupns(void)
{
	return access("/proc/self/ns/cgroup", F_OK) == 0;
}

static bool has_autofs(void)
{
	own_mem char *text = NULL;

	return text_read(AT_FDCWD, "/proc/filesystems", &text, NULL) == 0 && strstr(text, "\tautofs\n");
}

/* The kernel shows it where rules of that sort have been in use. */
static bool has_legacy_rules(void)
{
	return access("/proc/net/ip_tables_names", F_OK) == 0 || access("/proc/net/ip6_tables_names", F_OK) == 0;
}

static bool has_aio(void)
{
	unsigned long context = 0;

	return syscall(SYS_io_setup, 1, &context) == 0 && syscall(SYS_io_destroy, context) == 0;
}

static bool has_tun(void)
{
	own_fd int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	return fd >= 0;
}

static bool has_memfd_hugetlb(void)
{
	own_fd int fd = memfd_create("check", MFD_CLOEXEC | MFD_HUGETLB);

	return fd >= 0;
}

static bool has_map_vdso(void)
{
	return syscall(SYS_arch_prctl, ARCH_MAP_VDSO_64, 0) < 0 && errno == EEXIST; /* we have one already */
}

static bool has_openat2(void)
{
	uint64_t how[3] = { O_PATH | O_CLOEXEC };
	own_fd int fd = syscall(SYS_openat2, AT_FDCWD, "/", how, sizeof(how));

	return fd >= 0;
}

static bool has_set_group(void)
{
	/* MOVE_MOUNT_SET_GROUP: an older kernel refuses the flag before it looks at the descriptors */
	syscall(SYS_move_mount, -1, "", -1, "", 0x100 | 0x4 | 0x40);
	return errno == EBADF;
}

static bool scan(uint64_t mask)
{
	own_fd int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct scan_arg a = { .size = sizeof(a), .start = 0, .end = PAGE, .mask = mask };

	return fd >= 0 && ioctl(fd, SCAN_IOCTL, &a) >= 0;
}

static bool has_pagemap_scan(void)
{
	return scan(0);
}

static bool has_scan_guard(void)
{
	return scan(SCAN_GUARD);
}

/* ---- processes ---- */

static bool has_kcmp(void)
{
	return syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0) == 0;
}

static bool has_kcmp_epoll(void)
{
	/* a slot at no address: an older kernel does not know the type */
	syscall(SYS_kcmp, getpid(), getpid(), 7 /* KCMP_EPOLL_TFD */, 0, 0);
	return errno == EFAULT || errno == EBADF;
}

static bool has_pidfd_getfd(void)
{
	own_fd int pidfd = syscall(SYS_pidfd_open, getpid(), 0), fd = -1;

	fd = pidfd < 0 ? -1 : syscall(SYS_pidfd_getfd, pidfd, pidfd, 0);
	return fd >= 0;
}

static bool has_set_tid(void)
{
	struct clone_args a = { .exit_signal = SIGCHLD, .set_tid = 1, .set_tid_size = 1 };

	/* the address is looked at first; nobody is made */
	syscall(SYS_clone3, &a, sizeof(a));
	return errno == EFAULT;
}

static bool has_vm_readv(void)
{
	char a = 1, b = 0;
	struct iovec to = { &b, 1 }, from = { &a, 1 };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
}

static bool has_timer_ids(void)
{
	return prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0) >= 0;
}

/* A stopped child of ours, to be asked; killed afterwards. */
static bool with_child(unsigned long opts, bool (*ask)(pid_t pid))
{
	pid_t pid = fork();
	int status;
	bool ok;

	if (pid == 0) {
		for (;;)
			pause();
	}
	ok = pid > 0 && ptrace(PTRACE_SEIZE, pid, NULL, (void *)opts) == 0 &&
	     ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0 && waitpid(pid, &status, __WALL) == pid &&
	     (!ask || ask(pid));
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, __WALL);
	}
	return ok;
}

static bool has_ptrace(void)
{
	return with_child(0, NULL);
}

static bool has_seccomp_suspend(void)
{
	return with_child(PTRACE_O_SUSPEND_SECCOMP, NULL);
}

static bool ask_rseq(pid_t pid)
{
	char conf[64];

	return ptrace(PTRACE_GET_RSEQ_CONFIGURATION, pid, (void *)24, conf) > 0;
}

static bool has_rseq_conf(void)
{
	return with_child(0, ask_rseq);
}

static bool ask_filter(pid_t pid)
{
	/* there is no filter: a kernel that could fetch it says so */
	ptrace(0x420c /* PTRACE_SECCOMP_GET_FILTER */, pid, NULL, NULL);
	return errno == EINVAL || errno == ENOENT;
}

static bool has_seccomp_filters(void)
{
	return access("/proc/sys/kernel/seccomp", F_OK) == 0 && with_child(PTRACE_O_SUSPEND_SECCOMP, ask_filter);
}

/* ---- sockets ---- */

static bool sock_ioctl(int family, int type, unsigned long request, int alternative)
{
	own_fd int sock = socket(family, type | SOCK_CLOEXEC, 0);
	own_fd int fd = sock < 0 ? -1 : ioctl(sock, request);

	return fd >= 0 || (sock >= 0 && errno == alternative);
}

static bool has_sk_ns(void)
{
	return sock_ioctl(AF_UNIX, SOCK_STREAM, SIOCGSKNS, 0);
}

static bool has_unix_file(void)
{
	/* it has no name, so there is no file; an older kernel knows no such request */
	return sock_ioctl(AF_UNIX, SOCK_STREAM, SIOCUNIXFILE, ENOENT);
}

static bool sock_option(int family, int level, int name)
{
	own_fd int sock = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	return sock >= 0 && setsockopt(sock, level, name, &one, sizeof(one)) == 0;
}

static bool has_buf_lock(void)
{
	return sock_option(AF_INET, SOL_SOCKET, SO_BUF_LOCK);
}

static bool has_freebind(void)
{
	return sock_option(AF_INET6, IPPROTO_IPV6, IPV6_FREEBIND);
}

static bool has_tcp_repair(void)
{
	return sock_option(AF_INET, IPPROTO_TCP, TCP_REPAIR);
}

/* Which generation of rules is it? Only nf_tables answers that. */
static bool has_nftables(void)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} ask = { .h = { .nlmsg_len = sizeof(ask),
			 .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
			 .nlmsg_flags = NLM_F_REQUEST } };
	union {
		struct nlmsghdr h;
		char space[512];
	} got = { 0 };
	own_fd int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct timeval second = { .tv_sec = 1 };

	return sock >= 0 && setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second)) == 0 &&
	       send(sock, &ask, sizeof(ask), 0) == sizeof(ask) && recv(sock, &got, sizeof(got), 0) > 0 &&
	       got.h.nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN);
}

static bool always(void)
{
	return true;
}

/* ---- the table ---- */

enum category { NEEDED = 1, EXTRA, EXPERIMENTAL, ONLY_ASKED };

static const struct {
	const char *name;
	enum category category;
	probe *probe;	   /* NULL: the engine has it not, or not yet */
	const char *needs; /* for those without a name of criu's: what a failure means */
} features[] = {
	{ "mnt_id", NEEDED, has_mnt_id, NULL },
	{ "timerfd", NEEDED, has_timerfd, NULL },
	{ "ns_pid", NEEDED, has_ns_pid, NULL },
	{ "clone3_set_tid", NEEDED, has_set_tid, NULL },
	{ "openat2", NEEDED, has_openat2, NULL },
	{ NULL, NEEDED, has_children, "/proc/PID/task/TID/children (CONFIG_PROC_CHILDREN)" },
	{ NULL, NEEDED, has_map_files, "/proc/PID/map_files (needs CAP_CHECKPOINT_RESTORE)" },
	{ NULL, NEEDED, has_kcmp, "kcmp (CONFIG_KCMP)" },
	{ NULL, NEEDED, has_pidfd_getfd, "pidfd_getfd (Linux 5.6)" },
	{ NULL, NEEDED, has_vm_readv, "process_vm_readv (CONFIG_CROSS_MEMORY_ATTACH)" },
	{ NULL, NEEDED, has_ptrace, "ptrace (CAP_SYS_PTRACE)" },
	{ "seccomp_suspend", EXTRA, has_seccomp_suspend, NULL },
	{ "seccomp_filters", EXTRA, has_seccomp_filters, NULL },
	{ "sk_ns", EXTRA, has_sk_ns, NULL },
	{ "sk_unix_file", EXTRA, has_unix_file, NULL },
	{ "kcmp_epoll", EXTRA, has_kcmp_epoll, NULL },
	{ "timens", EXTRA, has_timens, NULL },
	{ "tcp_half_closed", EXTRA, has_tcp_repair, NULL },
	{ "sockopt_buf_lock", EXTRA, has_buf_lock, NULL },
	{ "move_mount_set_group", EXTRA, has_set_group, NULL },
	{ "get_rseq_conf", EXTRA, has_rseq_conf, NULL },
	{ "ipv6_freebind", EXTRA, has_freebind, NULL },
	{ "pagemap_scan", EXTRA, has_pagemap_scan, NULL },
	{ "pagemap_scan_guard_pages", EXTRA, has_scan_guard, NULL },
	{ "timer_cr_ids", EXTRA, has_timer_ids, NULL },
	{ "fdinfo_lock", EXTRA, has_lock_info, NULL },
	{ "loginuid", EXTRA, has_loginuid, NULL },
	{ "nftables", EXTRA, has_nftables, NULL },
	{ "userns", EXTRA, has_userns, NULL },
	{ "network_lock_nftables", EXTRA, has_nftables, NULL },
	{ "aio_remap", EXTRA, has_aio, NULL },
	{ "tun", EXTRA, has_tun, NULL },
	{ "tun_ns", EXTRA, has_tun, NULL },
	{ "cgroupns", EXTRA, has_cgroupns, NULL },
	{ "can_map_vdso", EXTRA, has_map_vdso, NULL },
	{ "memfd_hugetlb", EXTRA, has_memfd_hugetlb, NULL },
	/* older than openat2, without which nothing goes */
	{ "nsid", EXTRA, always, NULL },
	{ "link_nsid", EXTRA, always, NULL },
	{ "newifindex", EXTRA, always, NULL },
	/* what it is about is kept without it: raw sockets, files of overlays that are mapped */
	{ "net_diag_raw", ONLY_ASKED, always, NULL },
	{ "overlayfs_maps", ONLY_ASKED, always, NULL },
	{ "external_net_ns", EXPERIMENTAL, always, NULL },
	{ "mem_dirty_track", ONLY_ASKED, NULL, NULL },
	{ "autofs", ONLY_ASKED, has_autofs, NULL },
	{ "compat_cr", ONLY_ASKED, NULL, NULL },
	{ "uffd", ONLY_ASKED, NULL, NULL },
	{ "uffd-noncoop", ONLY_ASKED, NULL, NULL },
	{ "has_ipt_legacy", ONLY_ASKED, has_legacy_rules, NULL },
	{ "pidfd_store", ONLY_ASKED, NULL, NULL },
	{ "apparmor_stacking", ONLY_ASKED, NULL, NULL },
	{ "breakpoints", ONLY_ASKED, NULL, NULL },
};

static const char *feature_words(size_t i)
{
	return features[i].name ? features[i].name : features[i].needs;
}

static bool feature_is(size_t i)
{
	errno = 0;
	return features[i].probe && features[i].probe();
}

int request_check(struct request *q, char *why, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		if (features[i].category == NEEDED && !feature_is(i)) {
			snprintf(why, n, "%s: this system lacks it, or does not allow it", feature_words(i));
			return -ENOTSUP;
		}
	return 0;
}

static int check_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		if (!features[i].name || strcmp(features[i].name, name))
			continue;
		if (!feature_is(i))
			return 1;
		printf("%s is supported\n", name);
		return 0;
	}
	fprintf(stderr, "Error (stasis): --feature %s: there is no feature of that name\n", name);
	return 1;
}

int check_run(struct request *q)
{
	char why[WHY_MAX];
	bool all = true;
	int r = request_log_stderr(q, why, sizeof(why));

	if (r < 0) {
		fprintf(stderr, "Error (stasis): %s\n", why);
		return 1;
	}
	for (size_t i = 0; i < q->features.n; i++)
		r |= check_named(q->features.v[i]);
	if (q->features.n)
		return r;
	if (request_check(q, why, sizeof(why)) < 0) {
		fprintf(stderr, "Error (stasis): %s\nWarn  (stasis): Does not look good.\n", why);
		return 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		bool asked = (features[i].category == EXTRA && q->extra) ||
			     (features[i].category == EXPERIMENTAL && q->experimental);

		if (!asked || feature_is(i))
			continue;
		fprintf(stderr, "Warn  (stasis): %s is missing\n", feature_words(i));
		all = false;
	}
	puts(all ? "Looks good." :
		   "Looks good but some kernel features are missing\n"
		   "which, depending on your process tree, may cause\n"
		   "dump or restore failure.");
	return all ? 0 : 1;
}
