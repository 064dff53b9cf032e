// SPDX-License-Identifier: Apache-2.0
/*
 * pipes: pipes and fifos in packet mode (O_DIRECT), judged by the program that has them. Usage: pipes CASE DIR, see judge.h.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <sys/stat.h>
#include <sys/wait.h>

static char buf[70000];

static void put(int fd, const char *text) { CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text)); }

/* is that what one read gets? */
static int gets(int fd, size_t room, const char *text)
{
	ssize_t n = read(fd, buf, room);

	return n == (ssize_t)strlen(text) && !memcmp(buf, text, n);
}

static void packets(int r, int w)
{
	memset(buf, 'p', sizeof(buf));
	CHECK(fcntl(w, F_SETFL, O_DIRECT) == 0);
	CHECK(fcntl(r, F_SETFL, O_NONBLOCK) == 0);
	put(w, "first");
	put(w, "x"); /* of one byte */
	put(w, "second one");
	CHECK(write(w, buf, 4096) == 4096);
	put(w, "y");
	wait_term();
	CHECK(fcntl(w, F_GETFL) & O_DIRECT);
	CHECK(gets(r, 100, "first"));
	CHECK(gets(r, 100, "x"));
	CHECK(gets(r, 6, "second")); /* the rest of a packet is gone with it */
	CHECK(read(r, buf, sizeof(buf)) == 4096 && buf[0] == 'p' && buf[4095] == 'p');
	put(w, "z");
	CHECK(gets(r, 100, "y"));
	CHECK(gets(r, 100, "z"));
	CHECK(read(r, buf, 1) < 0 && errno == EAGAIN);
}

static void pipe_packets(void)
{
	int p[2];

	CHECK(pipe(p) == 0);
	packets(p[0], p[1]);
}

static void fifo_packets(void)
{
	int r, w;

	CHECK(mkfifo("fifo", 0600) == 0);
	r = open("fifo", O_RDONLY | O_NONBLOCK);
	w = open("fifo", O_WRONLY);
	packets(r, w);
}

/* packets behind a page of bytes that are none; the mode is off again; a child reads */
static void mixed(void)
{
	int p[2], status = -1;
	pid_t kid;
	char c;

	memset(buf, 'm', sizeof(buf));
	CHECK(pipe(p) == 0 && write(p[1], buf, 4096) == 4096);
	CHECK(fcntl(p[1], F_SETFL, O_DIRECT) == 0);
	put(p[1], "packet");
	CHECK(fcntl(p[1], F_SETFL, 0) == 0 && fcntl(p[0], F_SETFL, O_NONBLOCK) == 0);
	put(p[1], "no");
	put(p[1], "ne");
	kid = fork();
	if (kid == 0) {
		int go = open("go", O_RDONLY | O_CREAT, 0600);

		while (read(go, &c, 1) == 0)
			usleep(1000);
		CHECK(read(p[0], buf, 4000) == 4000 && buf[3999] == 'm');
		CHECK(read(p[0], buf, 98) == 98 && !memcmp(buf + 94, "mmpa", 4));
		CHECK(gets(p[0], 100, "none"));
		_exit(why[0] != 0);
	}
	close(p[0]);
	wait_term();
	put(open("go", O_WRONLY | O_CREAT, 0600), "1");
	CHECK(waitpid(kid, &status, 0) == kid && status == 0);
}

/* every slot of it has a packet */
static void full(void)
{
	int p[2], n = 0;

	CHECK(pipe2(p, O_DIRECT | O_NONBLOCK) == 0);
	CHECK(fcntl(p[1], F_SETPIPE_SZ, 32 * 4096) == 32 * 4096);
	while (write(p[1], "ab", 2) == 2)
		n++;
	CHECK(n == 32 && errno == EAGAIN);
	wait_term();
	CHECK(fcntl(p[0], F_GETPIPE_SZ) == 32 * 4096);
	CHECK((fcntl(p[1], F_GETFL) & (O_DIRECT | O_NONBLOCK)) == (O_DIRECT | O_NONBLOCK));
	CHECK(write(p[1], "ab", 2) < 0 && errno == EAGAIN);
	while (gets(p[0], 100, "ab"))
		n--;
	CHECK(n == 0);
}

int main(int argc, char **argv)
{
	static const struct judge_case cases[] = {
		{ "packets", pipe_packets, NULL }, { "fifo", fifo_packets, NULL },
		{ "mixed", mixed, NULL }, { "full", full, NULL },
		{ NULL, NULL, NULL } };

	return judge_begin(argc, argv) < 0 ? 2 : judge_case(cases, argv[1]);
}
