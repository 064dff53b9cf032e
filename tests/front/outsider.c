// SPDX-License-Identifier: Apache-2.0
/*
 * outsider: a program that knows libcriu by its header and -lcriu only. outsider BINARY DIR PID: every
 * call, judged here; the first that is wrong is named.
 */
#include <criu.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(x) \
	do { \
		if (!(x)) { \
			fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #x, errno); \
			exit(1); \
		} \
	} while (0)

static char steps[500];
static const char *refuse;
static int told_pid;

static int step(char *action, criu_notify_arg_t na)
{
	strcat(strcat(steps, action), " ");
	if (criu_notify_pid(na))
		told_pid = criu_notify_pid(na);
	MUST(criu_get_orphan_pts_master_fd() == -1);
	return refuse && !strcmp(refuse, action) ? -77 : 0;
}

static void start(const char *binary, int dir)
{
	MUST(criu_init_opts() == 0);
	MUST(criu_set_service_binary(binary) == 0);
	criu_set_images_dir_fd(dir);
	criu_set_log_level(CRIU_LOG_DEBUG);
	MUST(criu_set_log_file("lib.log") == 0);
	steps[0] = 0;
	told_pid = 0;
	refuse = NULL;
}

static void small(const char *binary, int dir)
{
	struct criu_feature_check f = { .mem_track = true, .lazy_pages = true, .pidfd_store = true };

	start(binary, dir);
	MUST(criu_check() == 0);
	MUST(criu_get_version() == 40200);
	MUST(criu_check_version(40200) == 1 && criu_check_version(40201) == 0);
	MUST(criu_feature_check(&f, sizeof(f)) == 0);
	MUST(criu_feature_check(&f, sizeof(f.mem_track)) == 0);
	MUST(criu_feature_check(&f, sizeof(f) + 1) == -1);
	MUST(!strcmp(criu_lib_version, CRIU_VERSION) && CRIU_VERSION_MAJOR == 4 && CRIU_VERSION_MINOR == 2);
	MUST(criu_set_service_binary("/nonexistent") == 0);
	MUST(criu_get_version() == -ECONNREFUSED);
	MUST(criu_set_service_address("/nonexistent") == 0);
	MUST(criu_get_version() == -ECONNREFUSED);
	MUST(criu_add_inherit_fd(1, "x") == -1);
	criu_set_ext_unix_sk(false);
	MUST(criu_add_unix_sk(5) == -1);
	MUST(criu_set_network_lock(9) == -1 && criu_set_network_lock(CRIU_NETWORK_LOCK_SKIP) == 0);
	MUST(criu_set_page_server_address_port("::1", 1) == 0);
}

static void dump(const char *binary, int dir, int pid)
{
	start(binary, dir);
	criu_set_pid(0x3fffff);
	errno = 0;
	MUST(criu_dump() == -EBADE && errno == ESRCH);
	criu_set_pid(pid);
	MUST(criu_pre_dump() == -EBADE);
	criu_set_notify_cb(step);
	refuse = "pre-dump";
	MUST(criu_dump() == -77);
	start(binary, dir);
	criu_set_pid(pid);
	criu_set_leave_running(true);
	MUST(criu_dump() == 0);
	errno = 0;
	MUST(criu_restore() == -EBADE && errno == EEXIST);
	start(binary, dir);
	criu_set_pid(pid);
	criu_set_notify_cb(step);
	MUST(criu_dump() == 0);
	MUST(!strcmp(steps, "pre-dump query-ext-files post-dump "));
}

/* the same again by options of our own */
static void local(const char *binary, int dir, int pid)
{
	criu_opts *o = NULL;
	int status;

	MUST(criu_local_init_opts(&o) == 0);
	MUST(criu_local_set_service_binary(o, binary) == 0);
	criu_local_set_images_dir_fd(o, dir);
	criu_local_set_pid(o, pid);
	criu_local_set_timeout(o, 5);
	MUST(criu_local_add_external(o, "file[0:1]") == 0 && criu_local_add_external(o, "nothing") == 0);
	MUST(criu_local_add_ext_mount(o, "/a", "/b") == 0 && criu_local_add_cg_root(o, NULL, "/") == 0);
	MUST(criu_local_dump(o) == 0);
	MUST(waitpid(pid, &status, 0) == pid); /* it was our child, so it ends with us */
	MUST(criu_local_restore(o) == pid);
	MUST(criu_local_get_version(o) == 40200);
	criu_local_free_opts(o);
}

int main(int argc, char **argv)
{
	int dir = open(argv[2], O_DIRECTORY | O_CLOEXEC), pid = atoi(argv[3]), status;

	MUST(argc == 4 && dir >= 0);
	small(argv[1], dir);
	dump(argv[1], dir, pid);
	start(argv[1], dir);
	criu_set_notify_cb(step);
	MUST(criu_restore_child() == pid);
	MUST(!strcmp(steps, "pre-restore post-restore pre-resume post-resume ") && told_pid == pid);
	MUST(waitpid(pid, &status, WNOHANG) == 0); /* it is our child, and lives */
	local(argv[1], dir, pid);
	criu_free_opts();
	MUST(waitpid(-1, &status, WNOHANG) <= 0 || WIFEXITED(status) || WIFSIGNALED(status));
	puts("OK");
	return 0;
}
