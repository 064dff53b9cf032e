// SPDX-License-Identifier: Apache-2.0
/*
 * cut: runs a program and kills it (SIGKILL) when it has just let a TCP connection out of repair mode; exits with 1 if
 * it ends before.
 * Usage: cut COMMAND ARGS...
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static bool repair_off(pid_t pid)
{
	struct __ptrace_syscall_info call;
	int off = 1;
	struct iovec to = { &off, sizeof(off) }, from = { .iov_len = sizeof(off) };

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(call), &call) <= 0 ||
	    call.op != PTRACE_SYSCALL_INFO_ENTRY || call.entry.nr != SYS_setsockopt ||
	    call.entry.args[1] != IPPROTO_TCP || call.entry.args[2] != TCP_REPAIR)
		return false;
	from.iov_base = (void *)call.entry.args[3];
	return process_vm_readv(pid, &to, 1, &from, 1, 0) == sizeof(off) && off <= 0;
}

int main(int argc, char **argv)
{
	bool off = false;
	int status;
	pid_t pid;

	if (argc < 2 || (pid = fork()) < 0)
		return 2;
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
		return 2;
	for (int sig = 0; ptrace(PTRACE_SYSCALL, pid, 0, sig) == 0 && waitpid(pid, &status, 0) == pid;) {
		if (!WIFSTOPPED(status))
			return 1;
		sig = WSTOPSIG(status);
		if (sig != (SIGTRAP | 0x80))
			continue;
		sig = 0;
		if (off) { /* the call has been made */
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return 0;
		}
		off = repair_off(pid);
	}
	return 2;
}
