// SPDX-License-Identifier: Apache-2.0
/* script: the steps of a job, told to the caller by RPC and to the action scripts. */
#include "front/request.h"

#include "base/res.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* In the child: nothing of ours but the images directory by name, and the log; the caller's limits. */
static void script_exec(const struct request *q, const char *path, char *const *env)
{
	char *argv[] = { (char *)path, NULL };
	struct limits limits = q->limits;
	sigset_t none;

	if (q->foreign && geteuid() == 0 && (setgroups(0, NULL) < 0 ||
					     setresgid(q->gid, q->gid, q->gid) < 0 ||
					     setresuid(q->uid, q->uid, q->uid) < 0))
		_exit(127);
	if (q->work >= 0 && fchdir(q->work) < 0)
		_exit(127);
	if (q->log_fd >= 0 && (dup2(q->log_fd, 1) < 0 || dup2(q->log_fd, 2) < 0))
		_exit(127);
	close(0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	limits_back(&limits);
	execve(path, argv, (char **)env);
	_exit(127);
}

static int script_one(const struct request *q, const char *path, char *const *env)
{
	pid_t pid = fork(), got;
	int status = 0;

	if (pid == 0)
		script_exec(q, path, env);
	if (pid < 0)
		return -errno;
	do
		got = waitpid(pid, &status, 0);
	while (got < 0 && errno == EINTR);
	return got == pid && status == 0 ? 0 : -ECANCELED;
}

extern char **environ;

/* The caller's environment and the three variables; both arrays and strings are the caller's to free. */
static char **script_env(const struct request *q, const char *step, char *own[3])
{
	size_t n = 0, k = 0;
	char **env;

	while (environ[n])
		n++;
	env = xalloc((n + 4) * sizeof(*env));
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "CRTOOLS_", 8))
			env[k++] = environ[i];
	own[0] = env[k++] = xprintf("CRTOOLS_SCRIPT_ACTION=%s", step);
	own[1] = env[k++] = xprintf("CRTOOLS_IMAGE_DIR=/proc/%d/fd/%d", getpid(), q->images);
	own[2] = q->root > 0 ? xprintf("CRTOOLS_INIT_PID=%d", q->root) : NULL;
	if (own[2])
		env[k++] = own[2];
	return env;
}

int script_run(struct request *q, const char *step)
{
	char *own[3];
	own_mem char **env = q->scripts.n ? script_env(q, step, own) : NULL;
	int r = 0;

	for (size_t i = q->scripts.n; r == 0 && i-- > 0;)
		r = script_one(q, q->scripts.v[i], env);
	for (size_t i = 0; env && i < 3; i++)
		free(own[i]);
	return r;
}

int step_tell(void *arg, const char *step, pid_t pid, int fd)
{
	struct request *q = arg;
	bool rpc_only = !strcmp(step, "query-ext-files") || !strcmp(step, "orphan-pts-master");
	int r = 0;

	if (pid > 0)
		q->root = pid;
	/* the tasks stand still now: what they are will not change any more */
	if (q->foreign && q->dumping && !strcmp(step, "query-ext-files")) {
		char why[WHY_MAX];

		r = owner_check(q, q->opts->pid, why, sizeof(why));
	}
	if (r == 0 && q->rpc >= 0)
		r = rpc_notify(q, step, pid, fd);
	if (r == 0 && q->watch)
		r = q->watch(q->watch_arg, step);
	if (r == 0 && !rpc_only)
		r = script_run(q, step);
	if (r < 0 && !strcmp(step, "post-dump"))
		q->post_dump_failed = true;
	return r;
}
