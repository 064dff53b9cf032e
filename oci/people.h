/* SPDX-License-Identifier: Apache-2.0 */
/* people: the commands of stasis that criu does not have, for containers by their name. */
#ifndef OCI_PEOPLE_H
#define OCI_PEOPLE_H

#include "front/request.h"

/** people_wants - is this command line ours? "restore DIR" is, "restore -D DIR" is criu's */
bool people_wants(int argc, char **argv);
/** people_unknown - there is no such command; is another one meant? Exit status */
int people_unknown(const char *command);
/** people_main - carry it out; exit status */
int people_main(int argc, char **argv);

/* one command line: criu's options in req, our own beside them */
struct people {
	struct request req;
	const char *what; /* the operand: container, directory or archive; NULL if none */
	/* our options; borrowed from argv, NULL if not given */
	const char *exp, *import, *compress, *format, *roots, *bundle;
	bool json, all, whole_rootfs, ignore_volumes;
	bool taken[10]; /* which of our options were given, by their row in people.c */
};

int checkpoint_run(struct people *p);
int restore_run(struct people *p);
int list_run(struct people *p);
int show_run(struct people *p);
int verify_run(struct people *p);
/** help_run - what is said of a command; NULL: of all. Exit status */
int help_run(const char *command);

#endif
