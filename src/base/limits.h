/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits: what the caller's surroundings (a shell's ulimit, nohup, a unit of systemd) would do to a job that is not meant:
 * soft limits, and signals that end a writer. Neither is for the tasks, whose own come from the images, nor for programs
 * that are executed meanwhile.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>

struct limits {
	bool held;
	struct rlimit was[RLIM_NLIMITS];
	struct sigaction pipe, xfsz;
};

/** limits_raise - soft limits up to the hard ones; EPIPE and EFBIG instead of the signals. Once for each limits_back() */
void limits_raise(struct limits *l);
/** limits_back - all as it was; nothing if it is */
void limits_back(struct limits *l);
/** limits_few_fds - has this process hardly a descriptor left? ret: how many it may have */
bool limits_few_fds(unsigned long *ret);

#endif
