// SPDX-License-Identifier: Apache-2.0
/*
 * call: criu_local_dump() and the others: one request, the steps on the way, one answer. See criu.h for
 * what is returned; errno carries cr_errno of the answer.
 */
#define _GNU_SOURCE
#include "front/capi/capi.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define ANSWER_MAX (1 << 20)

/* a connection, while a call lasts */
struct link {
	int sock;
	pid_t pid; /* child to reap, or 0 */
};

/* descriptor that came with the step being told, or -1; criu_get_orphan_pts_master_fd() has no argument */
static int step_fd = -1;

int criu_get_orphan_pts_master_fd(void)
{
	return step_fd;
}

int criu_notify_pid(criu_notify_arg_t na)
{
	return na->has_pid ? na->pid : 0;
}

/* ---- the connection ---- */

/* In the child: become the service. What fails is told through err, which an exec closes. */
static void swrk_exec(const criu_opts *o, int sock, int err, bool away)
{
	const char *binary = o->binary ? o->binary : "criu";
	char number[16];
	sigset_t chld;
	int why;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_UNBLOCK, &chld, NULL);
	if (away) { /* the caller itself is to be dumped: we must not be of its tree */
		setsid();
		if (fork() != 0)
			_exit(0);
	}
	fcntl(sock, F_SETFD, 0);
	snprintf(number, sizeof(number), "%d", sock);
	execlp(binary, binary, "swrk", number, (char *)NULL);
	why = errno;
	if (write(err, &why, sizeof(why)) < 0)
		why = 0;
	_exit(1);
}

