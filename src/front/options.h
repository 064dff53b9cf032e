/* SPDX-License-Identifier: Apache-2.0 */
/* options: criu's options, as words of a command line or lines of a configuration file. */
#ifndef FRONT_OPTIONS_H
#define FRONT_OPTIONS_H

#include "front/request.h"

struct take;
struct opt {
	const char *name;
	char letter;
	int arg;  /* no_argument... */
	bool neg; /* --no-NAME as well */
	int (*take)(struct take *t);
	size_t has, at; /* places in CriuOpts, or in struct request */
};

/* one occurrence of an option */
struct take {
	struct request *q;
	const struct opt *o;
	const char *arg; /* NULL if there is none */
	bool on;	 /* false for --no-NAME */
	char *why;
	size_t n;
};

/**
 * options_parse - take every option of argv; other words are moved behind them
 * @first: index of the first other word
 *
 * Return: 0, or -EINVAL with the reason in why; 1 if usage should follow the reason.
 */
int options_parse(struct request *q, int argc, char **argv, int *first, char *why, size_t n);
/** options_near - look among the options for what was meant */
void options_near(struct near *s);
/** options_operand - which word (from 0) of argv's words that are no options; NULL if there are fewer */
const char *options_operand(int argc, char **argv, int which);
/** options_early - only --config and --no-default-config, which must be known first */
void options_early(struct request *q, int argc, char **argv);

/** config_defaults - the configuration files that are read at the start, in their order */
int config_defaults(struct request *q, char *why, size_t n);
/** config_file - one file; a missing one is no failure */
int config_file(struct request *q, const char *path, char *why, size_t n);

#endif
