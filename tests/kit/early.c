// SPDX-License-Identifier: Apache-2.0
/*
 * early: clients of unix sockets that have sent something, or were closed, before anybody accepted them.
 * Usage: early stream|seqpacket|lonely DIR, see judge.h.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define BIG 150000 /* bytes */

static int server, kept, clients[8];
static pid_t child;
static char big[BIG], got[BIG];

/* "@x" is abstract */
static socklen_t addr(struct sockaddr_un *a, const char *name)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	strcpy(a->sun_path, name);
	if (name[0] == '@')
		a->sun_path[0] = 0;
	return offsetof(struct sockaddr_un, sun_path) + strlen(name) + (name[0] != '@');
}

static void listens(int type, const char *name)
{
	struct sockaddr_un a;
	socklen_t n = addr(&a, name);

	server = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
	if (server < 0 || bind(server, (void *)&a, n) < 0 || listen(server, 16) < 0)
		exit(1);
}

static int client(int type, const char *name)
{
	int fd = socket(AF_UNIX, type, 0);
	struct sockaddr_un a;
	socklen_t n = addr(&a, name);

	CHECK(fd >= 0 && connect(fd, (void *)&a, n) == 0);
	return fd;
}

static void say(int fd, const void *data, size_t n)
{
	CHECK(send(fd, data, n, 0) == (ssize_t)n);
}

static void hand(int fd, const char *word, int file)
{
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(16))) = { 0 };
	struct iovec io = { (char *)word, strlen(word) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &file, sizeof(int));
	CHECK(sendmsg(fd, &m, 0) == (ssize_t)io.iov_len);
}

/* The file that comes with these words, or -1. */
static int handed(int fd, const char *word)
{
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(16))) = { 0 }, b[20];
	struct iovec io = { b, sizeof(b) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int file = -1;

	CHECK(n == (ssize_t)strlen(word) && !memcmp(b, word, n));
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&file, CMSG_DATA(c), sizeof(int));
	return file;
}

static int next(void)
{
	int fd = accept(server, NULL, NULL);

	CHECK(fd >= 0);
	return fd;
}

static int says(int fd, const void *data, size_t n)
{
	ssize_t at = 0, r;

	while (at < (ssize_t)n && (r = recv(fd, got + at, n - at, MSG_DONTWAIT)) > 0)
		at += r;
	return at == (ssize_t)n && !memcmp(got, data, n);
}

static int ends(int fd) { return recv(fd, got, 1, MSG_DONTWAIT) == 0; }
static int waits(int fd) { return recv(fd, got, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN; }

static int shows(int fd, pid_t pid, uid_t uid)
{
	struct ucred c;
	socklen_t n = sizeof(c);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) == 0 && c.pid == pid && c.uid == uid;
}

