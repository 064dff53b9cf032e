// SPDX-License-Identifier: Apache-2.0
/*
 * returns: what libcriu's calls return. returns BINARY DIR: one line a call, its result and errno; with "self" as third
 * word this program dumps itself, runs on, and asks for a restore while it is there.
 */
#define _GNU_SOURCE
#include <criu.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void say(const char *call, int r)
{
	printf("%s %s%s%s\n", call, r >= 0 ? "" : r == -1 ? "-1" : "-", r < -1 ? strerrorname_np(-r) : "",
	       r == -EBADE && errno ? strerrorname_np(errno) : "");
	if (r >= 0)
		printf("= %d\n", r);
	errno = 0;
}

int main(int argc, char **argv)
{
	int dir = open(argv[2], O_DIRECTORY | O_CLOEXEC);

	if (argc < 3 || dir < 0 || criu_init_opts() < 0 || criu_set_service_binary(argv[1]) < 0)
		return 2;
	criu_set_images_dir_fd(dir);
	criu_set_leave_running(true);
	if (argc > 3) {
		say("dump", criu_dump());
		say("restore", criu_restore());
		return 0;
	}
	criu_set_pid(1);
	say("version", criu_get_version());
	say("at least 4.2.1", criu_check_version(40201));
	say("check", criu_check());
	say("dump", criu_dump());
	say("restore", criu_restore());
	return 0;
}
