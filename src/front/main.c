// SPDX-License-Identifier: Apache-2.0
#include "front/request.h"

#include <fcntl.h>
#include <signal.h>

int main(int argc, char **argv)
{
	/* a closed standard descriptor must not become one of ours; the caller's are left as they are */
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return 1;
	signal(SIGCHLD, SIG_DFL); /* a caller who ignores it would leave us no child's status */
	return cli_main(argc, argv);
}
