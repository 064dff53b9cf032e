// SPDX-License-Identifier: Apache-2.0
/*
 * unix: a process with a child that hold unix sockets of every sort; on SIGTERM both check that all is as
 * it was. Usage: unix all DIR; writes DIR/ready, then "OK" or what is wrong to DIR/verdict.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char wrong[4000];
static volatile sig_atomic_t sigios;

#define CHECK(c, what)                                                                             \
	do {                                                                                       \
		if (!(c))                                                                          \
			snprintf(wrong + strlen(wrong), sizeof(wrong) - strlen(wrong),             \
				 "%d: %s (errno %d)\n", __LINE__, what, errno);                    \
	} while (0)
#define MUST(c)                                                                                    \
	do {                                                                                       \
		if (!(c)) {                                                                        \
			dprintf(2, "unix.c:%d: %s\n", __LINE__, strerror(errno));                  \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static void on_sigio(int sig) { sigios++; }

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

static int named(int type, const char *name)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
	struct sockaddr_un a;
	socklen_t n = addr(&a, name);

	MUST(fd >= 0 && bind(fd, (void *)&a, n) == 0);
	return fd;
}

static int to(int fd, const char *name)
{
	struct sockaddr_un a;
	socklen_t n = addr(&a, name);

	return connect(fd, (void *)&a, n);
}

static int has_name(int fd, const char *name, int peer)
{
	struct sockaddr_un a, b;
	socklen_t n = addr(&a, name), m = sizeof(b);
	int r;

	memset(&b, 0, sizeof(b));
	r = peer ? getpeername(fd, (void *)&b, &m) : getsockname(fd, (void *)&b, &m);
	return r == 0 && m == n && !memcmp(&a, &b, n);
}

static int gives(int fd, const char *text)
{
	char b[400];
	ssize_t n = recv(fd, b, sizeof(b), MSG_DONTWAIT);

	return n == (ssize_t)strlen(text) && !memcmp(b, text, n);
}

static int put(int fd, const char *text)
{
	return send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

static int empty(int fd)
{
	char b;

	return recv(fd, &b, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static int put_fds(int fd, const char *text, const int *fds, int n)
{
	char c[CMSG_SPACE(4 * sizeof(int))] = { 0 };
	struct iovec io = { (void *)text, strlen(text) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = c,
			    .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(h), fds, n * sizeof(int));
	return sendmsg(fd, &m, 0) == (ssize_t)strlen(text);
}

/* up to max bytes; number of descriptors that came with them, or -1 if the text is another */
static int gives_fds(int fd, const char *text, size_t max, int *fds, struct ucred *cred)
{
	char c[256] = { 0 }, b[400];
	struct iovec io = { b, max };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof(c) };
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);
	int got = 0;

	if (n != (ssize_t)strlen(text) || memcmp(b, text, n))
		return -1;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_type == SCM_RIGHTS) {
			got = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(fds, CMSG_DATA(h), got * sizeof(int));
		} else if (h->cmsg_type == SCM_CREDENTIALS && cred) {
			memcpy(cred, CMSG_DATA(h), sizeof(*cred));
		}
	}
	return got;
}

static int opt(int fd, int o)
{
	int v = -2;
	socklen_t n = sizeof(v);

	getsockopt(fd, SOL_SOCKET, o, &v, &n);
	return v;
}

/* ---- pairs ---- */

static int across[2], dead[2], deadd[2], mix[2], carrier[2], inner[2], cycle[2], big[2], zero[2], zeq[2];
static int cred[2], peek[2], async_[2], half[2], pass[2], queued_pipe[2];

