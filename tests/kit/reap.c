// SPDX-License-Identifier: Apache-2.0
/* reap: init of a pid namespace for tests: runs a command, reaps everybody, ends with its status. */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	pid_t pid = fork(), p;
	int status;

	if (pid == 0) {
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	while ((p = wait(&status)) > 0 || errno == EINTR)
		if (p == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	return 1;
}
