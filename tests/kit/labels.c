// SPDX-License-Identifier: Apache-2.0
/* Contexts of SELinux: of a process, of its threads, of what it makes; see selinux.conf for the types. */
#include "judge.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#define CONTEXT(type) "base_u:base_r:" type
#define OBJECT(type) "base_u:object_r:" type

static int sock = -1;
static pthread_barrier_t barrier;
static char named[64];

static void set(const char *attr, const char *context)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/thread-self/attr/%s", attr);
	fd = open(path, O_WRONLY);
	CHECK(write(fd, context, strlen(context)) > 0);
	close(fd);
}

static const char *get(const char *attr)
{
	static _Thread_local char text[128];
	char path[64];
	int fd, n;

	snprintf(path, sizeof(path), "/proc/thread-self/attr/%s", attr);
	fd = open(path, O_RDONLY);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	text[strcspn(text, "\n")] = 0;
	return text;
}

static int is_labelled(int fd, const char *context)
{
	char text[128] = "";

	return fgetxattr(fd, "security.selinux", text, sizeof(text) - 1) > 0 && !strcmp(text, context);
}

static void process_set(void)
{
	int fd;

	set("current", CONTEXT("box_t"));
	set("sockcreate", CONTEXT("sock_t"));
	sock = socket(AF_UNIX, SOCK_STREAM, 0);
	set("sockcreate", CONTEXT("thread_t"));
	set("fscreate", OBJECT("sock_t"));
	fd = open("labelled", O_CREAT | O_WRONLY, 0600);
	CHECK(is_labelled(fd, OBJECT("sock_t")));
	CHECK(is_labelled(sock, CONTEXT("sock_t")));
	close(fd);
	set("keycreate", CONTEXT("thread_t"));
	set("exec", CONTEXT("thread_t"));
}

static void process_check(void)
{
	int fd = open("labelled", O_RDONLY);

	CHECK(!strcmp(get("current"), CONTEXT("box_t")));
	CHECK(!strcmp(get("sockcreate"), CONTEXT("thread_t")));
	CHECK(!strcmp(get("fscreate"), OBJECT("sock_t")));
	CHECK(!strcmp(get("keycreate"), CONTEXT("thread_t")));
	CHECK(!strcmp(get("exec"), CONTEXT("thread_t")));
	CHECK(is_labelled(fd, OBJECT("sock_t")));
	CHECK(is_labelled(sock, CONTEXT("sock_t")));
}

static void *thread(void *arg)
{
	if (arg)
		set("current", CONTEXT("thread_t")); /* which box_t bounds */
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	snprintf(named, sizeof(named), "%s", get("current"));
	CHECK(!strcmp(named, arg ? CONTEXT("thread_t") : CONTEXT("box_t")));
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void threads_set(void)
{
	set("current", CONTEXT("box_t"));
	pthread_barrier_init(&barrier, NULL, 3);
	pthread_create(&(pthread_t){ 0 }, NULL, thread, NULL);
	pthread_create(&(pthread_t){ 0 }, NULL, thread, &barrier);
	pthread_barrier_wait(&barrier);
}

static void threads_check(void)
{
	CHECK(!strcmp(get("current"), CONTEXT("box_t")));
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
}

static const struct judge_case cases[] = {
	{ "process", process_set, process_check },
	{ "threads", threads_set, threads_check },
	{ 0 },
};

int main(int argc, char **argv)
{
	return judge_begin(argc, argv) < 0 ? 2 : judge_case(cases, argv[1]);
}