static void pairs(void)
{
	char *huge = malloc(100000);
	int fds[3], one = 1, two = 2, size = 300000, p[2], extra[2];
	struct timeval tv = { 3, 500000 };

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, dead) == 0 && put(dead[1], "last words"));
	close(dead[1]);
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, deadd) == 0 && put(deadd[1], "last dgram"));
	close(deadd[1]);
	/* descriptors in the midst of a stream: borders matter there */
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, mix) == 0 && pipe(p) == 0 && write(p[1], "in the pipe", 11) == 11);
	fds[0] = p[0];
	fds[1] = p[1];
	MUST(put(mix[0], "aaa") && put(mix[0], "AAA") && put_fds(mix[0], "bbb", fds, 2) && put(mix[0], "ccc"));
	close(p[0]);
	MUST(put_fds(mix[0], "ddd", fds + 1, 1) && put(mix[0], "eee"));
	close(p[1]);
	/* a socket in the queue of a socket in a queue, with data of its own */
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, inner) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, extra) == 0);
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, carrier) == 0 && put(inner[0], "deep"));
	MUST(put_fds(extra[0], "outer", &inner[1], 1) && put_fds(carrier[0], "holds", &extra[1], 1));
	close(inner[1]);
	close(extra[1]);
	close(extra[0]);
	/* one that holds itself */
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, cycle) == 0 && put_fds(cycle[0], "me", &cycle[1], 1));
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, big) == 0);
	setsockopt(big[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	memset(huge, 'x', 100000);
	MUST(write(big[0], huge, 100000) == 100000 && put(big[0], "after"));
	free(huge);
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, zero) == 0 && put(zero[0], "") && put(zero[0], "one") && put(zero[0], ""));
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, zeq) == 0 && put(zeq[0], "x") && put(zeq[0], "") && put(zeq[0], "y"));
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, cred) == 0);
	setsockopt(cred[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
	MUST(put(cred[0], "who"));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, peek) == 0 && put(peek[0], "peeked"));
	setsockopt(peek[1], SOL_SOCKET, SO_PEEK_OFF, &two, sizeof(two));
	setsockopt(peek[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, async_) == 0);
	MUST(put(async_[0], "sig"));
	fcntl(async_[1], F_SETOWN, getpid());
	fcntl(async_[1], F_SETFL, O_NONBLOCK | O_ASYNC);
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, half) == 0 && put(half[0], "before") &&
	     shutdown(half[0], SHUT_WR) == 0);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, queued_pipe) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pass) == 0);
}

