// SPDX-License-Identifier: Apache-2.0
/*
 * service: criu's RPC on a socket in the file system, open to every user: a child for each connection,
 * which starts from the same options and serves what owner.c allows its peer.
 */
#include "front/options.h"

#include "base/res.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define BACKLOG 16

static int service_listen(const struct request *q, char *why, size_t n)
{
	const char *path = q->address ? q->address : "criu_service.socket";
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	own_fd int sock = fd_high(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	struct stat st;

	if (strlen(path) >= sizeof(a.sun_path)) {
		snprintf(why, n, "address %.900s: is too long for a socket", path);
		return -ENAMETOOLONG;
	}
	strcpy(a.sun_path, path);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	if (sock < 0 || bind(sock, (struct sockaddr *)&a, sizeof(a)) < 0 || chmod(path, 0666) < 0 ||
	    listen(sock, BACKLOG) < 0) {
		snprintf(why, n, "address %.900s: %s", path, strerror(errno));
		return -errno;
	}
	return take_fd(sock);
}

/* The parent ends when the socket listens; the child is a session of its own. */
static int service_daemon(char *why, size_t n)
{
	own_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid = fork();

	if (pid > 0)
		_exit(0);
	if (pid < 0 || null < 0 || setsid() < 0) {
		snprintf(why, n, "service: go into the background: %s", strerror(errno));
		return -errno;
	}
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	return 0;
}

static void service_ready(struct request *q)
{
	if (q->status_fd < 0)
		return;
	fd_write_all(q->status_fd, "", 1);
	close(q->status_fd);
	q->status_fd = -1;
}

/* A connection starts from the configuration files; words on our command line were for us. */
static void service_one(const struct request *q, int conn)
{
	struct request base;
	char why[WHY_MAX];
	pid_t pid = fork();

	if (pid < 0)
		fprintf(stderr, "Error (stasis): service: no process for a connection, which is closed: %s\n", strerror(errno));
	if (pid != 0)
		return;
	signal(SIGCHLD, SIG_DFL); /* its own children are waited for */
	request_init(&base);
	base.foreign = q->foreign;
	base.uid = q->uid;
	base.gid = q->gid;
	base.no_default_config = q->no_default_config;
	base.config = q->config ? xstrdup(q->config) : NULL;
	_exit(config_defaults(&base, why, sizeof(why)) < 0 ? 1 : rpc_serve(&base, conn, true));
}

static int service_prepare(struct request *q, char *why, size_t n)
{
	int sock, r = request_dirs(q, why, n);

	if (r == 0 && q->work_dir && fchdir(q->work) < 0) {
		snprintf(why, n, "work directory %.900s: %s", q->work_dir, strerror(errno));
		r = -errno;
	}
	if (r < 0)
		return r;
	sock = service_listen(q, why, n);
	if (sock >= 0 && q->daemon)
		r = service_daemon(why, n);
	if (sock >= 0 && r == 0 && q->pidfile)
		r = pidfile_write(q, getpid(), why, n);
	if (sock >= 0 && r == 0)
		r = request_log_stderr(q, why, n);
	return r < 0 ? r : sock;
}

/* Connections that end make room. */
static bool is_short_of(int e)
{
	return e == EMFILE || e == ENFILE || e == ENOBUFS || e == ENOMEM;
}

int service_run(struct request *q)
{
	char why[WHY_MAX] = "";
	int sock = service_prepare(q, why, sizeof(why));

	if (sock < 0) {
		fprintf(stderr, "Error (stasis): %s\n", why);
		return 1;
	}
	signal(SIGCHLD, SIG_IGN); /* connections end by themselves */
	service_ready(q);
	for (;;) {
		int conn = fd_high(accept4(sock, NULL, NULL, SOCK_CLOEXEC));

		if (conn < 0 && is_short_of(errno))
			poll(NULL, 0, 100);
		else if (conn < 0 && errno != EINTR && errno != ECONNABORTED)
			break;
		if (conn >= 0)
			service_one(q, conn);
		fd_close(conn);
	}
	fprintf(stderr, "Error (stasis): service: accept: %s\n", strerror(errno));
	return 1;
}
