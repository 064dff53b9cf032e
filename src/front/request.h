/* SPDX-License-Identifier: Apache-2.0 */
/* request: what a caller wants, from the command line or by RPC, and how it is carried out. */
#ifndef FRONT_REQUEST_H
#define FRONT_REQUEST_H

#include "session/session.h"

struct request {
	CriuOpts opts; /* strings are borrowed from argv or from the RPC message */
	const char *images_dir, *work_dir, *log_file, *pidfile;
	int images, work; /* opened directories; owned */
	bool detached;
	struct notify notify;
};

#define REQUEST_INIT { .opts = CRIU_OPTS__INIT, .images_dir = ".", .images = -1, .work = -1 }

/** request_dirs - open the directories that are not open yet. 0 or -errno, reason in why */
int request_dirs(struct request *q, char *why, size_t n);
/** request_dump, request_restore - with the log, pidfile and statistics that belong to it */
int request_dump(struct request *q, char *why, size_t n);
int request_restore(struct request *q, pid_t *root, char *why, size_t n);
void request_close(struct request *q);

/** cli_main - criu's command line, which stasis shares; exit status */
int cli_main(int argc, char **argv);
/** rpc_serve - answer requests on a SEQPACKET socket until it closes; exit status */
int rpc_serve(int sock);

#endif
