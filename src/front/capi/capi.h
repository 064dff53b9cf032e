/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capi: libcriu. It shares nothing with the program but rpc.proto: a client that asks `criu swrk FD` or a
 * running service. Everything that is not static here is exported.
 */
#ifndef FRONT_CAPI_CAPI_H
#define FRONT_CAPI_CAPI_H

#include "criu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct criu_opts {
	CriuOpts *rpc; /* owned */
	int (*notify)(char *action, criu_notify_arg_t na);
	enum criu_service_comm comm;
	char *binary, *address; /* owned or NULL: the default */
	int fd;			/* borrowed */
};

#endif
