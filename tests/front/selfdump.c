// SPDX-License-Identifier: Apache-2.0
/*
 * selfdump BINARY|SOCKET DIR OUT [running]: dumps itself by libcriu, and writes into OUT what criu_dump()
 * returned, in which process, and what it still knew.
 */
#include <criu.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int pid = getpid(), number = 4711, dir, r, fd;
	struct stat st;
	char text[200];

	setsid();
	for (fd = 0; fd < 3; fd++)
		dup2(open("/dev/null", O_RDWR), fd);
	dir = open(argv[2], O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || criu_init_opts() < 0)
		return 1;
	if (stat(argv[1], &st) == 0 && S_ISSOCK(st.st_mode))
		criu_set_service_address(argv[1]);
	else
		criu_set_service_binary(argv[1]);
	criu_set_images_dir_fd(dir);
	criu_set_log_level(CRIU_LOG_DEBUG);
	criu_set_log_file("self.log");
	criu_set_leave_running(argc > 4);
	errno = 0;
	r = criu_dump();
	snprintf(text, sizeof(text), "%d %s %s %d\n", r, getpid() == pid ? "same" : "other",
		 number == 4711 && waitpid(-1, NULL, WNOHANG) < 0 ? "whole" : "broken", r < 0 ? errno : 0);
	fd = open(argv[3], O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (write(fd, text, strlen(text)) < 0)
		return 1;
	close(fd);
	return 0;
}
