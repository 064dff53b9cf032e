// SPDX-License-Identifier: Apache-2.0
/* rpc: criu's protocol: one protobuf message a packet on a SEQPACKET socket. */
#include "front/options.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define REQUEST_MAX (1u << 20)

/* ---- packets ---- */

static CriuReq *receive(int sock)
{
	own_mem uint8_t *buf = NULL;
	ssize_t n;

	do
		n = recv(sock, NULL, 0, MSG_PEEK | MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n <= 0 || n > (ssize_t)REQUEST_MAX)
		return NULL;
	buf = xalloc(n);
	if (recv(sock, buf, n, 0) != n)
		return NULL;
	return criu_req__unpack(NULL, n, buf);
}

/* fd: handed over with the answer, or -1 */
static int reply_fd(int sock, const CriuResp *resp, int fd)
{
	size_t n = criu_resp__get_packed_size(resp);
	own_mem uint8_t *buf = xalloc(n);
	union {
		char space[CMSG_SPACE(sizeof(fd))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { buf, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	criu_resp__pack(resp, buf);
	if (fd >= 0) {
		struct cmsghdr *c;

		m.msg_control = control.space;
		m.msg_controllen = sizeof(control.space);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		sent = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)n ? 0 : -EPIPE;
}

static int reply(int sock, const CriuResp *resp)
{
	return reply_fd(sock, resp, -1);
}

/* Keys that the caller adds when it is asked for what is open to the outside. */
static int more_external(struct request *q, const CriuOpts *from)
{
	CriuOpts *o = q->opts;

	for (size_t i = 0; from && i < from->n_external; i++) {
		o->external = xgrow(o->external, (o->n_external + 1) * sizeof(*o->external));
		o->external[o->n_external++] = xstrdup(from->external[i]);
	}
	return 0;
}

/* A step is told; the caller answers whether it may go on. */
int rpc_notify(struct request *q, const char *step, pid_t pid, int fd)
{
	CriuResp resp = CRIU_RESP__INIT;
	CriuNotify n = CRIU_NOTIFY__INIT;
	CriuReq *req;
	int r;

	if (q->self && strcmp(step, "pre-dump"))
		return 0;
	resp.type = CRIU_REQ_TYPE__NOTIFY;
	resp.success = true;
	n.script = (char *)step;
	n.has_pid = pid > 0;
	n.pid = pid;
	resp.notify = &n;
	r = reply_fd(q->rpc, &resp, fd);
	req = r == 0 ? receive(q->rpc) : NULL;
	if (!req)
		return -EPIPE;
	r = req->type == CRIU_REQ_TYPE__NOTIFY && req->notify_success ? 0 : -ECANCELED;
	if (r == 0 && !strcmp(step, "query-ext-files"))
		r = more_external(q, req->opts);
	criu_req__free_unpacked(req, NULL);
	return r;
}

/* ---- a request becomes options ---- */

/* Numbers in a request are the peer's descriptors, not ours. */
static int peer_open(int sock, int fd, int flags, const char *what, char *why, size_t n)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	char path[64];

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", cred.pid, fd);
	fd = fd_high(open(path, flags | O_CLOEXEC));
	if (fd < 0)
		snprintf(why, n, "%s: descriptor %s of the caller: %s", what, path, strerror(errno));
	return fd;
}

static void text_move(char **at, const char *text)
{
	free(*at);
	*at = text ? xstrdup(text) : NULL;
}

static int fill_dirs(struct request *q, int sock, const CriuOpts *o, char *why, size_t n)
{
	if (o->images_dir_fd >= 0) {
		text_move(&q->images_dir, NULL);
		q->images = peer_open(sock, o->images_dir_fd, O_RDONLY | O_DIRECTORY, "images_dir_fd", why, n);
		if (q->images < 0)
			return -EBADRQC;
	} else if (o->images_dir) {
		text_move(&q->images_dir, o->images_dir);
	}
	if (o->has_work_dir_fd && o->work_dir_fd >= 0) {
		text_move(&q->work_dir, NULL);
		q->work = peer_open(sock, o->work_dir_fd, O_RDONLY | O_DIRECTORY, "work_dir_fd", why, n);
		if (q->work < 0)
			return -EBADRQC;
	}
	return 0;
}

/* Only page servers would write there; the caller still hears of a wrong one. */
static int check_status_fd(int sock, const CriuOpts *o, char *why, size_t n)
{
	int fd = o->has_status_fd ? peer_open(sock, o->status_fd, O_WRONLY, "status_fd", why, n) : -1;

	fd_close(fd);
	return fd < 0 && o->has_status_fd ? -EBADRQC : 0;
}

/* Directories that a configuration file names go before those of the request. */
static int fill_config(struct request *q, const char *path, char *why, size_t n)
{
	char *images = take_mem(q->images_dir), *work = take_mem(q->work_dir);
	int r = config_file(q, path, why, n);

	if (q->images_dir) {
		fd_close(q->images);
		q->images = -1;
	}
	if (q->work_dir) {
		fd_close(q->work);
		q->work = -1;
	}
	text_move(&q->images_dir, q->images_dir ? xstrdup(q->images_dir) : NULL);
	if (!q->images_dir)
		q->images_dir = take_mem(images);
	if (!q->work_dir)
		q->work_dir = take_mem(work);
	free(images);
	free(work);
	return r < 0 ? -EBADRQC : 0;
}

static int fill_checks(const CriuOpts *o, bool service, char *why, size_t n)
{
	const char *what = NULL;

	if (o->log_file && strchr(o->log_file, '/')) {
		snprintf(why, n, "No subdirs are allowed in log_file name");
		return -EBADRQC;
	}
	if (o->has_empty_ns && o->empty_ns & ~(uint32_t)CLONE_NEWNET)
		what = "empty_ns: only the network namespace can be left empty";
	else if (service && o->has_rst_sibling && o->rst_sibling)
		what = "rst_sibling: only a caller that starts criu swrk can have the task as its child";
	else if (service && o->n_inherit_fd)
		what = "inherit_fd: only a caller that starts criu swrk can pass descriptors";
	else if (service && o->ps && o->ps->has_fd)
		what = "ps.fd: only a caller that starts criu swrk can pass descriptors";
	else if (o->has_manage_cgroups_mode && o->manage_cgroups_mode > CRIU_CG_MODE__DEFAULT)
		what = "manage_cgroups_mode: there is no such mode";
	else if (o->has_network_lock && (o->network_lock < CRIU_NETWORK_LOCK_METHOD__IPTABLES ||
					 o->network_lock > CRIU_NETWORK_LOCK_METHOD__SKIP))
		what = "network_lock: there is no such method";
	for (size_t i = 0; !what && i < o->n_inherit_fd; i++)
		if (o->inherit_fd[i]->fd < 0 || fcntl(o->inherit_fd[i]->fd, F_GETFD) < 0)
			what = "inherit_fd: a descriptor is not open";
	if (what)
		snprintf(why, n, "%s", what);
	return what ? -EBADRQC : 0;
}

static int fill(struct request *q, int sock, const CriuOpts *o, bool service, char *why, size_t n)
{
	const char *conflict;
	int r = fill_checks(o, service, why, n);

	if (r == 0)
		r = request_merge(q, o);
	if (r == 0)
		r = fill_dirs(q, sock, o, why, n);
	if (r == 0)
		r = check_status_fd(sock, o, why, n);
	if (r < 0)
		return -EBADRQC;
	if (o->has_log_to_stderr && o->log_to_stderr)
		text_move(&q->opts->log_file, NULL);
	else if (!q->opts->log_file)
		q->opts->log_file = xstrdup("criu.log");
	if (o->config_file && fill_config(q, o->config_file, why, n) < 0)
		return -EBADRQC;
	if (q->images < 0 && !q->images_dir) {
		snprintf(why, n, "images_dir_fd: the request does not say where the images are");
		return -EBADRQC;
	}
	if (request_dirs(q, why, n) < 0)
		return -EBADRQC;
	conflict = request_conflict(q);
	if (conflict) {
		snprintf(why, n, "%s", conflict);
		return -EBADRQC;
	}
	if (q->opts->has_notify_scripts && q->opts->notify_scripts)
		q->rpc = sock;
	return 0;
}

/* ---- answers ---- */

/* Length of the UTF-8 sequence at p, 0 if it is none. */
static size_t utf8_len(const unsigned char *p)
{
	size_t n = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* Names of files may be any bytes; a message that is not text would be thrown away as a whole. */
static void utf8_only(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p;) {
		size_t n = utf8_len(p);

		if (!n)
			*p = '?';
		p += n ? n : 1;
	}
}

static void answer(CriuResp *resp, int r, char *why)
{
	resp->success = r == 0;
	if (r == 0)
		return;
	utf8_only(why);
	text_clean(why);
	resp->cr_errmsg = why;
	if (r == -ESRCH || r == -EEXIST || r == -EBADRQC || r == -ENOTSUP) {
		resp->has_cr_errno = true;
		resp->cr_errno = -r;
	}
}

/* Who asks: the peer of a service's connection; in swrk whoever started us. */
static void fill_owner(struct request *q, int sock, bool service)
{
	struct ucred cred = { .uid = -1, .gid = -1 };
	socklen_t len = sizeof(cred);

	if (!service)
		return;
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.uid != 0) {
		q->foreign = true;
		q->uid = cred.uid;
		q->gid = cred.gid;
	}
}

/* Without a pid the caller means itself. */
static int dump_whom(struct request *q, int sock, char *why, size_t n)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.pid <= 0) {
		if (q->opts->has_pid)
			return 0;
		snprintf(why, n, "pid: the request has none, and the caller's cannot be seen here");
		return -EBADRQC;
	}
	q->caller = sock;
	if (!q->opts->has_pid)
		q->opts->pid = cred.pid;
	q->opts->has_pid = true;
	q->self = q->opts->pid == cred.pid;
	return 0;
}

