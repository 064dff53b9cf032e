// SPDX-License-Identifier: Apache-2.0
/* steps FD: one step with a descriptor, told on the socket FD; 0 if the caller agrees. */
#include "front/request.h"

#include <fcntl.h>

int main(int argc, char **argv)
{
	static struct request q; /* what it has lives as long as the process */
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	request_init(&q);
	q.rpc = atoi(argv[1]);
	return step_tell(&q, "orphan-pts-master", 0, fd) == 0 ? 0 : 1;
}
