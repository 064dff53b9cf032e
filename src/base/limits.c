// SPDX-License-Identifier: Apache-2.0
#include "base/limits.h"

#include "base/res.h"

#include <fcntl.h>

#define SPARE 8 /* what failed for want of one more has given back a few since */

/* Those that a job with many objects meets. Not RLIMIT_CORE and RLIMIT_CPU, nor what concerns scheduling only. */
static const int raised[] = { RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_STACK, RLIMIT_AS,	   RLIMIT_DATA,
			      RLIMIT_NPROC,  RLIMIT_LOCKS, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, RLIMIT_SIGPENDING };

void limits_raise(struct limits *l)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	if (l->held)
		return;
	l->held = true;
	for (size_t i = 0; i < ARRAY_SIZE(raised); i++) {
		struct rlimit *was = &l->was[raised[i]];

		if (getrlimit(raised[i], was) == 0)
			setrlimit(raised[i], &(struct rlimit){ was->rlim_max, was->rlim_max });
	}
	sigaction(SIGPIPE, &ignore, &l->pipe);
	sigaction(SIGXFSZ, &ignore, &l->xfsz);
}

void limits_back(struct limits *l)
{
	if (!l->held)
		return;
	l->held = false;
	sigaction(SIGPIPE, &l->pipe, NULL);
	sigaction(SIGXFSZ, &l->xfsz, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(raised); i++)
		setrlimit(raised[i], &l->was[raised[i]]);
}

bool limits_few_fds(unsigned long *ret)
{
	struct rlimit r = { 0 };
	int fds[SPARE], n = 0;
	bool few;

	while (n < SPARE && (fds[n] = open("/", O_PATH | O_CLOEXEC)) >= 0)
		n++;
	few = n < SPARE && errno == EMFILE;
	while (n > 0)
		fd_close(fds[--n]);
	if (few && getrlimit(RLIMIT_NOFILE, &r) == 0)
		*ret = r.rlim_cur;
	return few;
}