static void pairs_check(void)
{
	int fds[8], more[8], n;
	char *huge = malloc(200000);
	struct timeval tv;
	socklen_t len = sizeof(tv);
	struct ucred c = { 0 };
	char b[20];

	CHECK(gives(dead[0], "last words") && recv(dead[0], b, 1, 0) == 0, "closed peer");
	CHECK(send(dead[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "closed peer: EPIPE");
	CHECK(gives(deadd[0], "last dgram"), "closed dgram peer");
	CHECK(!put(deadd[0], "x") && errno == ECONNREFUSED, "closed dgram peer: ECONNREFUSED");
	CHECK(gives_fds(mix[1], "aaaAAA", 6, fds, NULL) == 0, "bytes before descriptors");
	n = gives_fds(mix[1], "bbb", 3, fds, NULL);
	CHECK(n == 2 && read(fds[0], b, 20) == 11 && !memcmp(b, "in the pipe", 11), "a pipe in a queue");
	CHECK(gives_fds(mix[1], "ccc", 3, more, NULL) == 0, "bytes after descriptors");
	n = gives_fds(mix[1], "ddd", 6, more, NULL);
	CHECK(n == 1 && write(more[0], "via", 3) == 3 && read(fds[0], b, 20) == 3, "the other end in another packet");
	CHECK(gives(mix[1], "eee"), "the last bytes");
	n = gives_fds(carrier[1], "holds", 20, fds, NULL);
	CHECK(n == 1, "socket in a queue");
	n = n == 1 ? gives_fds(fds[0], "outer", 20, more, NULL) : -1;
	CHECK(n == 1 && gives(more[0], "deep"), "socket in the queue of a socket in a queue");
	CHECK(n == 1 && put(more[0], "up") && gives(inner[0], "up"), "its peer");
	CHECK(gives_fds(cycle[1], "me", 20, fds, NULL) == 1 && put(cycle[0], "self") && gives(fds[0], "self"),
	      "a socket in its own queue");
	CHECK(recv(big[1], huge, 200000, MSG_DONTWAIT) == 100000 && huge[99999] == 'x' && gives(big[1], "after"),
	      "a long datagram");
	free(huge);
	CHECK(gives(zero[1], "") && gives(zero[1], "one") && gives(zero[1], "") && empty(zero[1]), "empty datagrams");
	CHECK(gives(zeq[1], "x") && gives(zeq[1], "") && gives(zeq[1], "y") && empty(zeq[1]), "empty messages");
	CHECK(gives_fds(cred[1], "who", 20, fds, &c) == 0 && c.pid == getpid() && c.uid == getuid(), "sender");
	CHECK(opt(peek[1], SO_PEEK_OFF) == 2 && recv(peek[1], b, 20, MSG_PEEK) == 4 && !memcmp(b, "eked", 4) &&
	      gives(peek[1], "peeked"), "peek offset");
	CHECK(getsockopt(peek[1], SOL_SOCKET, SO_RCVTIMEO, &tv, &len) == 0 && tv.tv_sec == 3, "timeout");
	CHECK(!sigios && gives(async_[1], "sig") && put(async_[0], "x") && sigios == 1, "SIGIO");
	CHECK(gives(half[1], "before") && recv(half[1], b, 1, MSG_DONTWAIT) == 0 && put(half[1], "back") &&
	      gives(half[0], "back"), "half shut");
	CHECK(!put(half[0], "x") && errno == EPIPE, "half shut: EPIPE");
}

/* ---- names ---- */

static int ls, lc, la, lfly[3], gone_a, gone_c, abs_l, abs_c, abs_a, del_l, del_fly, rel, up, d1, d2, dd[2], self_;
static int seql, seqc, seqa, oldl, newl, unbound, bound, moved, linked;

static void names(void)
{
	int tmp, extra;
	struct sockaddr_un a;
	socklen_t n;

	ls = named(SOCK_STREAM, "listen.sock");
	MUST(setresgid(-1, 1234, -1) == 0 && setresuid(-1, 4321, -1) == 0 && listen(ls, 5) == 0);
	MUST(setresuid(-1, 0, -1) == 0 && setresgid(-1, 0, -1) == 0);
	lc = named(SOCK_STREAM, "client.sock");
	MUST(chmod("listen.sock", 0777) == 0 && chmod(".", 0755) == 0);
	MUST(setresuid(-1, 77, -1) == 0 && to(lc, "listen.sock") == 0 && setresuid(-1, 0, -1) == 0);
	MUST(chmod("listen.sock", 0603) == 0 && (la = accept(ls, NULL, NULL)) >= 0 && put(lc, "up") && put(la, "down"));
	for (int i = 0; i < 3; i++) {
		char name[20];

		sprintf(name, "@unix-kit-fly%d", i);
		lfly[i] = named(SOCK_STREAM, name);
	}
	/* in another order than their numbers */
	MUST(to(lfly[1], "listen.sock") == 0 && to(lfly[0], "listen.sock") == 0 && to(lfly[2], "listen.sock") == 0);
	tmp = named(SOCK_STREAM, "gone.sock");
	gone_c = socket(AF_UNIX, SOCK_STREAM, 0);
	MUST(listen(tmp, 1) == 0 && to(gone_c, "gone.sock") == 0 && (gone_a = accept(tmp, NULL, NULL)) >= 0);
	close(tmp);
	abs_l = named(SOCK_STREAM, "@unix-kit-listen");
	abs_c = socket(AF_UNIX, SOCK_STREAM, 0);
	MUST(listen(abs_l, 0) == 0 && to(abs_c, "@unix-kit-listen") == 0 && (abs_a = accept(abs_l, NULL, NULL)) >= 0);
	close(abs_c);
	del_l = named(SOCK_STREAM, "del.sock");
	del_fly = socket(AF_UNIX, SOCK_STREAM, 0);
	MUST(listen(del_l, 9) == 0 && to(del_fly, "del.sock") == 0 && unlink("del.sock") == 0);
	oldl = named(SOCK_STREAM, "twice.sock");
	MUST(listen(oldl, 1) == 0 && unlink("twice.sock") == 0);
	newl = named(SOCK_STREAM, "twice.sock");
	MUST(listen(newl, 1) == 0);
	moved = named(SOCK_STREAM, "./moved.tmp");
	MUST(listen(moved, 2) == 0 && rename("moved.tmp", "moved.sock") == 0);
	linked = named(SOCK_DGRAM, "linked.tmp");
	MUST(link("linked.tmp", "linked.sock") == 0 && unlink("linked.tmp") == 0 && chmod("linked.sock", 0604) == 0);
	MUST(mkdir("sub", 0755) == 0 && chdir("sub") == 0);
	up = named(SOCK_DGRAM, "../up.sock");
	MUST(chdir("..") == 0);
	rel = named(SOCK_DGRAM, "./rel.sock");
	d1 = named(SOCK_DGRAM, "@unix-kit-d1");
	d2 = named(SOCK_DGRAM, "d2.sock");
	extra = named(SOCK_DGRAM, "@unix-kit-extra");
	n = addr(&a, "@unix-kit-d1");
	MUST(to(d2, "@unix-kit-d1") == 0 && put(d2, "from d2"));
	MUST(sendto(extra, "from extra", 10, 0, (void *)&a, n) == 10);
	close(extra);
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, dd) == 0 && to(dd[0], "@unix-kit-d1") == 0 && put(dd[0], "from dd"));
	self_ = named(SOCK_DGRAM, "@unix-kit-self");
	MUST(to(self_, "@unix-kit-self") == 0 && put(self_, "to me"));
	seql = named(SOCK_SEQPACKET, "seq.sock");
	seqc = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	MUST(listen(seql, 3) == 0 && to(seqc, "seq.sock") == 0 && (seqa = accept(seql, NULL, NULL)) >= 0);
	MUST(put(seqc, "s1") && put(seqc, "s2"));
	unbound = socket(AF_UNIX, SOCK_STREAM, 0);
	bound = named(SOCK_STREAM, "@unix-kit-bound");
}

