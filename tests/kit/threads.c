// SPDX-License-Identifier: Apache-2.0
/*
 * threads: threads that are not quite of their process.
 * Usage: threads CASE DIR. DIR/ready appears when all is set up; on SIGTERM "OK" or the first failure goes
 * into DIR/verdict.
 */
#define _GNU_SOURCE
#include "judge.h"

#include <linux/kcmp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static pid_t tid[4];
static pthread_barrier_t barrier;
static pid_t kid;

static char state_of(pid_t t)
{
	char path[64], line[400] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", t);
	f = fopen(path, "r");
	if (!f || !fgets(line, sizeof(line), f))
		return '?';
	fclose(f);
	return strrchr(line, ')')[2];
}

/* ---- the main thread has ended ---- */

static void *other(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void *heir(void *arg)
{
	int status, n;

	for (n = 0; state_of(getpid()) != 'Z' && n < 1000; n++)
		usleep(10000);
	kid = fork();
	if (kid == 0)
		for (;;)
			pause();
	wait_term();
	for (n = 0; state_of(getpid()) != 'Z' && n < 1000; n++)
		usleep(10000);
	CHECK(state_of(getpid()) == 'Z');
	CHECK(getpid() != gettid());
	CHECK(kill(kid, SIGKILL) == 0 && waitpid(kid, &status, 0) == kid);
	CHECK(open("file", O_CREAT | O_RDWR, 0600) >= 0);
	finish();
	return NULL;
}

static void leader_ends(void)
{
	pthread_t t;

	pthread_create(&t, NULL, other, NULL);
	pthread_create(&t, NULL, heir, NULL);
	syscall(SYS_exit, 3);
}

/* ---- own files, own directory ---- */

static int own_fd, common_fd;

static void *apart(void *arg)
{
	int n = (long)arg;
	char cwd[4096], text[8] = "";

	tid[n] = gettid();
	if (n & 1) {
		CHECK(unshare(CLONE_FS) == 0 && chdir("sub") == 0);
		umask(0027);
	}
	if (n & 2) {
		CHECK(unshare(CLONE_FILES) == 0);
		close(common_fd);
		own_fd = open(n & 1 ? "../mine" : "mine", O_CREAT | O_RDWR, 0600);
		CHECK(own_fd >= 0 && write(own_fd, "abc", 3) == 3);
		if (n == 3)
			CHECK(dup2(own_fd, 40) == 40 && close(own_fd) == 0);
	}
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(strrchr(cwd, '/'), n & 1 ? "/sub" : "/d"));
	CHECK(fcntl(common_fd, F_GETFD) == (n & 2 ? -1 : 0) || (n == 2 && own_fd == common_fd));
	if (n == 3)
		CHECK(pread(40, text, 7, 0) == 3 && !strcmp(text, "abc") && lseek(40, 0, SEEK_CUR) == 3);
	else
		CHECK(fcntl(40, F_GETFD) == -1);
	if (n & 1)
		CHECK(umask(0027) == 0027);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void unshared(void)
{
	pthread_t t[4];
	struct stat st;

	mkdir("sub", 0700);
	umask(0022);
	common_fd = open("/dev/null", O_RDONLY);
	CHECK(dup2(common_fd, 77) == 77);
	pthread_barrier_init(&barrier, NULL, 4);
	for (long n = 1; n < 4; n++)
		pthread_create(&t[n], NULL, apart, (void *)n);
	pthread_barrier_wait(&barrier);
	wait_term();
	for (int n = 1; n < 4; n++) {
		CHECK((syscall(SYS_kcmp, getpid(), tid[n], KCMP_FS, 0, 0) == 0) == !(n & 1));
		CHECK((syscall(SYS_kcmp, getpid(), tid[n], KCMP_FILES, 0, 0) == 0) == !(n & 2));
	}
	CHECK(syscall(SYS_kcmp, getpid(), tid[3], KCMP_FILE, 77, 77) == 0); /* one open file in both tables */
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	CHECK(umask(0) == 0022 && fstat(common_fd, &st) == 0);
	finish();
}

int main(int argc, char **argv)
{
	if (judge_begin(argc, argv) < 0)
		return 2;
	if (!strcmp(argv[1], "leader"))
		leader_ends();
	else if (!strcmp(argv[1], "unshared"))
		unshared();
	return 2;
}