static int job_prepare(struct request *q, int sock, const CriuReq *req, bool service, char *why, size_t n)
{
	int peer = service ? sock : -1, r;

	fill_owner(q, sock, service);
	if (!req->opts) {
		snprintf(why, n, "the request has no options");
		return -EBADRQC;
	}
	r = req->type == CRIU_REQ_TYPE__DUMP ? owner_assume(q, peer, why, n) : owner_become(q, peer, why, n);
	if (r == 0)
		r = fill(q, sock, req->opts, service, why, n);
	if (r == 0 && req->type == CRIU_REQ_TYPE__DUMP)
		r = dump_whom(q, sock, why, n);
	if (r == 0 && req->type == CRIU_REQ_TYPE__DUMP)
		r = owner_check(q, q->opts->pid, why, n);
	return r;
}

/* exec_cmd takes our place; what it prints goes where the log is */
static int job_exec(struct request *q)
{
	char why[WHY_MAX];
	int log = q->opts->log_file ? openat(q->work, q->opts->log_file, O_WRONLY | O_APPEND) : -1;

	if (log >= 0) {
		dup2(log, 1);
		dup2(log, 2);
		close(log);
	}
	request_exec(q, why, sizeof(why));
	fprintf(stderr, "Error (stasis): %s\n", why);
	return 1;
}