static void names_check(void)
{
	char b[20];
	struct stat st;
	int fd, order[3] = { 1, 0, 2 }, e;
	socklen_t n = sizeof(e), cn = sizeof(struct ucred);
	struct ucred c;

	CHECK(has_name(ls, "listen.sock", 0) && has_name(la, "listen.sock", 0) && has_name(lc, "client.sock", 0) &&
	      has_name(la, "client.sock", 1) && has_name(lc, "listen.sock", 1), "names of a connection");
	CHECK(stat("listen.sock", &st) == 0 && (st.st_mode & 07777) == 0603, "mode of a socket file");
	CHECK(gives(la, "up") && gives(lc, "down") && put(lc, "more") && gives(la, "more"), "a connection");
	for (int i = 0; i < 3; i++) {
		char name[20];

		sprintf(name, "@unix-kit-fly%d", order[i]);
		fd = accept(ls, NULL, NULL);
		CHECK(fd >= 0 && has_name(fd, name, 1) && put(fd, name) && gives(lfly[order[i]], name),
		      "waiting connections in their order");
	}
	CHECK(accept(ls, NULL, NULL) < 0 && errno == EAGAIN, "no others");
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(to(fd, "listen.sock") == 0, "a new client");
	CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &cn) == 0 && c.pid == getpid() && c.uid == 4321 &&
	      c.gid == 1234, "the listener's credentials");
	CHECK(getsockopt(lc, SOL_SOCKET, SO_PEERCRED, &c, &cn) == 0 && c.pid == getpid() && c.uid == 4321,
	      "the listener's credentials, seen by a client");
	CHECK(getsockopt(la, SOL_SOCKET, SO_PEERCRED, &c, &cn) == 0 && c.pid == getpid() && c.uid == 77,
	      "the client's credentials");
	CHECK(getsockopt(gone_a, SOL_SOCKET, SO_PEERCRED, &c, &cn) == 0 && c.pid == getpid() && c.uid == 0,
	      "the client's credentials, no listener");
	CHECK(getsockopt(across[0], SOL_SOCKET, SO_PEERCRED, &c, &cn) == 0 && c.pid == getpid() && c.uid == 55,
	      "who made the pair");
	CHECK(has_name(gone_a, "gone.sock", 0) && put(gone_c, "g") && gives(gone_a, "g"), "accepted, no listener");
	CHECK(to(socket(AF_UNIX, SOCK_STREAM, 0), "gone.sock") < 0 && errno == ECONNREFUSED, "no listener");
	CHECK(has_name(abs_a, "@unix-kit-listen", 0) && recv(abs_a, b, 1, MSG_DONTWAIT) == 0, "abstract, closed client");
	CHECK(to(socket(AF_UNIX, SOCK_STREAM, 0), "@unix-kit-listen") == 0 && accept(abs_l, NULL, NULL) >= 0, "abstract");
	CHECK(has_name(del_l, "del.sock", 0) && stat("del.sock", &st) < 0 && (fd = accept(del_l, NULL, NULL)) >= 0 &&
	      put(fd, "d") && gives(del_fly, "d"), "removed name");
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(has_name(oldl, "twice.sock", 0) && to(fd, "twice.sock") == 0 && accept(newl, NULL, NULL) >= 0 &&
	      accept(oldl, NULL, NULL) < 0, "the same name again");
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(has_name(moved, "./moved.tmp", 0) && stat("moved.tmp", &st) < 0 && to(fd, "moved.sock") == 0 &&
	      accept(moved, NULL, NULL) >= 0, "a name that was changed");
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK(has_name(linked, "linked.tmp", 0) && stat("linked.tmp", &st) < 0 && to(fd, "linked.sock") == 0 &&
	      put(fd, "by a link") && gives(linked, "by a link") && stat("linked.sock", &st) == 0 &&
	      (st.st_mode & 07777) == 0604 && st.st_nlink == 1, "a link instead of the name");
	CHECK(has_name(rel, "./rel.sock", 0) && stat("rel.sock", &st) == 0, "relative name");
	CHECK(has_name(up, "../up.sock", 0) && stat("up.sock", &st) == 0, "relative name upwards");
	CHECK(gives(d1, "from d2") && gives(d1, "from extra") && gives(d1, "from dd") && empty(d1), "datagrams of many");
	CHECK(put(d2, "again") && gives(d1, "again") && has_name(d2, "@unix-kit-d1", 1), "one way");
	CHECK(put(dd[0], "dd") && gives(d1, "dd"), "left its peer");
	CHECK(getsockopt(dd[1], SOL_SOCKET, SO_ERROR, &e, &n) == 0, "error");
	CHECK(!put(dd[1], "x") && errno == EPERM, "left by its peer");
	CHECK(gives(self_, "to me") && put(self_, "once more") && gives(self_, "once more"), "to itself");
	CHECK(gives(seqa, "s1") && gives(seqa, "s2") && has_name(seqa, "seq.sock", 0), "seqpacket connection");
	CHECK(to(unbound, "listen.sock") == 0, "an unconnected one");
	CHECK(has_name(bound, "@unix-kit-bound", 0) && listen(bound, 1) == 0, "a bound one");
}

