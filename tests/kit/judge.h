/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge: the frame of a program that is checkpointed and judges itself. Usage: PROGRAM CASE DIR [ARG...]. DIR/ready
 * appears when all is set up; on SIGTERM "OK" or the first failure goes into DIR/verdict.
 */
#ifndef KIT_JUDGE_H
#define KIT_JUDGE_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char why[300];
static volatile sig_atomic_t got_term;

#define CHECK(c) do { if (!(c) && !why[0]) snprintf(why, sizeof(why), "line %d: %s (errno %d)", __LINE__, #c, errno); } while (0)

static inline void on_term(int sig) { got_term = 1; }

/* SIGTERM is blocked but while we wait for it. */
static inline int judge_begin(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };
	sigset_t term;

	if (argc < 3 || chdir(argv[2]) < 0)
		return -1;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	sigaction(SIGTERM, &sa, NULL);
	return 0;
}

static inline void sleep_term(void)
{
	sigset_t none;

	sigemptyset(&none);
	while (!got_term)
		sigsuspend(&none);
}

static inline void wait_term(void)
{
	close(open("ready", O_CREAT | O_WRONLY, 0600));
	sleep_term();
}

static inline void finish(void)
{
	FILE *f = fopen("verdict.new", "w");

	fputs(why[0] ? why : "OK", f);
	fclose(f);
	rename("verdict.new", "verdict");
	exit(0);
}

/* Without a check, a case waits and checks itself. A NULL name ends the table. */
struct judge_case {
	const char *name;
	void (*setup)(void), (*check)(void);
};

static inline int judge_case(const struct judge_case *c, const char *name)
{
	while (c->name && strcmp(c->name, name))
		c++;
	if (!c->name)
		return 2;
	c->setup();
	if (c->check) {
		wait_term();
		c->check();
	}
	finish();
	return 0;
}

#endif
