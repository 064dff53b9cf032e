// SPDX-License-Identifier: Apache-2.0
/* landlock: in a domain, or in none. Usage: landlock CASE DIR, see judge.h; exit status 3: this kernel has none. */
#define _GNU_SOURCE
#include "judge.h"

#include <grp.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

int main(int argc, char **argv)
{
	struct { uint64_t fs, net; } net = { 0, 1 }, fs = { 1, 0 }; /* binding TCP ports; executing files */
	int rules;

	if (judge_begin(argc, argv) < 0)
		return 2;
	if (strstr(argv[1], "user") && (chown(".", 1234, 1234) < 0 || setgroups(0, NULL) < 0 || setresgid(1234, 1234, 1234) < 0 ||
					setresuid(1234, 1234, 1234) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0))
		return 4;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!strstr(argv[1], "free")) {
		rules = syscall(444, strstr(argv[1], "net") ? &net : &fs, sizeof(net), 0);
		if (rules < 0 || syscall(446, rules, 0) < 0)
			return 3;
		close(rules);
	}
	wait_term();
	finish();
}