/* ---- the child: has one end of a pair, and shares another ---- */

static int child(int fd, int shared)
{
	int sig;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigwait(&set, &sig);
	return gives(fd, "for the child") && put(fd, "for the parent") && put(shared, "by the child") ? 0 : 1;
}

int main(int argc, char **argv)
{
	sigset_t set;
	pid_t pid;
	int sig, status, fd;

	MUST(argc > 2 && chdir(argv[2]) == 0);
	signal(SIGIO, on_sigio);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	MUST(setresuid(-1, 55, -1) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, across) == 0);
	MUST(setresuid(-1, 0, -1) == 0 && put(across[0], "for the child"));
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pass) == 0);
	pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		close(across[0]);
		_exit(child(across[1], pass[0]));
	}
	close(across[1]);
	fd = pass[0];
	int keep = pass[1];
	pairs();
	close(pass[0]);
	close(pass[1]);
	names();
	close(open("ready", O_CREAT | O_WRONLY, 0644));
	sigwait(&set, &sig);
	kill(pid, SIGTERM);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0, "the child's pair");
	CHECK(gives(across[0], "for the parent"), "pair across tasks");
	CHECK(gives(keep, "by the child") && fcntl(fd, F_GETFD) == 0, "shared socket");
	pairs_check();
	names_check();
	fd = open("verdict.tmp", O_CREAT | O_WRONLY | O_TRUNC, 0644);
	if (!wrong[0])
		strcpy(wrong, "OK");
	MUST(write(fd, wrong, strlen(wrong)) > 0);
	close(fd);
	rename("verdict.tmp", "verdict");
	return 0;
}