/* Has the caller ended with the tree? Then nobody waits for the answer; its copy will find one. */
static bool caller_gone(const struct request *q, const CriuReq *req, int r)
{
	return req->type == CRIU_REQ_TYPE__DUMP && q->self && r == 0 && !q->opts->leave_running &&
	       !q->opts->leave_stopped;
}

struct restored {
	int sock, sent; /* sent: 0 if the answer went out */
};

static void tell_restored(void *arg, pid_t root)
{
	struct restored *a = arg;
	CriuResp resp = CRIU_RESP__INIT;
	CriuRestoreResp restore = CRIU_RESTORE_RESP__INIT;

	resp.type = CRIU_REQ_TYPE__RESTORE;
	resp.restore = &restore;
	restore.pid = root;
	answer(&resp, 0, NULL);
	a->sent = reply(a->sock, &resp);
}

static int serve_job(const struct request *base, int sock, const CriuReq *req, bool service)
{
	struct request q;
	struct restored restored = { sock, 1 };
	CriuResp resp = CRIU_RESP__INIT;
	CriuDumpResp dump = CRIU_DUMP_RESP__INIT;
	CriuRestoreResp restore = CRIU_RESTORE_RESP__INIT;
	char why[WHY_MAX] = "";
	pid_t root = -1;
	int r, sent;

	request_copy(&q, base);
	q.done = tell_restored;
	q.done_arg = &restored;
	r = job_prepare(&q, sock, req, service, why, sizeof(why));
	resp.type = req->type;
	if (r == 0)
		r = req->type == CRIU_REQ_TYPE__DUMP ? request_dump(&q, why, sizeof(why))
						     : request_restore(&q, &root, why, sizeof(why));
	if (req->type == CRIU_REQ_TYPE__DUMP) {
		dump.has_restored = true;
		resp.dump = &dump;
	} else {
		restore.pid = -1;
		resp.restore = &restore;
	}
	answer(&resp, r, why);
	if (r == 0 && req->type == CRIU_REQ_TYPE__RESTORE)
		sent = restored.sent;
	else
		sent = caller_gone(&q, req, r) ? 0 : reply(sock, &resp);
	if (r == 0 && req->type == CRIU_REQ_TYPE__RESTORE && q.opts->n_exec_cmd)
		r = job_exec(&q);
	request_close(&q);
	return sent == 0 && r == 0 ? 0 : 1;
}

static const char *not_yet(CriuReqType type)
{
	switch (type) {
	case CRIU_REQ_TYPE__PRE_DUMP:
	case CRIU_REQ_TYPE__SINGLE_PRE_DUMP:
		return "pre-dump is not supported yet; nothing was done";
	case CRIU_REQ_TYPE__PAGE_SERVER:
	case CRIU_REQ_TYPE__PAGE_SERVER_CHLD:
		return "page-server is not supported yet; nothing was done";
	default:
		return NULL;
	}
}

