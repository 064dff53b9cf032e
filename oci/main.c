// SPDX-License-Identifier: Apache-2.0
#include "front/request.h"
#include "oci/people.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

int main(int argc, char **argv)
{
	const char *name = argc ? strrchr(argv[0], '/') : NULL;

	/* a closed standard descriptor must not become one of ours; the caller's are left as they are */
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return 1;
	signal(SIGCHLD, SIG_DFL); /* a caller who ignores it would leave us no child's status */
	name = name ? name + 1 : argc ? argv[0] : "";
	/* a program made setuid serves only what criu serves */
	if (strcmp(name, "criu") && getuid() == geteuid() && people_wants(argc, argv))
		return people_main(argc, argv);
	return cli_main(argc, argv);
}