/* A child that is another user says something, closes and stays. */
static void another(void)
{
	int told[2], fd;
	char c;

	if (pipe(told) < 0 || (child = fork()) < 0)
		exit(1);
	if (!child) {
		if (setresuid(77, 77, 77) < 0)
			_exit(1);
		fd = client(SOCK_STREAM, "early.sock");
		say(fd, "by another", 10);
		close(fd);
		if (write(told[1], why[0] ? "n" : "y", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	CHECK(read(told[0], &c, 1) == 1 && c == 'y');
	close(told[0]);
	close(told[1]);
}

static void stream(void)
{
	int fd;

	for (int i = 0; i < BIG; i++)
		big[i] = i * 7 + i / 251;
	listens(SOCK_STREAM, "early.sock");
	CHECK(chmod("early.sock", 0777) == 0 && chmod(".", 0777) == 0);
	kept = eventfd(5, EFD_NONBLOCK);
	clients[0] = client(SOCK_STREAM, "early.sock");
	say(clients[0], "zero", 4);
	say(clients[0], big, BIG);
	clients[1] = client(SOCK_STREAM, "early.sock");
	fd = client(SOCK_STREAM, "early.sock");
	hand(fd, "two", kept);
	close(fd);
	close(client(SOCK_STREAM, "early.sock"));
	clients[4] = client(SOCK_STREAM, "early.sock");
	say(clients[4], "four", 4);
	CHECK(shutdown(clients[4], SHUT_WR) == 0);
	another();
	clients[6] = client(SOCK_STREAM, "early.sock");
	hand(clients[6], "six", clients[1]); /* one that waits itself */
}

static void stream_check(void)
{
	uint64_t n;
	int fd = next(), second;

	CHECK(says(fd, "zero", 4) && says(fd, big, BIG) && waits(fd) && shows(fd, getpid(), 0));
	say(fd, "to zero", 7);
	CHECK(says(clients[0], "to zero", 7));
	say(clients[0], "more", 4);
	CHECK(says(fd, "more", 4));
	second = next();
	CHECK(waits(second));
	fd = handed(next(), "two");
	CHECK(fd >= 0 && read(fd, &n, 8) == 8 && n == 5 && read(kept, &n, 8) < 0);
	CHECK(ends(next()));
	fd = next();
	CHECK(says(fd, "four", 4) && ends(fd));
	say(fd, "to four", 7);
	CHECK(says(clients[4], "to four", 7) && send(clients[4], "x", 1, MSG_NOSIGNAL) < 0);
	fd = next();
	CHECK(says(fd, "by another", 10) && ends(fd) && shows(fd, child, 77));
	fd = handed(next(), "six");
	CHECK(fd >= 0);
	say(fd, "through it", 10);
	CHECK(says(second, "through it", 10));
	CHECK(accept(server, NULL, NULL) < 0 && errno == EAGAIN);
	kill(child, SIGKILL);
	CHECK(waitpid(child, NULL, 0) == child);
}

static void seqpacket(void)
{
	int fd;

	listens(SOCK_SEQPACKET, "@early-kit");
	clients[0] = client(SOCK_SEQPACKET, "@early-kit");
	say(clients[0], "p1", 2);
	say(clients[0], "", 0);
	say(clients[0], "p2", 2);
	fd = client(SOCK_SEQPACKET, "@early-kit");
	say(fd, "q1", 2);
	say(fd, "q2", 2);
	close(fd);
}

static void seqpacket_check(void)
{
	char b[10];
	int fd = next();

	CHECK(recv(fd, b, sizeof(b), MSG_DONTWAIT) == 2 && !memcmp(b, "p1", 2) && ends(fd));
	CHECK(recv(fd, b, sizeof(b), MSG_DONTWAIT) == 2 && !memcmp(b, "p2", 2) && waits(fd));
	fd = next();
	CHECK(recv(fd, b, sizeof(b), MSG_DONTWAIT) == 2 && !memcmp(b, "q1", 2));
	CHECK(recv(fd, b, sizeof(b), MSG_DONTWAIT) == 2 && !memcmp(b, "q2", 2) && ends(fd));
}

/* The first has sent a file that is open nowhere else. */
static void lonely(void)
{
	int file = eventfd(0, 0);

	listens(SOCK_STREAM, "early.sock");
	clients[0] = client(SOCK_STREAM, "early.sock");
	hand(clients[0], "lonely", file);
	close(file);
	clients[1] = client(SOCK_STREAM, "early.sock");
	say(clients[1], "second", 6);
}

static void lonely_check(void)
{
	CHECK(says(next(), "second", 6));
	CHECK(accept(server, NULL, NULL) < 0 && errno == EAGAIN);
	CHECK(ends(clients[0]));
}

int main(int argc, char **argv)
{
	static const struct judge_case cases[] = {
		{ "stream", stream, stream_check },
		{ "seqpacket", seqpacket, seqpacket_check },
		{ "lonely", lonely, lonely_check },
		{ NULL, NULL, NULL },
	};

	return judge_begin(argc, argv) < 0 ? 1 : judge_case(cases, argv[1]);
}