static int serve_wait(int sock, const CriuReq *req, CriuResp *resp)
{
	int status = 0;
	pid_t got = -1;

	if (req->has_pid && req->pid && req->pid <= INT32_MAX)
		do
			got = waitpid(req->pid, &status, 0);
		while (got < 0 && errno == EINTR);
	resp->success = got > 0;
	resp->has_status = got > 0;
	resp->status = status;
	return reply(sock, resp) < 0 ? 255 : 0;
}

static int serve_check(const struct request *base, int sock, CriuResp *resp)
{
	struct request q;
	char why[WHY_MAX] = "";
	int r;

	request_copy(&q, base);
	r = request_check(&q, why, sizeof(why));
	resp->success = r == 0;
	resp->cr_errmsg = r < 0 ? why : NULL;
	request_close(&q);
	return reply(sock, resp) < 0 ? 255 : 0;
}

static int serve_cpuinfo(const struct request *base, int sock, const CriuReq *req, bool service, CriuResp *resp)
{
	struct request q;
	char why[WHY_MAX] = "";
	int r;

	request_copy(&q, base);
	r = job_prepare(&q, sock, req, service, why, sizeof(why));
	if (r == 0)
		r = request_cpuinfo(&q, req->type == CRIU_REQ_TYPE__CPUINFO_CHECK, why, sizeof(why));
	answer(resp, r, why);
	request_close(&q);
	return reply(sock, resp) < 0 ? 255 : 0;
}

static int serve_version(int sock, CriuResp *resp)
{
	CriuVersion version = CRIU_VERSION__INIT;

	version.major_number = 4;
	version.minor_number = 2;
	resp->version = &version;
	return reply(sock, resp) < 0 ? 255 : 0;
}

/* True only for what was asked for and is there; none of the three is there yet. */
static int serve_features(int sock, const CriuReq *req, CriuResp *resp)
{
	CriuFeatures features = CRIU_FEATURES__INIT;

	features.has_mem_track = features.has_lazy_pages = features.has_pidfd_store = true;
	resp->success = req->features != NULL;
	resp->features = req->features ? &features : NULL;
	return reply(sock, resp) < 0 ? 255 : 0;
}

static int serve_small(const struct request *base, int sock, const CriuReq *req, bool service)
{
	CriuResp resp = CRIU_RESP__INIT;

	resp.type = req->type;
	resp.success = true;
	switch (req->type) {
	case CRIU_REQ_TYPE__VERSION:
		return serve_version(sock, &resp);
	case CRIU_REQ_TYPE__FEATURE_CHECK:
		return serve_features(sock, req, &resp);
	case CRIU_REQ_TYPE__CHECK:
		return serve_check(base, sock, &resp);
	case CRIU_REQ_TYPE__WAIT_PID:
		return serve_wait(sock, req, &resp);
	case CRIU_REQ_TYPE__CPUINFO_DUMP:
	case CRIU_REQ_TYPE__CPUINFO_CHECK:
		return serve_cpuinfo(base, sock, req, service, &resp);
	default:
		resp.success = false;
		resp.cr_errmsg = (char *)not_yet(req->type);
		if (resp.cr_errmsg)
			return reply(sock, &resp) < 0 ? 255 : 1;
		resp.type = CRIU_REQ_TYPE__EMPTY;
		resp.cr_errmsg = "this is no request";
		reply(sock, &resp);
		return 255;
	}
}

static bool is_job(const CriuReq *req)
{
	return req->type == CRIU_REQ_TYPE__DUMP || req->type == CRIU_REQ_TYPE__RESTORE;
}

/* Types after which the connection may stay open. */
static bool may_stay(CriuReqType type)
{
	switch (type) {
	case CRIU_REQ_TYPE__PAGE_SERVER:
	case CRIU_REQ_TYPE__PAGE_SERVER_CHLD:
	case CRIU_REQ_TYPE__CPUINFO_DUMP:
	case CRIU_REQ_TYPE__CPUINFO_CHECK:
	case CRIU_REQ_TYPE__FEATURE_CHECK:
	case CRIU_REQ_TYPE__VERSION:
	case CRIU_REQ_TYPE__WAIT_PID:
		return true;
	default:
		return false;
	}
}

int rpc_serve(const struct request *base, int sock, bool service)
{
	int r = 255;

	for (bool more = true; more;) {
		CriuReq *req = receive(sock);

		if (!req) /* after a served request the end of the connection is no failure */
			return r;
		more = req->has_keep_open && req->keep_open;
		if (more && !may_stay(req->type))
			r = 1, more = false;
		else if (is_job(req))
			r = serve_job(base, sock, req, service);
		else
			r = serve_small(base, sock, req, service);
		criu_req__free_unpacked(req, NULL);
	}
	return r;
}
