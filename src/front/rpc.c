// SPDX-License-Identifier: Apache-2.0
/* rpc: criu's protocol: one protobuf message a packet on a SEQPACKET socket. */
#include "front/request.h"

#include "base/res.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#define REQUEST_MAX (1u << 20)

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

static int reply(int sock, const CriuResp *resp)
{
	size_t n = criu_resp__get_packed_size(resp);
	own_mem uint8_t *buf = xalloc(n);

	criu_resp__pack(resp, buf);
	return send(sock, buf, n, MSG_NOSIGNAL) == (ssize_t)n ? 0 : -errno;
}

/* A step is told; the caller answers whether it may go on. */
static int notify_rpc(void *arg, const char *step, pid_t pid, int fd)
{
	int sock = *(int *)arg, r;
	CriuResp resp = CRIU_RESP__INIT;
	CriuNotify n = CRIU_NOTIFY__INIT;
	CriuReq *req;

	resp.type = CRIU_REQ_TYPE__NOTIFY;
	resp.success = true;
	n.script = (char *)step;
	n.has_pid = pid > 0;
	n.pid = pid;
	resp.notify = &n;
	r = reply(sock, &resp);
	req = r == 0 ? receive(sock) : NULL;
	if (!req)
		return -EPIPE;
	r = req->type == CRIU_REQ_TYPE__NOTIFY && req->notify_success ? 0 : -ECANCELED;
	criu_req__free_unpacked(req, NULL);
	return r;
}

/* Numbers in a request are the peer's descriptors, not ours. */
static int peer_dir(int sock, int fd)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);
	char path[64];

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", cred.pid, fd);
	fd = fd_high(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	return fd < 0 ? -errno : fd;
}

static const char *unsupported(const CriuOpts *o)
{
	return o->has_lazy_pages && o->lazy_pages   ? "lazy_pages"
	       : o->ps				    ? "page server"
	       : o->parent_img			    ? "parent_img"
	       : o->n_join_ns			    ? "join_ns"
						    : NULL;
}

static int request_fill(struct request *q, int *sock, const CriuOpts *o, char *why, size_t n)
{
	q->opts = *o;
	if (o->log_file && strchr(o->log_file, '/')) {
		snprintf(why, n, "No subdirs are allowed in log_file name");
		return -EBADRQC;
	}
	if (unsupported(o)) {
		snprintf(why, n, "%s is not supported yet; nothing was done", unsupported(o));
		return -EBADRQC;
	}
	q->log_file = o->has_log_to_stderr && o->log_to_stderr ? NULL
		      : o->log_file			       ? o->log_file
							       : "criu.log";
	q->images_dir = o->images_dir ? o->images_dir : "";
	if (o->images_dir_fd >= 0)
		q->images = peer_dir(*sock, o->images_dir_fd);
	if (o->has_work_dir_fd && o->work_dir_fd >= 0)
		q->work = peer_dir(*sock, o->work_dir_fd);
	if (request_dirs(q, why, n) < 0)
		return -EBADRQC;
	if (o->has_notify_scripts && o->notify_scripts)
		q->notify = (struct notify){ notify_rpc, sock };
	return 0;
}

static void answer(CriuResp *resp, int r, char *why)
{
	resp->success = r == 0;
	if (r == 0)
		return;
	resp->cr_errmsg = why;
	if (r == -ESRCH || r == -EEXIST || r == -EBADRQC) {
		resp->has_cr_errno = true;
		resp->cr_errno = -r;
	}
}

static int serve_job(int sock, const CriuReq *req)
{
	struct request q = REQUEST_INIT;
	CriuResp resp = CRIU_RESP__INIT;
	CriuDumpResp dump = CRIU_DUMP_RESP__INIT;
	CriuRestoreResp restore = CRIU_RESTORE_RESP__INIT;
	char why[1000] = "the request has no options";
	pid_t root = -1;
	int r = req->opts ? request_fill(&q, &sock, req->opts, why, sizeof(why)) : -EBADRQC;

	resp.type = req->type;
	if (r == 0 && req->type == CRIU_REQ_TYPE__DUMP && !q.opts.has_pid) {
		snprintf(why, sizeof(why), "a task cannot dump itself yet; give the pid of a tree");
		r = -EBADRQC;
	}
	if (r == 0)
		r = req->type == CRIU_REQ_TYPE__DUMP ? request_dump(&q, why, sizeof(why))
						     : request_restore(&q, &root, why, sizeof(why));
	if (req->type == CRIU_REQ_TYPE__DUMP) {
		resp.dump = &dump;
	} else {
		restore.pid = r == 0 ? root : -1;
		resp.restore = &restore;
	}
	answer(&resp, r, why);
	request_close(&q);
	return reply(sock, &resp) == 0 && r == 0 ? 0 : 1;
}

static int serve_small(int sock, const CriuReq *req)
{
	CriuResp resp = CRIU_RESP__INIT;
	CriuVersion version = CRIU_VERSION__INIT;
	CriuFeatures features = CRIU_FEATURES__INIT;
	int r = 0;

	resp.type = req->type;
	resp.success = true;
	switch (req->type) {
	case CRIU_REQ_TYPE__VERSION:
		version.major_number = 4;
		version.minor_number = 2;
		resp.version = &version;
		break;
	case CRIU_REQ_TYPE__FEATURE_CHECK:
		resp.success = req->features != NULL;
		features.has_mem_track = features.has_lazy_pages = features.has_pidfd_store = true;
		resp.features = req->features ? &features : NULL;
		break;
	default:
		resp.type = CRIU_REQ_TYPE__EMPTY;
		resp.success = false;
		resp.cr_errmsg = "this type of request is not supported yet";
		r = 255;
	}
	return reply(sock, &resp) < 0 ? 255 : r;
}

int rpc_serve(int sock)
{
	int r = 255;

	for (bool more = true; more;) {
		CriuReq *req = receive(sock);

		if (!req)
			return r;
		more = req->has_keep_open && req->keep_open;
		if (req->type == CRIU_REQ_TYPE__DUMP || req->type == CRIU_REQ_TYPE__RESTORE) {
			more = false;
			r = serve_job(sock, req);
		} else {
			r = serve_small(sock, req);
		}
		criu_req__free_unpacked(req, NULL);
	}
	return r;
}