static int swrk_start(const criu_opts *o, bool away, struct link *l)
{
	int pair[2], err[2], why;
	ssize_t n;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -ECONNREFUSED;
	if (pipe2(err, O_CLOEXEC) < 0) {
		close(pair[0]);
		close(pair[1]);
		return -ECONNREFUSED;
	}
	l->pid = fork();
	if (l->pid == 0)
		swrk_exec(o, pair[1], err[1], away);
	close(pair[1]);
	close(err[1]);
	if (away && l->pid > 0) { /* what goes away must not wait for us as a zombie in the tree */
		while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	do
		n = l->pid < 0 ? -1 : read(err[0], &why, sizeof(why));
	while (n < 0 && l->pid > 0 && errno == EINTR);
	close(err[0]);
	if (away && l->pid > 0)
		l->pid = 0;
	l->sock = pair[0];
	return n == 0 ? 0 : -ECONNREFUSED;
}

static int service_connect(const criu_opts *o, struct link *l)
{
	const char *path = o->address ? o->address : "criu_service.socket";
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path))
		return -ECONNREFUSED;
	strcpy(a.sun_path, path);
	l->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (l->sock < 0 || connect(l->sock, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -ECONNREFUSED;
	return 0;
}

static int link_open(const criu_opts *o, bool away, struct link *l)
{
	l->sock = -1;
	l->pid = 0;
	switch (o->comm) {
	case CRIU_COMM_BIN:
		return swrk_start(o, away, l);
	case CRIU_COMM_SK:
		return service_connect(o, l);
	default:
		l->sock = o->fd;
		return l->sock < 0 ? -ECONNREFUSED : 0;
	}
}

static void link_close(const criu_opts *o, struct link *l)
{
	int keep = errno;

	if (l->sock >= 0 && o->comm != CRIU_COMM_FD)
		close(l->sock);
	while (l->pid > 0 && waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = keep;
}

/* ---- packets ---- */

static int link_send(struct link *l, const CriuReq *req)
{
	size_t len = criu_req__get_packed_size(req);
	uint8_t *buf = malloc(len ? len : 1);
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	criu_req__pack(req, buf);
	do
		n = send(l->sock, buf, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	free(buf);
	return n == (ssize_t)len ? 0 : -ECOMM;
}

static void step_fd_take(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    c->cmsg_len >= CMSG_LEN(sizeof(step_fd)))
			memcpy(&step_fd, CMSG_DATA(c), sizeof(step_fd));
}

static CriuResp *link_receive(struct link *l)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	CriuResp *resp;
	ssize_t n;

	do
		n = recv(l->sock, NULL, 0, MSG_PEEK | MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n <= 0 || n > ANSWER_MAX)
		return NULL;
	iov.iov_len = n;
	iov.iov_base = malloc(n);
	if (!iov.iov_base)
		return NULL;
	m.msg_control = control.space;
	m.msg_controllen = sizeof(control.space);
	step_fd = -1;
	n = recvmsg(l->sock, &m, MSG_CMSG_CLOEXEC);
	if (n >= 0)
		step_fd_take(&m);
	resp = n < 0 ? NULL : criu_resp__unpack(NULL, n, iov.iov_base);
	free(iov.iov_base);
	return resp;
}

/* ---- one request ---- */

/* A step: the callback's answer goes back; it is the call's result when it is not 0. */
static int step_answer(const criu_opts *o, struct link *l, const CriuResp *resp, int *said)
{
	CriuReq ack = CRIU_REQ__INIT;

	if (o->notify && resp->notify)
		*said = o->notify(resp->notify->script, resp->notify);
	ack.type = CRIU_REQ_TYPE__NOTIFY;
	ack.has_notify_success = true;
	ack.notify_success = *said == 0;
	return link_send(l, &ack);
}

/* The answer to req, owned by the caller, or NULL with the result in *r. */
static CriuResp *link_ask(const criu_opts *o, struct link *l, const CriuReq *req, int *r)
{
	CriuResp *resp = NULL;
	int said = 0;

	*r = link_send(l, req);
	while (*r == 0) {
		resp = link_receive(l);
		if (!resp) {
			*r = said ? said : -ECOMM;
			return NULL;
		}
		if (resp->type != CRIU_REQ_TYPE__NOTIFY)
			break;
		*r = step_answer(o, l, resp, &said);
		criu_resp__free_unpacked(resp, NULL);
		resp = NULL;
	}
	if (!resp)
		return NULL;
	if (resp->type == req->type && resp->success)
		return resp;
	if (resp->has_cr_errno)
		errno = resp->cr_errno;
	*r = said			    ? said :
	     resp->type == req->type	    ? -EBADE :
	     resp->type == CRIU_REQ_TYPE__EMPTY ? -EINVAL :
					      -EBADMSG;
	criu_resp__free_unpacked(resp, NULL);
	return NULL;
}

static CriuResp *ask(const criu_opts *o, const CriuReq *req, bool away, int *r)
{
	CriuResp *resp = NULL;
	struct link l;

	*r = link_open(o, away, &l);
	if (*r == 0)
		resp = link_ask(o, &l, req, r);
	link_close(o, &l);
	return resp;
}

/* ---- the calls ---- */

int criu_local_check(criu_opts *opts)
{
	CriuReq req = CRIU_REQ__INIT;
	CriuResp *resp;
	int r;

	req.type = CRIU_REQ_TYPE__CHECK;
	resp = ask(opts, &req, false, &r);
	if (resp)
		criu_resp__free_unpacked(resp, NULL);
	return r;
}

static int dump_as(criu_opts *opts, CriuReqType type)
{
	CriuReq req = CRIU_REQ__INIT;
	CriuResp *resp;
	int r;

	req.type = type;
	req.opts = opts->rpc;
	resp = ask(opts, &req, !opts->rpc->has_pid, &r);
	if (!resp)
		return r;
	r = resp->dump && resp->dump->has_restored && resp->dump->restored;
	criu_resp__free_unpacked(resp, NULL);
	return r;
}

int criu_local_dump(criu_opts *opts)
{
	return dump_as(opts, CRIU_REQ_TYPE__DUMP);
}

int criu_local_pre_dump(criu_opts *opts)
{
	return dump_as(opts, CRIU_REQ_TYPE__SINGLE_PRE_DUMP);
}

int criu_local_dump_iters(criu_opts *opts, int (*more)(criu_predump_info pi))
{
	CriuReq req = CRIU_REQ__INIT;
	struct link l;
	int r, go = 1;

	if (!opts->rpc->has_pid)
		return -EINVAL;
	req.opts = opts->rpc;
	r = link_open(opts, false, &l);
	while (r == 0 && go > 0) {
		CriuResp *resp;

		req.type = CRIU_REQ_TYPE__PRE_DUMP;
		resp = link_ask(opts, &l, &req, &r);
		if (!resp)
			break;
		criu_resp__free_unpacked(resp, NULL);
		go = more(NULL);
	}
	if (r == 0 && go == 0) {
		CriuResp *resp;

		req.type = CRIU_REQ_TYPE__DUMP;
		resp = link_ask(opts, &l, &req, &r);
		if (resp)
			criu_resp__free_unpacked(resp, NULL);
	}
	link_close(opts, &l);
	return r == 0 && go < 0 ? go : r;
}

static int restore_as(criu_opts *opts)
{
	CriuReq req = CRIU_REQ__INIT;
	CriuResp *resp;
	int r;

	req.type = CRIU_REQ_TYPE__RESTORE;
	req.opts = opts->rpc;
	resp = ask(opts, &req, false, &r);
	if (!resp)
		return r;
	r = resp->restore ? resp->restore->pid : -EBADMSG;
	criu_resp__free_unpacked(resp, NULL);
	return r;
}

int criu_local_restore(criu_opts *opts)
{
	return restore_as(opts);
}

/* The root task becomes our child, so whoever makes it must be our child too. */
int criu_local_restore_child(criu_opts *opts)
{
	enum criu_service_comm comm = opts->comm;
	bool had = opts->rpc->has_rst_sibling, was = opts->rpc->rst_sibling;
	int r;

	opts->comm = CRIU_COMM_BIN;
	opts->rpc->has_rst_sibling = opts->rpc->rst_sibling = true;
	r = restore_as(opts);
	opts->rpc->has_rst_sibling = had;
	opts->rpc->rst_sibling = was;
	opts->comm = comm;
	return r;
}

int criu_local_get_version(criu_opts *opts)
{
	CriuReq req = CRIU_REQ__INIT;
	CriuResp *resp;
	int r;

	req.type = CRIU_REQ_TYPE__VERSION;
	resp = ask(opts, &req, false, &r);
	if (!resp)
		return r;
	r = -EBADMSG;
	if (resp->version) {
		r = resp->version->major_number * 10000 + resp->version->minor_number * 100 +
		    (resp->version->has_sublevel ? resp->version->sublevel : 0);
		if (resp->version->gitid) /* what is between two versions counts as the later */
			r = r - r % 100 + 100;
	}
	criu_resp__free_unpacked(resp, NULL);
	return r;
}

int criu_local_check_version(criu_opts *opts, int minimum)
{
	int r = criu_local_get_version(opts);

	return r < 0 ? r : r >= minimum;
}

int criu_local_feature_check(criu_opts *opts, struct criu_feature_check *features, size_t size)
{
	struct criu_feature_check f = { 0 };
	CriuFeatures wanted = CRIU_FEATURES__INIT;
	CriuReq req = CRIU_REQ__INIT;
	CriuResp *resp;
	int r;

	if (!features || size > sizeof(f))
		return -1;
	memcpy(&f, features, size);
	wanted.has_mem_track = wanted.mem_track = f.mem_track;
	wanted.has_lazy_pages = wanted.lazy_pages = f.lazy_pages;
	wanted.has_pidfd_store = wanted.pidfd_store = f.pidfd_store;
	req.type = CRIU_REQ_TYPE__FEATURE_CHECK;
	req.features = &wanted;
	resp = ask(opts, &req, false, &r);
	if (!resp)
		return r;
	if (resp->features) {
		f.mem_track = resp->features->has_mem_track && resp->features->mem_track;
		f.lazy_pages = resp->features->has_lazy_pages && resp->features->lazy_pages;
		f.pidfd_store = resp->features->has_pidfd_store && resp->features->pidfd_store;
		memcpy(features, &f, size);
	}
	criu_resp__free_unpacked(resp, NULL);
	return r;
}
